// The memory of one pool: the control segment, mapped, and the two data memories, which the
// supervisor holds and never maps. Decides which descriptors a peer gets, and so what the kernel
// lets it write:
//
//                 control      request data   reply data
//     client      read-write   read-write     read-only
//     observer    read-only    -              -
//     worker      read-write   read-only      read-write

#ifndef SLOTRING_SUPERVISOR_POOL_MEMORY_H_
#define SLOTRING_SUPERVISOR_POOL_MEMORY_H_

#include <memory>
#include <string_view>
#include <vector>

#include "client_lib/shm/control_segment.h"
#include "client_lib/shm/slot_pool.h"
#include "schemas/attach_generated.h"
#include "slotring/result.h"
#include "supervisor/log_output.h"

namespace slotring::supervisor {

class PoolMemory {
 public:
  // Errors: OUT_OF_MEMORY, SYSTEM_LIMIT. REQUIRES: is_valid(geometry).
  static Result<std::unique_ptr<PoolMemory>> create(std::string_view pool,
                                                    const layout::Geometry& geometry);

  // The memory of a pool that runs already: control, request and reply data as one of its workers
  // holds them, and the instance that it was told. Errors: BAD_SEGMENT (they are not what
  // `geometry` says, or not sealed), SYSTEM_LIMIT, INTERNAL (it is another user's). REQUIRES:
  // is_valid(geometry).
  static Result<std::unique_ptr<PoolMemory>> adopt(std::string_view pool,
                                                   std::vector<shm::UniqueFd> descriptors,
                                                   const layout::Geometry& geometry,
                                                   std::uint64_t instance);

  const shm::ControlSegment& segment() const { return segment_; }
  // As it was when this object was made, whatever peers have written since.
  std::uint64_t instance() const { return instance_; }
  // Mends what a peer has made of the pages themselves, in both data memories and the segment:
  // reserves those again that a peer gave back although they are warm, and gives back what dead
  // processes had reserved behind the kept part of slots that are FREE now. Looks at no slot while
  // the memories take as much as when last all was as it should be. A slot is held, as
  // kReaperOwner, while that is done to it: so no new owner is there meanwhile.
  void mend(const shm::SlotPool& slots, const Log& log);
  // To be sent with a Welcome; they stay this object's.
  std::vector<int> descriptors_for(wire::Role role) const;

 private:
  struct Data {
    shm::UniqueFd writable;
    shm::UniqueFd readable;
    // What it took when a look at all slots found nothing to mend; 0: not known.
    std::uint64_t settled_bytes = 0;
  };
  static Result<Data> create_data(const char* name, const layout::Geometry& geometry);
  static Result<Data> adopt_data(const shm::UniqueFd& memory, const layout::Geometry& geometry);
  void mend(Data& data, const shm::SlotPool& slots, const Log& log) const;
  void trim(const shm::SlotPool& slots, shm::SlotIndex slot, const Data& data) const;

  PoolMemory(shm::ControlSegment segment, shm::UniqueFd readable_control, Data requests,
             Data replies)
      : segment_(std::move(segment)),
        instance_(segment_.header().instance),
        readable_control_(std::move(readable_control)),
        requests_(std::move(requests)),
        replies_(std::move(replies)) {}

  shm::ControlSegment segment_;
  std::uint64_t instance_;
  shm::UniqueFd readable_control_;
  Data requests_;
  Data replies_;
};

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_POOL_MEMORY_H_
