// A worker without Python, for chaos runs: takes `python -m slotring.worker`'s place, and serves
// the same methods as chaos_served.py. Its arguments are those that the supervisor gives to a
// worker.
//
// With SLOTRING_CHAOS_WRONG_REPLIES in its environment it answers some calls with another's
// payload.

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "client_lib/shm/supervisor_link.h"
#include "client_lib/shm/worker_seat.h"
#include "tests/chaos/payload.h"

namespace slotring::chaos {
namespace {

constexpr shm::MonotonicNs kAttachTimeoutNs = 60'000'000'000;
constexpr shm::MonotonicNs kDrainLookNs = 5'000'000;

struct Arguments {
  int socket = -1;
  int seat_socket = -1;
  double orphan_timeout_s = 60;
};

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i + 1 < argc; ++i) {
    const std::string_view name(argv[i]);
    if (name == "--socket-fd") arguments.socket = std::atoi(argv[i + 1]);
    if (name == "--seat-socket-fd") arguments.seat_socket = std::atoi(argv[i + 1]);
    if (name == "--orphan-timeout-s") arguments.orphan_timeout_s = std::atof(argv[i + 1]);
  }
  return arguments;
}

class NativeWorker {
 public:
  NativeWorker(shm::WorkerSeat seat, const std::vector<std::uint16_t>& ids)
      : seat_(std::move(seat)), ids_(ids) {}

  void serve() {
    while (!draining_.load() || seat_.busy_slots() > 0) {
      while (auto call = seat_.try_next()) handle(*call);
      // A slot that is claimed and never used keeps a draining worker: nobody rings for it.
      seat_.wait(draining_.load() ? shm::monotonic_now() + kDrainLookNs : shm::kNever);
    }
  }
  bool draining() const { return draining_.load(); }
  void drain() {
    draining_.store(true);
    seat_.interrupt();
  }

 private:
  bool is(const shm::RunningCall& call, std::size_t method) const {
    return call.head.method == ids_[method];
  }
  void handle(const shm::RunningCall& call) {
    const std::uint64_t sum = checksum(call.payload);
    if (is(call, 3)) sum % 2 != 0 ? std::abort() : ::_exit(7);
    if (is(call, 2)) {
      return seat_.fail(call, Error{.code = ErrorCode::kHandlerRaised,
                                    .message = "as asked, " + std::to_string(sum)});
    }
    if (is(call, 1)) std::this_thread::sleep_for(std::chrono::microseconds(sum % 256 * 80));
    std::span<const std::byte> answered = call.payload;
    if (wrong_replies_ && !earlier_.empty() && ++calls_ % 16 == 0) answered = earlier_;
    const std::uint64_t bytes = kChecksumBytes + answered.size();
    Result<std::span<std::byte>> space = seat_.reply_space(call, bytes);
    if (!space) return seat_.fail(call, space.error());
    write_reply(answered, *space);
    if (wrong_replies_) earlier_.assign(answered.begin(), answered.end());
    if (Status sent = seat_.reply(call, wire::PayloadKind::Bytes, bytes); !sent) {
      seat_.fail(call, sent.error());
    }
  }

  shm::WorkerSeat seat_;
  std::vector<std::uint16_t> ids_;  // of echo, slow, fail, die
  std::atomic<bool> draining_{false};
  bool wrong_replies_ = std::getenv("SLOTRING_CHAOS_WRONG_REPLIES") != nullptr;
  std::vector<std::byte> earlier_;
  std::uint32_t calls_ = 0;
};

int fail(const char* what, const Error& error) {
  std::fprintf(stderr, "%s: %s\n", what, error.to_string().c_str());
  return 4;
}

// As python_side/slotring/worker.py's _watch().
void watch(shm::SupervisorLink& link, NativeWorker& worker, shm::MonotonicNs orphan_timeout_ns) {
  link.watch({.draining = [&] { return worker.draining(); },
              .on_drain = [&] { worker.drain(); },
              .on_signal = [] {}},
             orphan_timeout_ns);
  ::_exit(0);
}

int run(const Arguments& arguments) {
  const shm::MonotonicNs deadline = shm::monotonic_now() + kAttachTimeoutNs;
  shm::SupervisorLink link(shm::UniqueFd(arguments.socket), shm::UniqueFd(arguments.seat_socket));
  Result<shm::WorkerSeat> seat = link.attach("chaos", deadline);
  if (!seat) return fail("attaching", seat.error());
  const Result<std::vector<std::uint16_t>> ids =
      link.publish({"echo", "slow", "fail", "die"}, "C++", deadline);
  if (!ids) return ids.error().code == ErrorCode::kPoolDraining ? 0 : fail("Ready", ids.error());
  NativeWorker worker(*std::move(seat), *ids);
  const auto orphan_timeout_ns = static_cast<shm::MonotonicNs>(arguments.orphan_timeout_s * 1e9);
  std::thread([&] { watch(link, worker, orphan_timeout_ns); }).detach();
  worker.serve();
  (void)link.send_goodbye().ok();
  ::_exit(0);  // past the watching thread
}

}  // namespace
}  // namespace slotring::chaos

int main(int argc, char** argv) { return slotring::chaos::run(slotring::chaos::parse(argc, argv)); }
