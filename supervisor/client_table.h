// The pool's clients: who holds which place in the segment's client table, whose index is the owner
// in a slot word.
//
// The supervisor's own record here is the truth; the one in the segment is written for others to
// see, and for the next supervisor, should this one die. A place is given out again only after
// everything that its last holder left was reclaimed, and with the next epoch.

#ifndef SLOTRING_SUPERVISOR_CLIENT_TABLE_H_
#define SLOTRING_SUPERVISOR_CLIENT_TABLE_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "client_lib/shm/process_identity.h"
#include "client_lib/shm/repair.h"
#include "client_lib/shm/slot_pool.h"

namespace slotring::supervisor {

class ClientTable {
 public:
  struct Place {
    std::uint16_t index;
    std::uint32_t epoch;
  };

  // `pool` outlives this.
  explicit ClientTable(const shm::SlotPool& pool);

  // Nothing when the table is full.
  [[nodiscard]] std::optional<Place> try_attach(std::string_view name, pid_t pid,
                                                std::uint64_t start_time);

  // A place that an earlier supervisor of this memory gave out.
  struct Adopted {
    std::uint16_t index;
    std::string name;
    shm::ProcessIdentity process;
    bool left;  // it has released everything, or what it left was being reclaimed
  };
  // Takes over the table as it stands in the segment. Before any try_attach().
  std::vector<Adopted> adopt();

  // Whether the place is given out in this epoch.
  bool is_attached(std::uint32_t index, std::uint32_t epoch) const {
    return index < records_.size() && records_[index].attached && records_[index].epoch == epoch;
  }

  // Whether a client says in the segment that it has released everything.
  bool has_left(std::uint16_t index) const;

  // Takes back everything that a client holds, and its place. Returns how many slots that were.
  // REQUIRES: the client is proven dead, or said Goodbye.
  std::uint32_t reclaim(std::uint16_t index);

  // What the client table in the segment should say.
  const std::vector<shm::PoolTruth::Client>& truth() const { return records_; }
  std::uint32_t attached() const { return attached_; }
  std::uint32_t capacity() const { return static_cast<std::uint32_t>(records_.size()); }

 private:
  const shm::SlotPool& pool_;
  std::vector<shm::PoolTruth::Client> records_;
  std::uint32_t attached_ = 0;
};

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_CLIENT_TABLE_H_
