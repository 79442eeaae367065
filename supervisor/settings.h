// The pool's settings: calls that every worker makes, the present ones and each later one before it
// serves (schemas/control_layout.h, SettingRecord). Clients ask for them with Broadcast; they live
// in the segment, so that workers find them without a supervisor, and the next supervisor goes on
// from them.
//
// Guarantee: killed at any instruction, of each key the old setting or the new one is there, whole.
// A setting has effect when the header's settings_epoch covers it: a call that starts afterwards
// meets a worker that has made it.
//
// Retracting a key is a last call under it, for the workers that are there; later ones make neither
// it nor what it retracts. Its record goes when a later broadcast finds that every worker has made
// it; until then it counts as a key.

#ifndef SLOTRING_SUPERVISOR_SETTINGS_H_
#define SLOTRING_SUPERVISOR_SETTINGS_H_

#include <array>
#include <cstdint>
#include <optional>

#include "client_lib/shm/setting_record.h"
#include "slotring/result.h"

namespace slotring::supervisor {

class Settings {
 public:
  // `segment` outlives this.
  explicit Settings(const shm::ControlSegment& segment) : segment_(segment) {}

  // Takes over what an earlier supervisor left, in whatever step it died. Before anything else.
  void adopt();

  // Keeps a setting, in place of the one of the same key; its epoch is given here and returned.
  // Errors: INVALID_ARGUMENT, PAYLOAD_TOO_LARGE, SYSTEM_LIMIT (as many keys as there can be).
  Result<std::uint32_t> record(shm::Setting setting);

  // Writes again what a peer has scribbled over, as a new setting that workers make once more: they
  // may have made what was scribbled. How many records were mended.
  std::uint32_t mend();

  std::uint32_t keys() const;
  // Whether later workers have any to make: retractions are of the present ones.
  bool any_in_effect() const;

 private:
  void write(std::uint32_t index, shm::Setting setting);
  void clear(std::uint32_t index);
  void forget_done_retractions();
  bool is_made_by_all(std::uint32_t epoch) const;
  std::optional<std::uint32_t> index_of(const std::string& key) const;
  std::uint32_t free_index() const;

  const shm::ControlSegment& segment_;
  // What the records hold, as this supervisor wrote or adopted it.
  std::array<std::optional<shm::Setting>, layout::kMaxSettings> written_;
  std::uint32_t epoch_ = 0;
};

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_SETTINGS_H_
