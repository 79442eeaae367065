// One client's calls, one after another.

#ifndef SLOTRING_TOOLS_BENCH_CALLER_H_
#define SLOTRING_TOOLS_BENCH_CALLER_H_

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <vector>

#include "client_lib/shm/futex.h"
#include "slotring/error.h"
#include "tools/bench/child_process.h"
#include "tools/bench/latency_histogram.h"
#include "tools/bench/questions.h"
#include "tools/bench/transport.h"

namespace slotring::bench {

inline void sleep_until(shm::MonotonicNs time) {
  const timespec until{static_cast<time_t>(time / 1'000'000'000),
                       static_cast<long>(time % 1'000'000'000)};
  while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) == EINTR) {
    check_interrupted();
  }
}

class Caller {
 public:
  // Echoes of `payload_bytes`, at least 8; with `questions`, those, from number `first` on.
  Caller(Exchange& exchange, std::size_t payload_bytes, const Questions* questions,
         std::size_t first, shm::MonotonicNs gap_ns)
      : exchange_(exchange),
        questions_(questions),
        gap_ns_(gap_ns),
        number_(first),
        request_(questions == nullptr ? payload_bytes : 0, std::byte{0x5A}),
        reply_(questions == nullptr ? payload_bytes : questions->reply_bytes) {}

  // Calls until a call ends after `end`, at least once. Returns how many nanoseconds that took.
  // Throws slotring::Exception when a call fails or its reply is wrong.
  shm::MonotonicNs call_until(shm::MonotonicNs end, LatencyHistogram* latencies) {
    const shm::MonotonicNs begin = shm::monotonic_now();
    shm::MonotonicNs before = begin;
    shm::MonotonicNs after;
    for (;;) {
      call();
      after = shm::monotonic_now();
      if (latencies != nullptr) latencies->record(after - before);
      if (after >= end) return after - begin;
      if (gap_ns_ == 0) {
        before = after;
      } else {
        sleep_until(after + gap_ns_);
        before = shm::monotonic_now();
      }
    }
  }

 private:
  void call() {
    ++number_;
    const bool right = questions_ == nullptr ? echo() : ask();
    if (!right) throw Exception(Error{ErrorCode::kBadFrame, "a reply is not the right one"});
  }

  bool echo() {
    std::memcpy(request_.data(), &number_, sizeof(number_));
    exchange_.call(request_, reply_);
    return std::memcmp(request_.data(), reply_.data(), request_.size()) == 0;
  }

  bool ask() {
    const std::size_t i = number_ % questions_->count();
    exchange_.call(questions_->request(i), reply_);
    return std::ranges::equal(reply_, questions_->reply(i));
  }

  Exchange& exchange_;
  const Questions* questions_;
  shm::MonotonicNs gap_ns_;
  std::uint64_t number_;
  std::vector<std::byte> request_;
  std::vector<std::byte> reply_;
};

}  // namespace slotring::bench

#endif  // SLOTRING_TOOLS_BENCH_CALLER_H_
