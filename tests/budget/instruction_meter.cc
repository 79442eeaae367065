#include "tests/budget/instruction_meter.h"

#include <dlfcn.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

namespace slotring::testing {
namespace {

constexpr char kCLibrary[] = "libc.so.6";

#if defined(__x86_64__)
constexpr std::uint64_t kSystemCall = 0x050F;
constexpr std::uint64_t kSystemCallMask = 0xFFFF;
#elif defined(__aarch64__)
constexpr std::uint64_t kSystemCall = 0xD4000001;
constexpr std::uint64_t kSystemCallMask = 0xFFFFFFFF;
#endif

struct Mapping {
  CodeAddress begin = 0;
  CodeAddress end = 0;
};

// The first mapping of a process whose name ends so; empty when there is none.
Mapping find_mapping(pid_t process, const std::string& name) {
  std::ifstream maps("/proc/" + std::to_string(process) + "/maps");
  for (std::string line; std::getline(maps, line);) {
    if (!line.ends_with(name)) continue;
    Mapping found;
    char dash = 0;
    std::istringstream(line) >> std::hex >> found.begin >> dash >> found.end;
    return found;
  }
  return {};
}

}  // namespace

InstructionMeter::InstructionMeter(SteppedProcess& process) : process_(process) {
  const Mapping clock = find_mapping(process.pid(), "[vdso]");
  clock_begin_ = clock.begin;
  clock_end_ = clock.end;
  // The same library as here, elsewhere.
  const Mapping library = find_mapping(process.pid(), kCLibrary);
  const Mapping own = find_mapping(::getpid(), kCLibrary);
  void* handle = ::dlopen(kCLibrary, RTLD_NOW | RTLD_NOLOAD);
  if (library.begin == 0 || own.begin == 0 || handle == nullptr) {
    throw std::runtime_error("the process has no libc.so.6 to count allocations of");
  }
  for (const char* allocator : {"malloc", "calloc", "realloc", "aligned_alloc", "posix_memalign"}) {
    void* place = ::dlsym(handle, allocator);
    allocators_.insert(reinterpret_cast<CodeAddress>(place) - own.begin + library.begin);
  }
  ::dlclose(handle);
}

void InstructionMeter::step() {
  const CodeAddress next = process_.instruction();
  const bool in_clock = next >= clock_begin_ && next < clock_end_;
  if (in_clock) {
    cost_.clock_reads += in_clock_ ? 0 : 1;
  } else {
    ++cost_.instructions;
    cost_.system_calls += is_system_call(next) ? 1 : 0;
    cost_.allocations += allocators_.contains(next) ? 1 : 0;
  }
  in_clock_ = in_clock;
  if (!process_.step()) throw std::runtime_error("the stepped process ended, or fell asleep");
}

Cost InstructionMeter::take() { return std::exchange(cost_, {}); }

bool InstructionMeter::is_system_call(CodeAddress instruction) {
  const auto known = system_calls_.find(instruction);
  if (known != system_calls_.end()) return known->second;
  const bool is = (process_.code_at(instruction) & kSystemCallMask) == kSystemCall;
  system_calls_.emplace(instruction, is);
  return is;
}

}  // namespace slotring::testing
