// Counts what a stepped process does on its way: instructions, and those among them that matter
// most. Repeatable, since nothing but its own instructions is counted, however loaded the machine.
//
//     InstructionMeter meter(process);
//     while (!process.at_end()) meter.step();
//     const Cost cost = meter.take();
//
// The kernel's code that runs in the process (the vDSO, which tells the time) is another on each
// machine, and repeats itself when the clock is adjusted: it is counted as one read of the clock.

#ifndef SLOTRING_TESTS_BUDGET_INSTRUCTION_METER_H_
#define SLOTRING_TESTS_BUDGET_INSTRUCTION_METER_H_

#include <cstdint>
#include <unordered_map>
#include <unordered_set>

#include "tests/kill_points/stepped_process.h"

namespace slotring::testing {

struct Cost {
  std::uint32_t instructions = 0;  // but for those of the kernel's code
  std::uint32_t clock_reads = 0;
  std::uint32_t system_calls = 0;
  std::uint32_t allocations = 0;  // calls of malloc() and its like

  Cost operator-(const Cost& less) const {
    return {instructions - less.instructions, clock_reads - less.clock_reads,
            system_calls - less.system_calls, allocations - less.allocations};
  }
};

class InstructionMeter {
 public:
  // Of a process that is stopped, and has loaded its libraries.
  explicit InstructionMeter(SteppedProcess& process);

  // Counts the next instruction, and has it executed. Throws when the process ends, or sleeps.
  void step();
  // What was counted since the last time.
  Cost take();

 private:
  bool is_system_call(CodeAddress instruction);

  SteppedProcess& process_;
  CodeAddress clock_begin_ = 0;  // the vDSO
  CodeAddress clock_end_ = 0;
  std::unordered_set<CodeAddress> allocators_;  // where malloc() and its like begin
  std::unordered_map<CodeAddress, bool> system_calls_;
  bool in_clock_ = false;
  Cost cost_;
};

}  // namespace slotring::testing

#endif  // SLOTRING_TESTS_BUDGET_INSTRUCTION_METER_H_
