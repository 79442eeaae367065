#include "client_lib/shm/setting_record.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <map>
#include <utility>

#include "schemas/frame_generated.h"

namespace slotring::shm {

namespace {

using layout::SettingRecord;

// Behind the seal: written and read a word at a time, so that a reader beside the writer reads
// nonsense that it throws away, and no data race.
constexpr std::size_t kBodyOffset = 8;
constexpr std::size_t kWords = sizeof(SettingRecord) / 8;
static_assert(offsetof(SettingRecord, payload_bytes) == 4 && sizeof(SettingRecord) % 8 == 0);

using Words = std::array<std::uint64_t, kWords>;

std::atomic_ref<std::uint64_t> word_of(const SettingRecord& record, std::size_t index) {
  auto* bytes = reinterpret_cast<std::byte*>(const_cast<SettingRecord*>(&record));
  return std::atomic_ref(*reinterpret_cast<std::uint64_t*>(bytes + 8 * index));
}

// The length stands beside the seal in one word, and is no atomic.
std::atomic_ref<std::uint32_t> payload_bytes_of(const SettingRecord& record) {
  return std::atomic_ref(const_cast<SettingRecord&>(record).payload_bytes);
}

std::size_t words_used(std::size_t payload_bytes) {
  return (offsetof(SettingRecord, payload) + payload_bytes + 7) / 8;
}

bool holds_name(const layout::FixedName& name) {
  return name.bytes >= 1 && name.bytes <= layout::kMaxNameBytes;
}

// Several looks in vain mean that somebody who is no supervisor writes there: what was seen last
// has to do.
constexpr int kMostLooks = 100;

}  // namespace

std::optional<Error> refuse_setting(const Setting& setting) {
  if (!is_name(setting.key) || !is_name(setting.method)) {
    return Error{ErrorCode::kInvalidArgument, "a broadcast's key and its method have 1 to " +
                                                  std::to_string(layout::kMaxNameBytes) + " bytes"};
  }
  if (setting.kind > static_cast<std::uint8_t>(wire::PayloadKind::Value)) {
    return Error{ErrorCode::kInvalidArgument,
                 "a broadcast's payload is empty, bytes or a value, and not of kind " +
                     std::to_string(setting.kind)};
  }
  if (setting.payload.size() > kMaxSettingBytes) {
    return setting_too_large(setting.payload.size());
  }
  return std::nullopt;
}

Error setting_too_large(std::size_t payload_bytes) {
  return Error{ErrorCode::kPayloadTooLarge,
               "a broadcast's payload has " + std::to_string(payload_bytes) +
                   " bytes; the pool keeps it for later workers, and has room for " +
                   std::to_string(kMaxSettingBytes)};
}

std::optional<Setting> read_setting(const SettingRecord& record) {
  // Acquire: partner of the release in write_setting(), after everything else was written.
  const std::uint32_t epoch = record.epoch.load(std::memory_order_acquire);
  if (epoch == 0) return std::nullopt;
  // Acquire, like those of the words: partners of the releases in write_setting(). Of a later
  // setting, what is read here makes the last look find the seal gone.
  const std::uint32_t bytes = payload_bytes_of(record).load(std::memory_order_acquire);
  SettingRecord copy;
  Words words{};
  if (bytes > kMaxSettingBytes) return std::nullopt;
  for (std::size_t i = kBodyOffset / 8; i < words_used(bytes); ++i) {
    words[i] = word_of(record, i).load(std::memory_order_acquire);
  }
  // Acquire: one that is gone shows the header's epoch that was stored before.
  if (record.epoch.load(std::memory_order_acquire) != epoch) return std::nullopt;
  constexpr std::size_t kBody = sizeof(SettingRecord) - kBodyOffset;
  std::memcpy(reinterpret_cast<std::byte*>(&copy) + kBodyOffset, &words[kBodyOffset / 8], kBody);
  if (!holds_name(copy.key) || !holds_name(copy.method) ||
      copy.payload_kind > static_cast<std::uint8_t>(wire::PayloadKind::Value)) {
    return std::nullopt;
  }
  return Setting{epoch,
                 load_name(copy.key),
                 load_name(copy.method),
                 copy.payload_kind,
                 copy.retracted != 0,
                 {copy.payload, copy.payload + bytes}};
}

void write_setting(SettingRecord& record, const Setting& setting) {
  clear_setting(record);
  SettingRecord whole{};
  whole.payload_kind = setting.kind;
  whole.retracted = setting.retracted ? 1 : 0;
  store_name(whole.key, setting.key);
  store_name(whole.method, setting.method);
  if (!setting.payload.empty()) {
    std::memcpy(whole.payload, setting.payload.data(), setting.payload.size());
  }
  // Release, each: nothing of it is seen without the seal being gone.
  payload_bytes_of(record).store(static_cast<std::uint32_t>(setting.payload.size()),
                                 std::memory_order_release);
  Words words;
  std::memcpy(words.data(), reinterpret_cast<const std::byte*>(&whole), sizeof(whole));
  for (std::size_t i = kBodyOffset / 8; i < words_used(setting.payload.size()); ++i) {
    word_of(record, i).store(words[i], std::memory_order_release);
  }
  // Release: partner of the acquire in read_setting().
  record.epoch.store(setting.epoch, std::memory_order_release);
}

void clear_setting(SettingRecord& record) {
  // Release: who sees the record gone sees the header's epoch that was stored before (the acquire
  // is in read_setting()).
  record.epoch.store(0, std::memory_order_release);
}

SettingsSeen read_settings(const ControlSegment& segment) {
  const auto epoch_now = [&] {
    // seq_cst: partner of the supervisor's store, after the new record and before the old one goes.
    return segment.header().settings_epoch.load(std::memory_order_seq_cst);
  };
  SettingsSeen seen;
  for (int look = 0; look < kMostLooks; ++look) {
    seen.epoch = epoch_now();
    std::map<std::string, Setting> newest;
    for (std::uint32_t i = 0; i < layout::kMaxSettings; ++i) {
      std::optional<Setting> setting = read_setting(segment.setting(i));
      if (!setting) continue;
      Setting& known = newest[setting->key];
      if (known.epoch < setting->epoch) known = *std::move(setting);
    }
    seen.settings.clear();
    for (auto& [key, setting] : newest) seen.settings.push_back(std::move(setting));
    if (epoch_now() == seen.epoch) break;
  }
  std::sort(seen.settings.begin(), seen.settings.end(),
            [](const Setting& a, const Setting& b) { return a.epoch < b.epoch; });
  return seen;
}

}  // namespace slotring::shm
