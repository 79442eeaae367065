// All lanes of one slot's calls, as one side of it uses them.

#ifndef SLOTRING_CLIENT_LIB_SHM_CALL_LANES_H_
#define SLOTRING_CLIENT_LIB_SHM_CALL_LANES_H_

#include "client_lib/shm/lane.h"

namespace slotring::shm {

struct CallLanes {
  // `own` is this side's area, `peer_memory` the memory of the other side's. Both outlive this.
  CallLanes(FrameWriter& own, const DataMemory& peer_memory)
      : stream_out(own, Lane::kStream),
        tools_out(own, Lane::kTools),
        stream_in(peer_memory, Lane::kStream),
        tools_in(peer_memory, Lane::kTools) {}

  // A new call. A client does it before it sends the request, a worker when it starts the call;
  // until both have, the counts of the one that has not are of another call, and count as 0.
  void begin(std::byte* own_area, const std::byte* peer_area, std::uint32_t generation,
             std::uint64_t window_bytes) {
    stream_out.begin(peer_area, generation, window_bytes);
    tools_out.begin(peer_area, generation, window_bytes);
    stream_in.begin(peer_area, own_area, generation);
    tools_in.begin(peer_area, own_area, generation);
  }

  // From now on the peer's area is read in another mapping.
  void forget_mapping() {
    stream_in.forget_mapping();
    tools_in.forget_mapping();
  }

  LaneWriter stream_out;
  LaneWriter tools_out;
  LaneReader stream_in;
  LaneReader tools_in;
};

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_CALL_LANES_H_
