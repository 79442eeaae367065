#include "supervisor/settings.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace slotring::supervisor {

void Settings::adopt() {
  epoch_ = segment_.header().settings_epoch.load(std::memory_order_relaxed);
  for (std::uint32_t i = 0; i < layout::kMaxSettings; ++i) {
    written_[i] = shm::read_setting(segment_.setting(i));
    if (!written_[i]) {
      clear(i);  // half written, or scribbled over
      continue;
    }
    epoch_ = std::max(epoch_, written_[i]->epoch);
  }
  // The one that it died over has effect from here on. seq_cst: as in write().
  segment_.header().settings_epoch.store(epoch_, std::memory_order_seq_cst);
  for (std::uint32_t i = 0; i < layout::kMaxSettings; ++i) {
    for (std::uint32_t other = 0; written_[i] && other < layout::kMaxSettings; ++other) {
      const auto& newer = written_[other];
      if (newer && newer->key == written_[i]->key && newer->epoch > written_[i]->epoch) clear(i);
    }
  }
}

Result<std::uint32_t> Settings::record(shm::Setting setting) {
  if (std::optional<Error> why = shm::refuse_setting(setting)) return *std::move(why);
  forget_done_retractions();
  const std::optional<std::uint32_t> old = index_of(setting.key);
  if (!old && keys() >= shm::kMaxSettingKeys) {
    return Error{ErrorCode::kSystemLimit,
                 "the pool keeps settings of " + std::to_string(shm::kMaxSettingKeys) +
                     " keys already, which is the most; retract one, or use one of their keys"};
  }
  if (epoch_ == std::numeric_limits<std::uint32_t>::max()) {
    return Error{ErrorCode::kSystemLimit, "the pool has no more numbers for settings; restart it"};
  }
  write(free_index(), std::move(setting));
  if (old) clear(*old);
  return epoch_;
}

std::uint32_t Settings::mend() {
  std::uint32_t mended = 0;
  for (std::uint32_t i = 0; i < layout::kMaxSettings; ++i) {
    layout::SettingRecord& record = segment_.setting(i);
    if (written_[i] && shm::read_setting(record) != written_[i]) {
      write(i, *written_[i]);
      ++mended;
    } else if (!written_[i] && record.epoch.load(std::memory_order_relaxed) != 0) {
      clear(i);
      ++mended;
    }
  }
  if (segment_.header().settings_epoch.load(std::memory_order_relaxed) != epoch_) {
    segment_.header().settings_epoch.store(epoch_, std::memory_order_seq_cst);
    ++mended;
  }
  return mended;
}

std::uint32_t Settings::keys() const {
  return static_cast<std::uint32_t>(std::count_if(
      written_.begin(), written_.end(), [](const auto& setting) { return setting.has_value(); }));
}

bool Settings::any_in_effect() const {
  return std::any_of(written_.begin(), written_.end(),
                     [](const auto& setting) { return setting && !setting->retracted; });
}

void Settings::write(std::uint32_t index, shm::Setting setting) {
  setting.epoch = ++epoch_;
  shm::write_setting(segment_.setting(index), setting);
  written_[index] = std::move(setting);
  // seq_cst: partner of shm::read_settings(), and of the look at it before each call. The old
  // record goes after this.
  segment_.header().settings_epoch.store(epoch_, std::memory_order_seq_cst);
}

void Settings::clear(std::uint32_t index) {
  shm::clear_setting(segment_.setting(index));
  written_[index].reset();
}

void Settings::forget_done_retractions() {
  for (std::uint32_t i = 0; i < layout::kMaxSettings; ++i) {
    const auto& setting = written_[i];
    if (setting && setting->retracted && is_made_by_all(setting->epoch)) clear(i);
  }
}

// A worker that is still to come needs no retraction: it looks for the first time then.
bool Settings::is_made_by_all(std::uint32_t epoch) const {
  for (shm::SeatIndex seat = 0; seat < segment_.geometry().max_workers; ++seat) {
    const layout::SeatState state = segment_.seat_word(seat).state;
    const bool has_worker = state == layout::SeatState::kStarting ||
                            state == layout::SeatState::kReady ||
                            state == layout::SeatState::kDraining;
    // Acquire: partner of the worker's release after it made the calls.
    if (has_worker && segment_.seat(seat).settings_epoch.load(std::memory_order_acquire) < epoch) {
      return false;
    }
  }
  return true;
}

std::optional<std::uint32_t> Settings::index_of(const std::string& key) const {
  for (std::uint32_t i = 0; i < layout::kMaxSettings; ++i) {
    if (written_[i] && written_[i]->key == key) return i;
  }
  return std::nullopt;
}

// There is one: of kMaxSettings records at most kMaxSettingKeys are in use between two calls.
std::uint32_t Settings::free_index() const {
  const auto vacant = std::find(written_.begin(), written_.end(), std::nullopt);
  return static_cast<std::uint32_t>(vacant - written_.begin());
}

}  // namespace slotring::supervisor
