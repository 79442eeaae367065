#include "client_lib/shm/session_table.h"

#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "client_lib/shm/futex.h"
#include "client_lib/shm/session_audit.h"
#include "tests/support/session_state.h"

namespace slotring::shm {
namespace {

using layout::SessionState;

constexpr std::uint16_t kMe = 3;

class SessionTableTest : public ::testing::Test {
 protected:
  static constexpr std::uint32_t kSessions = 4;

  FoundSession create(std::string_view name) {
    return table_.find_or_create(name, creator_client(kMe)).value();
  }
  bool has(std::string_view name) { return table_.find(name).value().has_value(); }
  bool end(std::string_view name) {
    const auto found = table_.find(name).value();
    return found && table_.try_end(found->index, found->word);
  }
  std::vector<std::string> names() {
    std::vector<std::string> names;
    table_.for_each([&](SessionIndex i, const SessionWord&) { names.push_back(table_.name(i)); });
    return names;
  }

  ControlSegment segment_ = testing::session_segment(kSessions);
  SessionTable table_{segment_};
};

TEST_F(SessionTableTest, FindsWhatWasCreatedAndNothingElse) {
  EXPECT_FALSE(has("a"));
  const FoundSession made = create("a");
  EXPECT_TRUE(made.created);
  EXPECT_EQ(made.word.state, SessionState::kActive);
  EXPECT_EQ(made.word.home, layout::kNoHome);
  const auto found = table_.find("a").value();
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->index, made.index);
  EXPECT_EQ(found->word, made.word);
  EXPECT_FALSE(found->created);
  EXPECT_FALSE(has("b"));
}

TEST_F(SessionTableTest, ASecondCreatorFindsTheFirstOnesSession) {
  const FoundSession first = create("a");
  const FoundSession second = create("a");
  EXPECT_FALSE(second.created);
  EXPECT_EQ(second.index, first.index);
  EXPECT_EQ(second.word, first.word);
}

TEST_F(SessionTableTest, AnEndedSessionIsGoneAndItsRecordIsUsedAgain) {
  for (int round = 0; round < 100; ++round) {
    for (const char* name : {"a", "b", "c", "d"}) EXPECT_TRUE(create(name).created);
    for (const char* name : {"c", "a", "d", "b"}) EXPECT_TRUE(end(name));
    EXPECT_EQ(names(), std::vector<std::string>{});
  }
}

TEST_F(SessionTableTest, AnEndedSessionCannotBeEndedOrChangedAgain) {
  FoundSession old = create("a");
  ASSERT_TRUE(table_.try_end(old.index, old.word));
  EXPECT_FALSE(table_.try_end(old.index, old.word));
  EXPECT_FALSE(table_.try_update(old.index, old.word, 1, 0));
  EXPECT_EQ(old.word.state, SessionState::kVacant);
  EXPECT_FALSE(table_.try_update(old.index, old.word, 1, 0));
}

TEST_F(SessionTableTest, ASessionsHomeAndFlagsChangeInOneStep) {
  const FoundSession made = create("a");
  SessionWord mine = made.word;
  SessionWord late = made.word;
  EXPECT_TRUE(table_.try_update(made.index, mine, 7, layout::kFlagHasState));
  EXPECT_EQ(mine.home, 7);
  EXPECT_TRUE(mine.has_state());
  EXPECT_FALSE(table_.try_update(made.index, late, 8, 0));
  EXPECT_EQ(late, mine) << "who was late learns what it has become";
  EXPECT_FALSE(table_.try_end(made.index, made.word));
  EXPECT_TRUE(table_.try_end(made.index, mine));
}

TEST_F(SessionTableTest, RefusesOneMoreSessionThanTheQuota) {
  for (const char* name : {"a", "b", "c", "d"}) create(name);
  const auto refused = table_.find_or_create("e", kMe);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kSessionLimit);
  EXPECT_NE(refused.error().message.find("max_sessions"), std::string::npos);
  EXPECT_TRUE(table_.find_or_create("d", kMe).ok()) << "those that are there go on";
  EXPECT_TRUE(end("b"));
  EXPECT_TRUE(create("e").created);
}

TEST_F(SessionTableTest, TakesNamesOfOneToSixtyThreeBytes) {
  for (const std::string& name : {std::string(), std::string(64, 'x')}) {
    EXPECT_EQ(table_.find(name).error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(table_.find_or_create(name, kMe).error().code, ErrorCode::kInvalidArgument);
  }
  const std::string nul("a\0b", 3);
  for (const std::string& name : {std::string(1, 'x'), std::string(63, 'x'), nul}) {
    EXPECT_EQ(table_.name(create(name).index), name);
    EXPECT_TRUE(has(name));
  }
  EXPECT_FALSE(has("a"));
  EXPECT_FALSE(has(std::string(62, 'x')));
}

TEST_F(SessionTableTest, ANewSessionsFiguresBeginAtNothing) {
  layout::SessionRecord& record = table_.record(create("a").index);
  record.stats.ended[1].store(5);
  record.stats.total_ns.store(5);
  record.stats.latency[3].store(5);
  record.home_generation.store(5);
  ASSERT_TRUE(end("a"));
  const MonotonicNs before = monotonic_now();
  for (const char* name : {"a", "b", "c", "d"}) {  // one of them has the same record
    const layout::SessionRecord& made = table_.record(create(name).index);
    EXPECT_EQ(made.stats.ended[1].load(), 0u);
    EXPECT_EQ(made.stats.total_ns.load(), 0u);
    EXPECT_EQ(made.stats.latency[3].load(), 0u);
    EXPECT_EQ(made.home_generation.load(), 0u);
    EXPECT_GE(made.last_used_ns.load(), before);
    EXPECT_GT(made.created_ns.load(), std::uint64_t{1'500'000'000} * 1'000'000'000);
  }
}

TEST(SessionTable, APoolWithoutSessionsFindsAndMakesNone) {
  const ControlSegment segment = testing::session_segment(0);
  const SessionTable table(segment);
  EXPECT_FALSE(table.find("a").value().has_value());
  EXPECT_EQ(table.find_or_create("a", kMe).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(audit_sessions(segment, testing::everybody_lives), 0u);
}

TEST(SessionTable, HoldsAsManySessionsAsItSays) {
  constexpr std::uint32_t kMany = 1000;
  const ControlSegment segment = testing::session_segment(kMany);
  const SessionTable table(segment);
  std::map<std::string, SessionIndex> made;
  for (std::uint32_t i = 0; i < kMany; ++i) {
    const std::string name = "user-" + std::to_string(i);
    made[name] = table.find_or_create(name, kMe).value().index;
  }
  EXPECT_EQ(table.find_or_create("more", kMe).error().code, ErrorCode::kSessionLimit);
  for (const auto& [name, index] : made) EXPECT_EQ(table.find(name).value()->index, index);
  std::uint32_t seen = 0;
  table.for_each([&](SessionIndex index, const SessionWord&) {
    EXPECT_EQ(made.at(table.name(index)), index);
    ++seen;
  });
  EXPECT_EQ(seen, kMany);
  EXPECT_EQ(audit_sessions(segment, testing::nobody_lives), 0u);
}

}  // namespace
}  // namespace slotring::shm
