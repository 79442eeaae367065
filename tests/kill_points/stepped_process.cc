#include "tests/kill_points/stepped_process.h"

#include <elf.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <system_error>
#include <unordered_map>

#include "tests/support/effort.h"

namespace slotring::testing {
namespace {

#if defined(__x86_64__)
constexpr long kBreakpoint = 0xCC;
constexpr long kBreakpointMask = 0xFF;
constexpr CodeAddress kBreakpointAdvance = 1;  // the trap is taken behind it
auto& instruction_pointer(user_regs_struct& registers) { return registers.rip; }
#elif defined(__aarch64__)
constexpr long kBreakpoint = 0xD4200000;
constexpr long kBreakpointMask = 0xFFFFFFFF;
constexpr CodeAddress kBreakpointAdvance = 0;
auto& instruction_pointer(user_regs_struct& registers) { return registers.pc; }
#endif

// Single steps and passes by a breakpoint cost about the same, two stops a pass.
constexpr std::uint32_t kStepsAPass = 2;

long trace(__ptrace_request request, pid_t pid, std::uintptr_t address = 0,
           std::uintptr_t data = 0) {
  errno = 0;
  const long result = ::ptrace(request, pid, address, data);
  if (errno != 0) throw std::system_error(errno, std::system_category(), "ptrace");
  return result;
}

user_regs_struct registers_of(pid_t pid) {
  user_regs_struct registers;
  iovec into{&registers, sizeof(registers)};
  trace(PTRACE_GETREGSET, pid, NT_PRSTATUS, reinterpret_cast<std::uintptr_t>(&into));
  return registers;
}

// Interrupts waitpid() every half second, for a look at who is waited for. By a timer of its own:
// alarm() is the tests' watchdog.
void start_looking_up() {
  static const bool started = [] {
    struct sigaction interrupt {};
    interrupt.sa_handler = [](int) {};  // and no SA_RESTART
    ::sigaction(SIGUSR2, &interrupt, nullptr);
    sigevent signal{};
    signal.sigev_notify = SIGEV_SIGNAL;
    signal.sigev_signo = SIGUSR2;
    timer_t timer{};
    const itimerspec often{{0, 500'000'000}, {0, 500'000'000}};
    return ::timer_create(CLOCK_MONOTONIC, &signal, &timer) == 0 &&
           ::timer_settime(timer, 0, &often, nullptr) == 0;
  }();
  if (!started) throw std::runtime_error("no timer");
}

// As waitpid(), whatever interrupts it.
pid_t wait_for(pid_t pid, int* status) {
  for (;;) {
    const pid_t ended = ::waitpid(pid, status, 0);
    if (ended >= 0 || errno != EINTR) return ended;
  }
}

// Whether it sleeps in a system call, as /proc/PID/stat tells.
bool sleeps(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  const std::string stat{std::istreambuf_iterator<char>(file), {}};
  return stat.find(") S ") != std::string::npos;
}

[[noreturn]] void run_child(const std::function<bool()>& body) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::alarm(kWatchdogSeconds);
  ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
  ::raise(SIGSTOP);
  bool good = false;
  try {
    good = body();
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "in the child process: %s\n", failure.what());
  }
  std::fflush(nullptr);
  ::_exit(good ? 0 : 1);
}

}  // namespace

void Trace::finish() {
  std::unordered_map<CodeAddress, std::uint32_t> passes;
  ways_.clear();
  for (std::uint32_t point = 0; point < size(); ++point) {
    const CodeAddress instruction = instructions_[point];
    Way way{instruction, ++passes[instruction], 0};
    if (point > 0 && point - 1 != stopover_) {
      Way onward = ways_.back();
      ++onward.steps;
      if (onward.passes * kStepsAPass + onward.steps < way.passes * kStepsAPass) way = onward;
    }
    ways_.push_back(way);
    if (point == stopover_) passes = {{instruction, 1}};
  }
}

bool SteppedProcess::permitted() {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0 ? 0 : 1);
  int status = -1;
  return ::waitpid(pid, &status, 0) == pid && status == 0;
}

// Never inlined, and never merged with each other: their addresses mark the part's two ends.
[[gnu::noinline, gnu::noclone]] void SteppedProcess::begin() {
  asm volatile("# begin" ::: "memory");
}
[[gnu::noinline, gnu::noclone]] void SteppedProcess::end() { asm volatile("# end" ::: "memory"); }

SteppedProcess::SteppedProcess(const std::function<bool()>& body) {
  start_looking_up();
  std::fflush(nullptr);
  pid_ = ::fork();
  if (pid_ == 0) run_child(body);
  if (pid_ < 0) throw std::system_error(errno, std::system_category(), "fork");
}

SteppedProcess::~SteppedProcess() { kill(); }

bool SteppedProcess::await_first_stop() {
  if (wait_for(pid_, &status_) != pid_ || !WIFSTOPPED(status_)) return pid_ = -1, false;
  trace(PTRACE_SETOPTIONS, pid_, 0, PTRACE_O_EXITKILL);
  return true;
}

bool SteppedProcess::reach_begin() {
  return await_first_stop() && run_to(reinterpret_cast<CodeAddress>(&SteppedProcess::begin));
}

bool SteppedProcess::reach_next_begin() {
  return step() && run_to(reinterpret_cast<CodeAddress>(&SteppedProcess::begin));
}

// It gets a SIGTRAP there, which is not delivered.
bool SteppedProcess::reach_exec() { return await_first_stop() && resume(PTRACE_CONT); }

bool SteppedProcess::step() { return resume(PTRACE_SINGLESTEP); }

bool SteppedProcess::reach(const Trace::Way& way) {
  for (std::uint32_t pass = 0; pass < way.passes; ++pass) {
    // From the breakpoint itself, the next pass begins behind it.
    if (instruction() == way.breakpoint && pass > 0 && !step()) return false;
    if (!run_to(way.breakpoint)) return false;
  }
  for (std::uint32_t i = 0; i < way.steps; ++i) {
    if (!step()) return false;
  }
  return true;
}

bool SteppedProcess::reach_end() {
  return run_to(reinterpret_cast<CodeAddress>(&SteppedProcess::end));
}

CodeAddress SteppedProcess::instruction() const {
  user_regs_struct registers = registers_of(pid_);
  return instruction_pointer(registers);
}

void SteppedProcess::set_instruction(CodeAddress address) const {
  user_regs_struct registers = registers_of(pid_);
  instruction_pointer(registers) = address;
  iovec from{&registers, sizeof(registers)};
  trace(PTRACE_SETREGSET, pid_, NT_PRSTATUS, reinterpret_cast<std::uintptr_t>(&from));
}

std::uint64_t SteppedProcess::code_at(CodeAddress address) const {
  return static_cast<std::uint64_t>(trace(PTRACE_PEEKTEXT, pid_, address));
}

bool SteppedProcess::at_end() const {
  return instruction() == reinterpret_cast<CodeAddress>(&SteppedProcess::end);
}

// With a breakpoint there and at the end, in case that it takes another way.
bool SteppedProcess::run_to(CodeAddress address) {
  if (instruction() == address) return true;
  const CodeAddress end = reinterpret_cast<CodeAddress>(&SteppedProcess::end);
  const CodeAddress places[] = {address, end};
  long code[2];
  for (int i = 0; i < 2; ++i) {
    code[i] = trace(PTRACE_PEEKTEXT, pid_, places[i]);
    const long broken = (code[i] & ~kBreakpointMask) | kBreakpoint;
    trace(PTRACE_POKETEXT, pid_, places[i], static_cast<std::uintptr_t>(broken));
  }
  const bool there = resume(PTRACE_CONT);
  if (!there && !asleep_) return false;
  for (int i = 1; i >= 0; --i) {  // backwards: the places may overlap
    trace(PTRACE_POKETEXT, pid_, places[i], static_cast<std::uintptr_t>(code[i]));
  }
  if (!there) return false;
  set_instruction(instruction() - kBreakpointAdvance);
  return instruction() == address;
}

bool SteppedProcess::resume(int request) {
  asleep_ = false;
  const auto stopped_by = [this](int signal) {
    return WIFSTOPPED(status_) && WSTOPSIG(status_) == signal;
  };
  do {
    trace(static_cast<__ptrace_request>(request), pid_);
    await_stop();
    // Again, where a step ended because a sleeper is to be stopped: the stop comes next. And where
    // one was to be stopped that woke by itself: this is its stop.
  } while (asleep_ ? stopped_by(SIGTRAP) && request == PTRACE_SINGLESTEP : stopped_by(SIGSTOP));
  if (stopped_by(SIGTRAP)) return asleep_ = false, true;
  if (asleep_ && stopped_by(SIGSTOP)) return false;
  asleep_ = false;
  if (WIFSTOPPED(status_)) {
    throw std::runtime_error("the child got signal " + std::to_string(WSTOPSIG(status_)));
  }
  pid_ = -1;  // it has ended, and is waited for
  return false;
}

// Sets status_. One that is seen asleep twice in a row is stopped there: what the child waits for
// on the traced way takes no time.
void SteppedProcess::await_stop() {
  for (int seen_asleep = 0;;) {
    if (::waitpid(pid_, &status_, 0) == pid_) return;
    if (errno != EINTR) throw std::system_error(errno, std::system_category(), "waitpid");
    seen_asleep = sleeps(pid_) ? seen_asleep + 1 : 0;
    if (seen_asleep < 2 || asleep_) continue;
    asleep_ = true;
    ::kill(pid_, SIGSTOP);
  }
}

void SteppedProcess::run_freely() { trace(PTRACE_CONT, pid_); }

bool SteppedProcess::stop() {
  // The thread that is traced: another might take a signal to the process.
  ::syscall(SYS_tgkill, pid_, pid_, SIGSTOP);
  if (wait_for(pid_, &status_) != pid_ || !WIFSTOPPED(status_)) return pid_ = -1, false;
  return WSTOPSIG(status_) == SIGSTOP;
}

void SteppedProcess::kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  // Stops may come first.
  while (wait_for(pid_, &status_) == pid_ && WIFSTOPPED(status_)) {
  }
  pid_ = -1;
}

void SteppedProcess::go_on() {
  trace(PTRACE_DETACH, pid_);
  ::kill(pid_, SIGCONT);  // a stop that was sent, and came too late
}

bool SteppedProcess::ended() {
  if (pid_ <= 0) return true;
  if (::waitpid(pid_, &status_, WNOHANG) != pid_) return false;
  pid_ = -1;
  return true;
}

}  // namespace slotring::testing
