// A child process that this one takes through a part of its code instruction by instruction
// (ptrace(2)), and kills or leaves stopped before a chosen one.
//
//     SteppedProcess child([&] { prepare(); SteppedProcess::begin(); run(); SteppedProcess::end();
//                                return true; });
//     child.reach_begin();
//     child.step(); ...
//     child.kill();        or  child.go_on();  ... child.ended() ...
//
// All children of one parent have their code at the same addresses, so a trace of one child's
// instructions (Trace) serves to bring another to instruction k in little time: it runs freely to
// breakpoints, put where the trace passes seldom, and takes only the rest in single steps. Where
// somebody else must do something on the way, the trace has a stopover: a child is brought there
// first.
//
// A child may go several times from begin() to end(), and it may become another program, which has
// neither and is stepped from where it was stopped:
//
//     SteppedProcess program([&] { ::execve(...); return false; });
//     program.reach_exec();  program.run_freely();  ...  program.stop();  program.step(); ...
//
// A child that takes another way, since how long it waits for anything depends on the machine, may
// fall asleep where nobody wakes it. It is found, and left stopped there.

#ifndef SLOTRING_TESTS_KILL_POINTS_STEPPED_PROCESS_H_
#define SLOTRING_TESTS_KILL_POINTS_STEPPED_PROCESS_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace slotring::testing {

using CodeAddress = std::uintptr_t;

// The instructions from begin() to end(), in the order in which one child executed them.
class Trace {
 public:
  void append(CodeAddress instruction) { instructions_.push_back(instruction); }
  // The next instruction is where somebody else does something. At most once.
  void stop_over() { stopover_ = size(); }
  // To be called when all are there.
  void finish();

  std::uint32_t size() const { return static_cast<std::uint32_t>(instructions_.size()); }
  CodeAddress operator[](std::uint32_t point) const { return instructions_[point]; }

  // The point at which a child on its way to `point` must stop over, if any.
  std::optional<std::uint32_t> stopover(std::uint32_t point) const {
    return stopover_ && *stopover_ < point ? stopover_ : std::nullopt;
  }

  // The cheapest way to `point` from begin(), or from the stopover: to a breakpoint at an
  // instruction before it, which is passed `passes` times on the way, and then by single steps.
  struct Way {
    CodeAddress breakpoint;
    std::uint32_t passes;
    std::uint32_t steps;
  };
  Way way_to(std::uint32_t point) const { return ways_[point]; }

 private:
  std::vector<CodeAddress> instructions_;
  std::vector<Way> ways_;
  std::optional<std::uint32_t> stopover_;
};

class SteppedProcess {
 public:
  // Runs `body` in a child; it must call begin() and end().
  explicit SteppedProcess(const std::function<bool()>& body);
  ~SteppedProcess();
  SteppedProcess(const SteppedProcess&) = delete;
  SteppedProcess& operator=(const SteppedProcess&) = delete;

  // Whether the system lets a process trace its child.
  static bool permitted();

  // What the child calls around the part that is stepped.
  static void begin();
  static void end();

  // Each of these is false when the child came to end(), ended, or fell asleep instead. Throws when
  // it got a signal.
  [[nodiscard]] bool reach_begin();
  // From end(), to the next one.
  [[nodiscard]] bool reach_next_begin();
  // To the first instruction of the program that the body becomes.
  [[nodiscard]] bool reach_exec();
  [[nodiscard]] bool step();
  [[nodiscard]] bool reach(const Trace::Way& way);
  [[nodiscard]] bool reach_end();

  CodeAddress instruction() const;
  bool at_end() const;
  // The bytes at `address` of its code, as many as a word has.
  std::uint64_t code_at(CodeAddress address) const;
  pid_t pid() const { return pid_; }
  // Whether it was found asleep on its last way.
  bool asleep() const { return asleep_; }

  // Lets it run, still traced, until it is stopped where it happens to be. The threads that it has
  // made are not traced, and run all the time.
  void run_freely();
  [[nodiscard]] bool stop();

  // Ends it where it is.
  void kill();
  // Lets it run on, untraced.
  void go_on();
  // Whether it has ended meanwhile.
  bool ended();
  // Whether its body returned true. REQUIRES: ended().
  bool succeeded() const { return status_ == 0; }
  int status() const { return status_; }  // as of waitpid

 private:
  bool await_first_stop();
  bool run_to(CodeAddress address);
  bool resume(int request);
  void await_stop();
  void set_instruction(CodeAddress address) const;

  pid_t pid_;
  int status_ = -1;
  bool asleep_ = false;
};

}  // namespace slotring::testing

#endif  // SLOTRING_TESTS_KILL_POINTS_STEPPED_PROCESS_H_
