// A setting in the control segment (layout::SettingRecord): a call that every worker of the pool
// makes, the present ones and the later ones.
//
// The supervisor alone writes records; workers read them while it may write. `epoch` is the
// record's seal: it is taken off before anything else changes and put on when everything is there,
// so a reader that finds the same seal before and after has read that setting and no mixture of
// two.
//
// A replaced setting has two records for a moment. The new one comes first, then the header's
// settings_epoch, and only then the old one goes: whoever misses both in its look finds the header
// changed after it, and looks again (see read_settings).

#ifndef SLOTRING_CLIENT_LIB_SHM_SETTING_RECORD_H_
#define SLOTRING_CLIENT_LIB_SHM_SETTING_RECORD_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "client_lib/shm/control_segment.h"

namespace slotring::shm {

inline constexpr std::size_t kMaxSettingBytes = sizeof(layout::SettingRecord::payload);
// One record is kept free, so that a setting can be replaced without a moment without it.
inline constexpr std::uint32_t kMaxSettingKeys = layout::kMaxSettings - 1;

struct Setting {
  std::uint32_t epoch = 0;
  std::string key;
  std::string method;
  std::uint8_t kind = 0;  // wire.PayloadKind: Empty, Bytes or Value
  bool retracted = false;
  std::vector<std::byte> payload;

  bool operator==(const Setting&) const = default;
};

// Why no record can hold this; nothing when one can. Errors: INVALID_ARGUMENT (key, method, kind),
// PAYLOAD_TOO_LARGE.
std::optional<Error> refuse_setting(const Setting& setting);
Error setting_too_large(std::size_t payload_bytes);

// A private copy, everything in it bounded; nothing where there is none, or where it is being
// written, or no supervisor wrote it so.
std::optional<Setting> read_setting(const layout::SettingRecord& record);

// For the supervisor. REQUIRES: setting.epoch != 0; refuse_setting() has nothing against it.
void write_setting(layout::SettingRecord& record, const Setting& setting);
void clear_setting(layout::SettingRecord& record);

// What a look at all records has found: of each key the newest, in order of epoch, and the header's
// epoch, which everything up to is in.
struct SettingsSeen {
  std::uint32_t epoch = 0;
  std::vector<Setting> settings;
};
SettingsSeen read_settings(const ControlSegment& segment);

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_SETTING_RECORD_H_
