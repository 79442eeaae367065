// A child process that is killed, or stopped for a while, right before a chosen access to a control
// segment: since nothing but such accesses is seen by others, to try them all is to try a death, or
// a pause, at every instruction.
//
//     for (int fatal = 0; !survives_access(segment, fatal, prepare, body); ++fatal)
//       ... look at what the dead left in the segment ...
//
//     PausedProcess child(segment, access, prepare, body);
//     ... do what happens meanwhile, if it is child.paused() ...
//     EXPECT_TRUE(child.ends_well());
//
// In the child the segment's pages are inaccessible while body() runs; each access faults, is
// counted, and single-stepped with the pages open. x86-64 only.

#ifndef SLOTRING_TESTS_SUPPORT_MORTAL_PROCESS_H_
#define SLOTRING_TESTS_SUPPORT_MORTAL_PROCESS_H_

#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdint>
#include <functional>
#include <utility>

#include "client_lib/shm/control_segment.h"
#include "tests/support/child_process.h"

namespace slotring::testing {

#if defined(__x86_64__)
inline constexpr bool kDeathsAtAccesses = true;
#else
inline constexpr bool kDeathsAtAccesses = false;
#endif

class FatalAccess {
 public:
  // From now on this process gets `signal` at its access number `fatal` (from 0) to `segment`.
  static void arm(const shm::ControlSegment& segment, int fatal, int signal) {
    base_ = &segment.header();
    bytes_ = layout::ControlOffsets(segment.geometry()).total;
    left_ = fatal;
    signal_ = signal;
    handle(SIGSEGV, on_access);
    handle(SIGTRAP, on_step);
    protect(PROT_NONE);
  }
  // The same, but it does `instead` there, once, and goes on with nothing counted any more.
  static void arm(const shm::ControlSegment& segment, int chosen, std::function<void()> instead) {
    instead_ = std::move(instead);
    arm(segment, chosen, 0);
  }
  static void disarm() { protect(PROT_READ | PROT_WRITE); }

 private:
  static void handle(int signal, void (*handler)(int, siginfo_t*, void*)) {
    struct sigaction action {};
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO;
    ::sigaction(signal, &action, nullptr);
  }
  static void protect(int access) { ::syscall(SYS_mprotect, base_, bytes_, access); }
  static void single_step([[maybe_unused]] void* context, [[maybe_unused]] bool on) {
#if defined(__x86_64__)
    constexpr greg_t kTrapFlag = 0x100;
    greg_t& flags = static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_EFL];
    flags = on ? flags | kTrapFlag : flags & ~kTrapFlag;
#endif
  }
  static void on_access(int, siginfo_t* info, void* context) {
    const auto at = reinterpret_cast<std::uintptr_t>(info->si_addr);
    const auto begin = reinterpret_cast<std::uintptr_t>(base_);
    if (at < begin || at >= begin + bytes_) ::_exit(3);  // a crash of its own
    const bool chosen = left_-- == 0;
    if (chosen && !instead_) ::syscall(SYS_kill, ::getpid(), signal_);
    protect(PROT_READ | PROT_WRITE);
    if (chosen && instead_) instead_();
    if (chosen) return;  // it lives on: from here on nothing is counted
    single_step(context, true);
  }
  static void on_step(int, siginfo_t*, void* context) {
    protect(PROT_NONE);
    single_step(context, false);
  }

  static inline void* base_ = nullptr;
  static inline std::size_t bytes_ = 0;
  static inline int left_ = 0;
  static inline int signal_ = SIGKILL;
  static inline std::function<void()> instead_;
};

// Runs prepare() and then body() in a child; body() dies at its access number `fatal`. True when it
// made fewer, and lived. Any other end is a failure of the test.
template <class Prepare, class Body>
bool survives_access(const shm::ControlSegment& segment, int fatal, Prepare prepare, Body body) {
  ChildProcess child([&] {
    auto prepared = prepare();
    FatalAccess::arm(segment, fatal, SIGKILL);
    body(prepared);
    FatalAccess::disarm();
    return true;
  });
  const int status = child.join();
  EXPECT_TRUE(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
      << "the child ended with status " << status;
  return status == 0;
}

// A child that prepares, and then stops right before its access number `access` of body(). Its own
// futexes do not put it to sleep before that.
class PausedProcess {
 public:
  template <class Prepare, class Body>
  PausedProcess(const shm::ControlSegment& segment, int access, Prepare prepare, Body body)
      : child_([&] {
          auto prepared = prepare();
          FatalAccess::arm(segment, access, SIGSTOP);
          const bool good = body(prepared);
          FatalAccess::disarm();
          return good;
        }) {
    EXPECT_EQ(::waitpid(child_.pid(), &status_, WUNTRACED), child_.pid());
  }

  // Whether it waits at the access; else it has ended, with fewer.
  bool paused() const { return WIFSTOPPED(status_); }
  // Lets it go on, and waits for its end.
  [[nodiscard]] bool ends_well() {
    if (!paused()) return child_.forget(), status_ == 0;
    ::kill(child_.pid(), SIGCONT);
    const bool ended =
        eventually([&] { return ::waitpid(child_.pid(), &status_, WNOHANG) == child_.pid(); });
    if (ended) child_.forget();
    return ended && status_ == 0;
  }

 private:
  ChildProcess child_;
  int status_ = -1;
};

}  // namespace slotring::testing

#endif  // SLOTRING_TESTS_SUPPORT_MORTAL_PROCESS_H_
