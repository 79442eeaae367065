// The client's end of a bare exchange, whoever serves the other.

#ifndef SLOTRING_TOOLS_BENCH_BARE_EXCHANGE_H_
#define SLOTRING_TOOLS_BENCH_BARE_EXCHANGE_H_

#include <cstdint>
#include <cstring>

#include "tools/bench/bare_channel.h"
#include "tools/bench/transport.h"

namespace slotring::bench {

class BareExchange : public Exchange {
 public:
  // Nobody else has called through `channels` since both sequences were set to 0.
  BareExchange(const Channels& channels, bool yields) : channels_(channels), yields_(yields) {}

  void call(Bytes request, Space reply) override {
    ++sequence_;
    send(channels_.requests, request, sequence_);
    await(*channels_.replies.flag, sequence_, yields_);
    std::memcpy(reply.data(), channels_.replies.payload, reply.size());
  }

 private:
  Channels channels_;
  bool yields_;
  std::uint64_t sequence_ = 0;
};

}  // namespace slotring::bench

#endif  // SLOTRING_TOOLS_BENCH_BARE_EXCHANGE_H_
