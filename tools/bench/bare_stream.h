// The least that two processes need to stream frames: a ring in shared memory that both spin on.

#ifndef SLOTRING_TOOLS_BENCH_BARE_STREAM_H_
#define SLOTRING_TOOLS_BENCH_BARE_STREAM_H_

#include "tools/bench/bare_ring.h"
#include "tools/bench/child_process.h"
#include "tools/bench/shared_block.h"
#include "tools/bench/transport.h"

namespace slotring::bench {

// A call is a stream of kStreamFrames frames. Nobody else has used the ring since it was zeroed.
class BareStreamExchange : public Exchange {
 public:
  explicit BareStreamExchange(const BareRing& ring) : ring_(ring) {}

  void call(Bytes request, Space reply) override;

 private:
  BareRing ring_;
  std::uint64_t streams_ = 0;
  std::uint64_t frames_ = 0;
};

class BareStreamTransport : public Transport {
 public:
  // `yields` as in BareTransport.
  BareStreamTransport(std::size_t frame_bytes, bool yields);

  void begin_turn() override;
  void end_turn() override { server_.end(); }
  std::vector<pid_t> servers() const override { return {server_.pid()}; }
  std::unique_ptr<Exchange> connect(int client) override;

 private:
  BareRing ring() const { return BareRing(block_.data(), frame_bytes_, yields_); }

  std::size_t frame_bytes_;
  bool yields_;
  SharedBlock block_;
  ChildProcess server_;
};

}  // namespace slotring::bench

#endif  // SLOTRING_TOOLS_BENCH_BARE_STREAM_H_
