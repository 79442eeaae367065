// What is asked and answered where a call is more than an echo.

#ifndef SLOTRING_TOOLS_BENCH_QUESTIONS_H_
#define SLOTRING_TOOLS_BENCH_QUESTIONS_H_

#include <cstddef>
#include <vector>

#include "tools/bench/transport.h"

namespace slotring::bench {

// Requests with the right replies, all of one size each.
struct Questions {
  std::size_t request_bytes = 0;
  std::size_t reply_bytes = 0;
  std::vector<std::byte> requests;  // one behind the other
  std::vector<std::byte> replies;

  std::size_t count() const { return replies.size() / reply_bytes; }
  Bytes request(std::size_t i) const {
    return Bytes(requests).subspan(i * request_bytes, request_bytes);
  }
  Bytes reply(std::size_t i) const { return Bytes(replies).subspan(i * reply_bytes, reply_bytes); }
};

}  // namespace slotring::bench

#endif  // SLOTRING_TOOLS_BENCH_QUESTIONS_H_
