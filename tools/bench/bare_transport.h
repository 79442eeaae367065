// The least that two processes need to exchange a payload: each side copies it into shared memory,
// raises a sequence number, and spins until the other's number follows. No envelope, no error, no
// deadline, no waiting: what Slotring's hot path is measured against.

#ifndef SLOTRING_TOOLS_BENCH_BARE_TRANSPORT_H_
#define SLOTRING_TOOLS_BENCH_BARE_TRANSPORT_H_

#include "tools/bench/child_process.h"
#include "tools/bench/shared_block.h"
#include "tools/bench/transport.h"

namespace slotring::bench {

class BareTransport : public Transport {
 public:
  // `yields` gives the CPU away while waiting, for two processes on one CPU, where spinning would
  // wait for the end of a time slice. `in_place` has the server copy the request straight into the
  // reply: as often as a payload is touched where nobody keeps a copy.
  BareTransport(std::size_t payload_bytes, bool yields, bool in_place);

  void begin_turn() override;
  void end_turn() override;
  std::vector<pid_t> servers() const override { return {server_.pid()}; }
  std::unique_ptr<Exchange> connect(int client) override;

 private:
  std::size_t payload_bytes_;
  bool yields_;
  bool in_place_;
  SharedBlock block_;
  ChildProcess server_;
};

}  // namespace slotring::bench

#endif  // SLOTRING_TOOLS_BENCH_BARE_TRANSPORT_H_
