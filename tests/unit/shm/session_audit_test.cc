// The audit of the session table: what the dead left half done, and what a hostile peer wrote.

#include "client_lib/shm/session_audit.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "client_lib/shm/repair.h"
#include "client_lib/shm/session_table.h"
#include "tests/support/effort.h"
#include "tests/support/random_source.h"
#include "tests/support/session_state.h"

namespace slotring::shm {
namespace {

using layout::SessionLink;
using layout::SessionRecord;
using testing::everybody_lives;
using testing::nobody_lives;

constexpr std::uint16_t kMe = 3;

class SessionAuditTest : public ::testing::Test {
 protected:
  static constexpr std::uint32_t kSessions = 8;

  // The last created is the first of the chain.
  SessionIndex create(const std::string& name) const {
    return table_.find_or_create(name, kMe).value().index;
  }
  SessionRecord& record(SessionIndex index) const { return table_.record(index); }
  void set(SessionIndex index, SessionState state, std::uint16_t home = layout::kNoHome) const {
    SessionWord word = table_.word(index);
    word.state = state;
    word.home = home;
    record(index).word.store(word.pack());
  }
  SessionState state(SessionIndex index) const { return table_.word(index).state; }
  // A record that its creator took and did not link.
  void take_only(SessionIndex index) const {
    record(index).word.store(SessionWord{9, kMe, SessionState::kCreating, 0}.pack());
  }
  std::uint32_t audit(const std::function<bool(std::uint16_t)>& is_alive = nobody_lives) const {
    return audit_sessions(segment_, is_alive);
  }
  ErrorCode error_of(const std::string& name) const {
    const auto found = table_.find(name);
    return found ? ErrorCode::kOk : found.error().code;
  }

  ControlSegment segment_ = testing::session_segment(kSessions);
  SessionTable table_{segment_};
  std::vector<std::string> names_ = testing::names_of_one_chain(segment_, 4);
};

TEST_F(SessionAuditTest, FindsNothingToMendWhereNothingIsWrong) {
  for (const std::string& name : names_) create(name);
  EXPECT_EQ(audit(), 0u);
}

TEST_F(SessionAuditTest, ADeadCreatorsSessionIsThereWhenItIsLinkedAndElseNot) {
  const SessionIndex linked = create(names_[0]);
  set(linked, SessionState::kCreating, kMe);
  const SessionIndex other = (linked + 1) % kSessions;
  take_only(other);
  EXPECT_EQ(audit(), 2u);
  EXPECT_EQ(state(linked), SessionState::kActive);
  EXPECT_EQ(state(other), SessionState::kVacant);
  testing::expect_sound(segment_);
}

TEST_F(SessionAuditTest, ALivingCreatorIsLeftAlone) {
  take_only(0);
  std::vector<std::uint16_t> asked;
  EXPECT_EQ(audit([&](std::uint16_t creator) { return asked.push_back(creator), true; }), 0u);
  EXPECT_EQ(asked, std::vector<std::uint16_t>{kMe});
  EXPECT_EQ(state(0), SessionState::kCreating);
}

TEST_F(SessionAuditTest, WhoFindsASessionInTheMakingFinishesIt) {
  const SessionIndex made = create(names_[0]);
  set(made, SessionState::kCreating, kMe);
  const FoundSession found = table_.find(names_[0]).value().value();
  EXPECT_EQ(found.index, made);
  EXPECT_EQ(found.word.state, SessionState::kActive);
  EXPECT_EQ(found.word.home, layout::kNoHome) << "its creator is not its home";
}

TEST_F(SessionAuditTest, AnEndedSessionIsTakenOutWhereverItsEnderStopped) {
  for (const std::string& name : names_) create(name);
  const SessionIndex ended = table_.find(names_[1]).value()->index;
  set(ended, SessionState::kEnded);
  EXPECT_EQ(audit(everybody_lives), 1u);
  EXPECT_EQ(state(ended), SessionState::kVacant);
  testing::expect_sound(segment_);
}

TEST_F(SessionAuditTest, AFullTableGivesTheRecordsOfHalfEndedSessions) {
  for (std::uint32_t i = 0; i < kSessions; ++i) create("s" + std::to_string(i));
  set(table_.find("s3").value()->index, SessionState::kEnded);
  EXPECT_TRUE(table_.find_or_create("one more", kMe).ok());
  testing::expect_sound(segment_);
}

TEST_F(SessionAuditTest, SessionsBehindABrokenLinkAreFoundAgain) {
  for (const std::string& name : names_) create(name);
  const SessionIndex second = table_.find(names_[2]).value()->index;
  record(second).next.store(SessionLink{77, false, 1}.pack());
  EXPECT_EQ(error_of(names_[0]), ErrorCode::kBadSegment);
  EXPECT_GT(audit(), 0u);
  for (const std::string& name : names_) EXPECT_TRUE(table_.find(name).value()) << name;
  testing::expect_sound(segment_);
}

TEST_F(SessionAuditTest, ARingOfRecordsIsFoundOutAndCut) {
  for (const std::string& name : names_) create(name);
  const FoundSession last = table_.find(names_[0]).value().value();
  const FoundSession first = table_.find(names_[3]).value().value();
  record(last.index).next.store(SessionLink{last.word.incarnation, false, first.index + 1}.pack());
  const std::string missing = testing::names_of_one_chain(segment_, 5).back();
  EXPECT_EQ(error_of(missing), ErrorCode::kBadSegment);
  EXPECT_GT(audit(), 0u);
  testing::expect_sound(segment_);
  for (const std::string& name : names_) EXPECT_TRUE(table_.find(name).value()) << name;
}

TEST_F(SessionAuditTest, OfTwoSessionsWithOneNameOneIsEnded) {
  const SessionIndex first = create(names_[0]);
  const SessionIndex second = create(names_[1]);
  for (int i = 0; i < 8; ++i) record(first).name[i].store(record(second).name[i].load());
  EXPECT_EQ(audit(), 1u);
  EXPECT_EQ(state(first), SessionState::kVacant);
  EXPECT_EQ(table_.find(names_[1]).value()->index, second);
  testing::expect_sound(segment_);
}

TEST_F(SessionAuditTest, AHomeAndItsStateOutliveAMendedChain) {
  FoundSession session = table_.find_or_create(names_[0], kMe).value();
  ASSERT_TRUE(table_.try_update(session.index, session.word, 2, layout::kFlagHasState));
  segment_.session_bucket(0).store(0);
  EXPECT_EQ(audit(), 1u);
  const FoundSession found = table_.find(names_[0]).value().value();
  EXPECT_EQ(found.word.home, 2);
  EXPECT_TRUE(found.word.has_state());
  EXPECT_FALSE(table_.try_end(session.index, session.word))
      << "what was known of it is out of date";
}

TEST_F(SessionAuditTest, RepairsAuditTheSessions) {
  const testing::LocalPool local(testing::session_geometry(kSessions));
  local.publish_all();
  PoolTruth truth{.header = copy_header(local.segment()),
                  .supervisor_epoch = 1,
                  .supervisor_pid = local.segment().header().supervisor_pid.load(),
                  .methods = {},
                  .seats = {{local.segment().seat_word(0)}},
                  .clients = {}};
  truth.clients.resize(2);
  truth.clients[0].attached = true;
  for (SessionIndex i = 0; i < 3; ++i) {
    // Of a client that is attached, one that is not, and a worker that is there.
    const std::uint16_t creators[] = {creator_client(0), creator_client(1), creator_seat(0)};
    local.segment().session(i).word.store(
        SessionWord{1, creators[i], SessionState::kCreating, 0}.pack());
  }
  const Repairs done = repair(local.pool(), truth);
  EXPECT_EQ(done.sessions, 1u);
  EXPECT_NE(done.to_string().find("1 session"), std::string::npos) << done.to_string();
  EXPECT_EQ(SessionTable(local.segment()).word(1).state, SessionState::kVacant);
}

// Writes what nobody should into the table: often something near to what belongs there.
class Scribbler {
 public:
  Scribbler(const ControlSegment& segment, std::uint64_t stream)
      : segment_(segment), random_(stream) {}

  void scribble() {
    const std::uint32_t records = segment_.geometry().max_sessions;
    SessionRecord& record = segment_.session(random_.below(records));
    switch (random_.below(5)) {
      case 0:
        return record.word.store(random_.one_in(4) ? random_.word() : word());
      case 1:
        return record.next.store(random_.one_in(4) ? random_.word() : link());
      case 2:
        return segment_.session_bucket(random_.below(segment_.session_bucket_count()))
            .store(random_.one_in(4) ? random_.word() : link());
      case 3:
        return record.name[random_.below(8)].store(random_.one_in(2) ? random_.word() : 0);
      default:
        return record.next.store(segment_.session(random_.below(records)).next.load());
    }
  }

 private:
  std::uint64_t word() {
    return SessionWord{random_.below(4), static_cast<std::uint16_t>(random_.below(8)),
                       static_cast<SessionState>(random_.below(5)), 0}
        .pack();
  }
  std::uint64_t link() {
    return SessionLink{random_.below(4), random_.one_in(2),
                       random_.below(segment_.geometry().max_sessions + 2)}
        .pack();
  }

  const ControlSegment& segment_;
  testing::RandomSource random_;
};

// Ends, one way or the other; the table may be anything.
void use(const SessionTable& table, testing::RandomSource& random) {
  const std::string name = "s" + std::to_string(random.below(12));
  auto found = table.find_or_create(name, kMe);
  if (!found) {
    EXPECT_TRUE(found.error().code == ErrorCode::kBadSegment ||
                found.error().code == ErrorCode::kSessionLimit)
        << found.error().to_string();
    return;
  }
  (void)table.try_update(found->index, found->word, 1, 0);
  if (random.one_in(2)) (void)table.try_end(found->index, found->word);
  table.for_each([&](SessionIndex i, const SessionWord&) { EXPECT_LE(table.name(i).size(), 63u); });
}

TEST_F(SessionAuditTest, WhateverAPeerWroteTheTableIsSoundAfterOneAudit) {
  testing::RandomSource random;
  for (int round = 0; round < testing::effort(2'000); ++round) {
    const ControlSegment segment = testing::session_segment(kSessions);
    const SessionTable table(segment);
    Scribbler scribbler(segment, static_cast<std::uint64_t>(round));
    for (int i = 0; i < 12; ++i) use(table, random);
    for (std::uint32_t i = 0; i <= random.below(8); ++i) scribbler.scribble();
    for (int i = 0; i < 4; ++i) use(table, random);
    audit_sessions(segment, nobody_lives);
    testing::expect_sound(segment);
    testing::expect_nothing_leaked(segment);
    ASSERT_FALSE(HasFailure()) << "in round " << round;
  }
}

TEST_F(SessionAuditTest, APeerThatGoesOnScribblingHoldsNobodyUpForEver) {
  std::atomic<bool> stop{false};
  std::thread hostile([&] {
    Scribbler scribbler(segment_, 1);
    while (!stop) scribbler.scribble();
  });
  std::thread supervisor([&] {
    while (!stop) audit();
  });
  testing::RandomSource random(2);
  for (int i = 0; i < testing::effort(2'000); ++i) use(table_, random);
  stop = true;
  hostile.join();
  supervisor.join();
  audit();
  testing::expect_sound(segment_);
  testing::expect_nothing_leaked(segment_);
}

}  // namespace
}  // namespace slotring::shm
