// What the supervisor keeps for every worker, and that a death in the middle leaves each key whole.

#include "supervisor/settings.h"

#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "tests/support/mortal_process.h"

namespace slotring::supervisor {
namespace {

using shm::Setting;

Setting setting(std::string key, std::string_view text, bool retracted = false) {
  Setting made;
  made.key = std::move(key);
  made.method = "configure";
  made.kind = 1;
  made.retracted = retracted;
  const auto bytes = std::as_bytes(std::span(text));
  made.payload.assign(bytes.begin(), bytes.end());
  return made;
}

class SettingsTest : public ::testing::Test {
 protected:
  static shm::ControlSegment make_segment() {
    const layout::Geometry geometry{
        2, 1, 1, 1, layout::kMinAreaBytes, layout::kPageBytes, layout::kPageBytes};
    return shm::ControlSegment::create("test", geometry).value();
  }
  std::uint32_t epoch() const { return segment_.header().settings_epoch.load(); }
  // What workers make of a key; empty for none.
  std::string read(const std::string& key) const {
    for (const Setting& seen : shm::read_settings(segment_).settings) {
      if (seen.key == key) return text_of(seen);
    }
    return "";
  }
  static std::string text_of(const Setting& seen) {
    return {reinterpret_cast<const char*>(seen.payload.data()), seen.payload.size()};
  }
  void set_worker(shm::SeatIndex seat, layout::SeatState state, std::uint32_t made) const {
    segment_.seat(seat).word.store(layout::SeatWord{1, state}.pack());
    segment_.seat(seat).settings_epoch.store(made);
  }

  shm::ControlSegment segment_ = make_segment();
  Settings settings_{segment_};
};

TEST_F(SettingsTest, EachSettingHasTheNextEpochAndIsReadBackWhole) {
  EXPECT_EQ(settings_.record(setting("lm", "small")).value(), 1u);
  EXPECT_EQ(settings_.record(setting("seed", std::string(shm::kMaxSettingBytes, 'x'))).value(), 2u);
  EXPECT_EQ(epoch(), 2u);
  const shm::SettingsSeen seen = shm::read_settings(segment_);
  ASSERT_EQ(seen.settings.size(), 2u);
  EXPECT_EQ(seen.epoch, 2u);
  Setting first = setting("lm", "small");
  first.epoch = 1;
  EXPECT_EQ(seen.settings[0], first);
  EXPECT_EQ(text_of(seen.settings[1]), std::string(shm::kMaxSettingBytes, 'x'));
}

TEST_F(SettingsTest, OneOfTheSameKeyTakesTheOthersPlace) {
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(settings_.record(setting("lm", std::to_string(i))).ok());
  }
  EXPECT_EQ(settings_.keys(), 1u);
  EXPECT_EQ(read("lm"), "999");
  EXPECT_EQ(shm::read_settings(segment_).settings.size(), 1u);
}

TEST_F(SettingsTest, ARetractionIsNothingThatLaterWorkersMake) {
  EXPECT_FALSE(settings_.any_in_effect());
  ASSERT_TRUE(settings_.record(setting("lm", "small")).ok());
  EXPECT_TRUE(settings_.any_in_effect());
  Settings next(segment_);
  next.adopt();
  EXPECT_TRUE(next.any_in_effect());
  set_worker(0, layout::SeatState::kReady, 1);  // which is still to make the retraction
  ASSERT_TRUE(next.record(setting("lm", "", /*retracted=*/true)).ok());
  EXPECT_EQ(next.keys(), 1u);
  EXPECT_FALSE(next.any_in_effect());
}

TEST_F(SettingsTest, WhatDoesNotFitIsRefusedByNamingTheLimit) {
  const Error large =
      settings_.record(setting("lm", std::string(shm::kMaxSettingBytes + 1, 'x'))).error();
  EXPECT_EQ(large.code, ErrorCode::kPayloadTooLarge);
  EXPECT_NE(large.message.find(std::to_string(shm::kMaxSettingBytes)), std::string::npos);
  EXPECT_EQ(settings_.record(setting("", "")).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(settings_.record(setting(std::string(64, 'k'), "")).error().code,
            ErrorCode::kInvalidArgument);
  Setting tensors = setting("t", "");
  tensors.kind = 3;
  EXPECT_EQ(settings_.record(tensors).error().code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(settings_.record(setting(std::string(63, 'k'), "")).ok());
}

TEST_F(SettingsTest, AFullTableIsAnErrorAndItsKeysCanStillBeReplaced) {
  for (std::uint32_t i = 0; i < shm::kMaxSettingKeys; ++i) {
    ASSERT_TRUE(settings_.record(setting("key" + std::to_string(i), "old")).ok());
  }
  const Error full = settings_.record(setting("one more", "")).error();
  EXPECT_EQ(full.code, ErrorCode::kSystemLimit);
  EXPECT_NE(full.message.find("63"), std::string::npos);
  EXPECT_TRUE(settings_.record(setting("key7", "new")).ok());
  EXPECT_EQ(read("key7"), "new");
}

TEST_F(SettingsTest, ARetractionStaysUntilEveryWorkerHasMadeIt) {
  set_worker(0, layout::SeatState::kReady, 0);
  set_worker(1, layout::SeatState::kLost, 0);
  ASSERT_TRUE(settings_.record(setting("lm", "on")).ok());
  ASSERT_EQ(settings_.record(setting("lm", "off", true)).value(), 2u);
  ASSERT_TRUE(settings_.record(setting("other", "")).ok());
  EXPECT_EQ(read("lm"), "off") << "seat 0 has not made it";
  set_worker(0, layout::SeatState::kReady, 2);
  ASSERT_TRUE(settings_.record(setting("other", "")).ok());
  EXPECT_EQ(read("lm"), "");
  EXPECT_EQ(settings_.keys(), 1u);
}

TEST_F(SettingsTest, TheNextSupervisorGoesOnFromThem) {
  ASSERT_TRUE(settings_.record(setting("lm", "small")).ok());
  ASSERT_TRUE(settings_.record(setting("seed", "1")).ok());
  Settings next(segment_);
  next.adopt();
  EXPECT_EQ(next.keys(), 2u);
  EXPECT_EQ(next.record(setting("lm", "large")).value(), 3u);
  EXPECT_EQ(read("lm"), "large");
  EXPECT_EQ(read("seed"), "1");
}

TEST_F(SettingsTest, AScribbledRecordIsMendedAndMadeOnceMore) {
  ASSERT_TRUE(settings_.record(setting("lm", "small")).ok());
  EXPECT_EQ(settings_.mend(), 0u);
  segment_.setting(0).payload[0] = std::byte{'X'};
  segment_.setting(40).epoch.store(7);
  segment_.header().settings_epoch.store(99);
  EXPECT_EQ(settings_.mend(), 2u);
  EXPECT_EQ(read("lm"), "small");
  EXPECT_EQ(epoch(), 2u);
  EXPECT_EQ(segment_.setting(40).epoch.load(), 0u);
}

TEST_F(SettingsTest, NonsenseInTheSegmentIsNotTakenOver) {
  for (std::uint32_t i = 0; i < layout::kMaxSettings; ++i) {
    layout::SettingRecord& record = segment_.setting(i);
    record.payload_bytes = i == 0 ? ~0u : 8;
    record.key.bytes = i == 1 ? 200 : 3;
    record.method.bytes = i == 2 ? 0 : 3;
    record.payload_kind = i == 3 ? 9 : 1;
    record.epoch.store(i + 1);
  }
  Settings next(segment_);
  next.adopt();
  EXPECT_EQ(next.keys(), 1u) << "the others had one key, and the newest of them holds";
  EXPECT_EQ(epoch(), layout::kMaxSettings);
}

// The supervisor is killed before each of its accesses to the segment, in turn.
class SettingsDeath : public SettingsTest {
 protected:
  void SetUp() override {
    if (!testing::kDeathsAtAccesses) GTEST_SKIP() << "x86-64 only";
  }
};

TEST_F(SettingsDeath, AReplacedSettingIsTheOldOneOrTheNewOneAtEveryInstant) {
  ASSERT_TRUE(settings_.record(setting("other", "untouched")).ok());
  ASSERT_TRUE(settings_.record(setting("lm", "value 0")).ok());
  bool was_old = false;
  bool was_new = false;
  int fatal = 0;
  for (bool survived = false; !survived; ++fatal) {
    const std::string before = read("lm");
    const std::string after = "value " + std::to_string(fatal + 1);
    survived = testing::survives_access(
        segment_, fatal,
        [&] {
          Settings mortal(segment_);
          mortal.adopt();
          return mortal;
        },
        [&](Settings& mortal) { (void)mortal.record(setting("lm", after)).ok(); });
    const std::string left = read("lm");
    ASSERT_TRUE(left == before || left == after) << fatal << ": " << left;
    ASSERT_EQ(read("other"), "untouched") << fatal;
    Settings next(segment_);
    next.adopt();
    ASSERT_EQ(read("lm"), left) << fatal << ": the next supervisor finds what workers found";
    ASSERT_EQ(next.keys(), 2u) << fatal;
    was_old = was_old || left == before;
    was_new = was_new || (left == after && !survived);
  }
  EXPECT_GT(fatal, 20);
  EXPECT_TRUE(was_old);
  EXPECT_TRUE(was_new) << "it also died after the new one was there";
}

TEST_F(SettingsDeath, ATakeOverMayDieAnywhereAndIsRepeated) {
  ASSERT_TRUE(settings_.record(setting("lm", "old")).ok());
  Setting newer = setting("lm", "new");
  newer.epoch = 2;
  bool survived = false;
  for (int fatal = 0; !survived; ++fatal) {
    // As a supervisor leaves it that died between the new record and the old one's end.
    shm::write_setting(segment_.setting(5), newer);
    survived = testing::survives_access(
        segment_, fatal, [&] { return Settings(segment_); },
        [](Settings& mortal) { mortal.adopt(); });
    ASSERT_EQ(read("lm"), "new") << fatal;
  }
  EXPECT_EQ(epoch(), 2u);
}

}  // namespace
}  // namespace slotring::supervisor
