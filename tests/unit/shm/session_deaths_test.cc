// Every operation of the session table, killed, and stopped for a while, at each of its accesses to
// the control segment.

#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "client_lib/shm/session_audit.h"
#include "client_lib/shm/session_table.h"
#include "tests/support/effort.h"
#include "tests/support/mortal_process.h"
#include "tests/support/random_source.h"
#include "tests/support/session_state.h"

namespace slotring::shm {
namespace {

constexpr std::uint32_t kSessions = 4;
constexpr std::uint16_t kDead = 5;
constexpr std::uint16_t kLiving = 6;

// A table with one long chain: c is first in it, then b, then a; and a name that it does not have.
struct Table {
  ControlSegment segment = testing::session_segment(kSessions);
  SessionTable table{segment};
  std::vector<std::string> names = testing::names_of_one_chain(segment, 4);
  std::string a = names[0], b = names[1], c = names[2], other = names[3];

  Table() {
    for (const std::string& name : {a, b, c}) create(name, kLiving);
  }
  // Others may have taken all records.
  void create(const std::string& name, std::uint16_t creator) const {
    const Result<FoundSession> made = table.find_or_create(name, creator);
    EXPECT_TRUE(made.ok() || made.error().code == ErrorCode::kSessionLimit);
  }
  bool has(const std::string& name) const { return table.find(name).value().has_value(); }
  bool end(const std::string& name) const {
    const auto found = table.find(name).value();
    return found && table.try_end(found->index, found->word);
  }
  // What is found under a name has that name, as long as it is what was found.
  void expect_found(const std::string& name) const {
    const auto found = table.find(name).value();
    if (!found) return;
    const std::string has = table.name(found->index);
    EXPECT_TRUE(has == name || table.word(found->index) != found->word) << has;
  }
  // ACTIVE -> ENDED, and no more: for others to finish.
  void begin_to_end(const std::string& name) const {
    const auto found = table.find(name).value();
    SessionWord ended = found->word;
    ended.state = SessionState::kEnded;
    table.record(found->index).word.store(ended.pack());
  }
};

struct Operation {
  const char* name;
  std::function<void(const Table&)> prepare;
  std::function<void(const Table&)> run;
  bool keeps_a = true;  // whether `a` is there afterwards, however it ends
};

std::ostream& operator<<(std::ostream& out, const Operation& operation) {
  return out << operation.name;
}

const Operation kOperations[] = {
    {"Create", [](const Table&) {}, [](const Table& t) { t.create(t.other, kDead); }},
    {"CreateWhatIsThere", [](const Table&) {}, [](const Table& t) { t.create(t.a, kDead); }},
    {"CreateBehindTheEnded", [](const Table& t) { t.begin_to_end(t.c); },
     [](const Table& t) { t.create(t.other, kDead); }},
    {"CreateInAnEndedOnesRecord",
     [](const Table& t) {
       t.create(t.other, kLiving);
       t.begin_to_end(t.b);
     },
     [](const Table& t) { t.create(t.b, kDead); }},
    {"FindTheLast", [](const Table&) {}, [](const Table& t) { t.expect_found(t.a); }},
    {"FindBehindTheEnded",
     [](const Table& t) {
       t.begin_to_end(t.c);
       t.begin_to_end(t.b);
     },
     [](const Table& t) { t.expect_found(t.a); }},
    {"EndTheFirst", [](const Table&) {}, [](const Table& t) { (void)t.end(t.c); }},
    {"EndAmongOthers", [](const Table&) {}, [](const Table& t) { (void)t.end(t.b); }},
    {"EndTheLast", [](const Table&) {}, [](const Table& t) { (void)t.end(t.a); }, false},
    {"EndAndCreate", [](const Table&) {},
     [](const Table& t) {
       (void)t.end(t.b);
       t.create(t.b, kDead);
     }},
    {"Audit",
     [](const Table& t) {
       t.begin_to_end(t.b);
       // One that is not in its chain any more.
       const SessionIndex first = t.table.find(t.c).value()->index;
       const auto next = layout::SessionLink::unpack(t.table.record(first).next.load());
       const SessionIndex second = next.record_plus_1 - 1;
       t.segment.session_bucket(0).store(
           layout::SessionLink{t.table.word(second).incarnation, false, next.record_plus_1}.pack());
     },
     [](const Table& t) { audit_sessions(t.segment, testing::nobody_lives); }},
};

class SessionDeaths : public ::testing::TestWithParam<Operation> {
 protected:
  void SetUp() override {
    if (!testing::kDeathsAtAccesses) GTEST_SKIP() << "needs x86-64";
  }
  static int step(testing::RandomSource& random) {
    // Where a process costs much, some of the accesses, others each time.
    return testing::kInstrumented ? 1 + static_cast<int>(random.below(16)) : 1;
  }
};

bool is_alive(std::uint16_t creator) { return creator != kDead; }

TEST_P(SessionDeaths, KilledAnywhereItLeavesNothingThatTheAuditDoesNotMend) {
  testing::RandomSource random;
  bool survived = false;
  for (int fatal = 0; !survived; fatal += step(random)) {
    ASSERT_LT(fatal, 5000);
    const Table t;
    GetParam().prepare(t);
    survived = testing::survives_access(
        t.segment, fatal, [] { return 0; }, [&](int) { GetParam().run(t); });
    // Before the audit: the living go on as before.
    EXPECT_TRUE(t.has(t.a) || !GetParam().keeps_a);
    for (const std::string& name : t.names) {
      const auto found = t.table.find(name);
      ASSERT_TRUE(found.ok()) << found.error().to_string();
    }
    audit_sessions(t.segment, is_alive);
    testing::expect_sound(t.segment);
    testing::expect_nothing_leaked(t.segment);
    ASSERT_FALSE(HasFailure()) << "killed at access " << fatal;
  }
}

// Meanwhile each record is used again and again, so that whatever the stopped one has read is out
// of date in every way.
void use_all_again(const Table& t) {
  for (int round = 0; round < 3; ++round) {
    for (const std::string& name : t.names) (void)t.end(name);
    for (const std::string& name : t.names) t.create(name, kLiving);
    (void)t.end(t.b);
  }
}
void end_all(const Table& t) {
  for (const std::string& name : t.names) (void)t.end(name);
}
void create_the_other(const Table& t) { t.create(t.other, kLiving); }
void recreate_in_order(const Table& t) {
  end_all(t);
  for (const std::string& name : {t.a, t.b, t.c}) t.create(name, kLiving);
}

void give_records_to_others(const Table& t) {
  end_all(t);
  for (std::uint32_t i = 0; i < kSessions; ++i) t.create("another-" + std::to_string(i), kLiving);
}

TEST_P(SessionDeaths, StoppedAnywhereItHarmsNobodyWhenItGoesOn) {
  testing::RandomSource random;
  for (const auto meanwhile :
       {use_all_again, end_all, create_the_other, recreate_in_order, give_records_to_others}) {
    bool paused = true;
    for (int access = 0; paused; access += step(random)) {
      ASSERT_LT(access, 5000);
      const Table t;
      GetParam().prepare(t);
      testing::PausedProcess child(
          t.segment, access, [] { return 0; },
          [&](int) {
            GetParam().run(t);
            return !HasFailure();
          });
      paused = child.paused();
      if (paused) meanwhile(t);
      EXPECT_TRUE(child.ends_well());
      audit_sessions(t.segment, testing::everybody_lives);  // of what `prepare` left
      testing::expect_sound(t.segment);
      testing::expect_nothing_leaked(t.segment);
      ASSERT_FALSE(HasFailure()) << "stopped at access " << access;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(OfEachOperation, SessionDeaths, ::testing::ValuesIn(kOperations),
                         [](const auto& operation) { return std::string(operation.param.name); });

}  // namespace
}  // namespace slotring::shm
