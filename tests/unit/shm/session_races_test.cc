// Threads that create, find and end sessions of few names in few records, and what they saw,
// compared with the guarantee.

#include <algorithm>
#include <atomic>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "client_lib/shm/session_table.h"
#include "tests/support/effort.h"
#include "tests/support/random_source.h"
#include "tests/support/session_state.h"

namespace slotring::shm {
namespace {

constexpr int kThreads = 4;

using SessionId = std::pair<SessionIndex, std::uint32_t>;  // and incarnation

// One operation, with the times of its begin and end by a clock that all threads share.
struct Seen {
  enum class Kind { kFound, kNotFound, kEnded } kind;
  int name;
  SessionId id;
  bool created;
  std::uint64_t begin;
  std::uint64_t end;
};

// When a session certainly was there: from the first that saw it to the begin of its end.
struct Life {
  int name = 0;
  int creators = 0;
  std::uint64_t first_seen = UINT64_MAX;
  std::uint64_t end_began = UINT64_MAX;
  std::uint64_t end_over = UINT64_MAX;
};

class Actors {
 public:
  Actors(const ControlSegment& segment, std::vector<std::string> names)
      : table_(segment), names_(std::move(names)) {}

  void run(int rounds) {
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) threads.emplace_back([this, i, rounds] { act(i, rounds); });
    for (std::thread& thread : threads) thread.join();
  }

  // Everything that was seen.
  std::vector<Seen> seen() const {
    std::vector<Seen> all;
    for (const auto& one : seen_) all.insert(all.end(), one.begin(), one.end());
    return all;
  }
  int failures() const { return failures_.load(); }

 private:
  void act(int thread, int rounds) {
    testing::RandomSource random(static_cast<std::uint64_t>(thread));
    std::optional<std::pair<int, FoundSession>> mine;
    for (int i = 0; i < rounds; ++i) {
      const int name = static_cast<int>(random.below(names_.size()));
      switch (random.below(3)) {
        case 0:
          if (auto found = create(thread, name)) mine = {name, *found};
          break;
        case 1:
          if (auto found = find(thread, name)) mine = {name, *found};
          break;
        default:
          if (mine) end(thread, mine->first, mine->second);
          mine.reset();
      }
    }
  }
  std::optional<FoundSession> create(int thread, int name) {
    const std::uint64_t begin = ++clock_;
    const auto made = table_.find_or_create(names_[static_cast<std::size_t>(name)],
                                            creator_client(static_cast<std::uint16_t>(thread)));
    const std::uint64_t end = ++clock_;
    if (!made) {  // others may be holding all records
      if (made.error().code != ErrorCode::kSessionLimit) ++failures_;
      return std::nullopt;
    }
    note(thread, {Seen::Kind::kFound,
                  name,
                  {made->index, made->word.incarnation},
                  made->created,
                  begin,
                  end});
    return *made;
  }
  std::optional<FoundSession> find(int thread, int name) {
    const std::uint64_t begin = ++clock_;
    const auto found = table_.find(names_[static_cast<std::size_t>(name)]);
    const std::uint64_t end = ++clock_;
    if (!found) return ++failures_, std::nullopt;
    if (!*found) return note(thread, {Seen::Kind::kNotFound, name, {}, false, begin, end}), *found;
    note(thread, {Seen::Kind::kFound,
                  name,
                  {(*found)->index, (*found)->word.incarnation},
                  false,
                  begin,
                  end});
    return *found;
  }
  void end(int thread, int name, const FoundSession& session) {
    const std::uint64_t begin = ++clock_;
    if (!table_.try_end(session.index, session.word)) return;
    note(thread, {Seen::Kind::kEnded,
                  name,
                  {session.index, session.word.incarnation},
                  false,
                  begin,
                  ++clock_});
  }
  void note(int thread, const Seen& seen) { seen_[thread].push_back(seen); }

  const SessionTable table_;
  const std::vector<std::string> names_;
  std::atomic<std::uint64_t> clock_{0};
  std::atomic<int> failures_{0};
  std::vector<Seen> seen_[kThreads];
};

std::map<SessionId, Life> lives_of(const std::vector<Seen>& all) {
  std::map<SessionId, Life> lives;
  for (const Seen& seen : all) {
    if (seen.kind == Seen::Kind::kNotFound) continue;
    const auto [at, first] = lives.try_emplace(seen.id);
    Life& life = at->second;
    if (first) life.name = seen.name;
    EXPECT_EQ(life.name, seen.name) << "one session under two names";
    life.creators += seen.created;
    if (seen.kind == Seen::Kind::kFound) life.first_seen = std::min(life.first_seen, seen.end);
    if (seen.kind == Seen::Kind::kEnded) {
      EXPECT_EQ(life.end_began, UINT64_MAX) << "one session ended twice";
      life.end_began = seen.begin;
      life.end_over = seen.end;
    }
  }
  return lives;
}

// The lives of a name, in order, and that no two of them overlap.
std::vector<Life> expect_one_at_a_time(const std::map<SessionId, Life>& lives, int name) {
  std::vector<Life> of_name;
  for (const auto& [id, life] : lives) {
    if (life.name == name) of_name.push_back(life);
  }
  std::sort(of_name.begin(), of_name.end(),
            [](const Life& a, const Life& b) { return a.first_seen < b.first_seen; });
  for (std::size_t i = 1; i < of_name.size(); ++i) {
    EXPECT_GE(of_name[i].first_seen, of_name[i - 1].end_began)
        << "two sessions of one name at one time";
  }
  return of_name;
}

void expect_guarantee(const std::vector<Seen>& all, int names) {
  const std::map<SessionId, Life> lives = lives_of(all);
  for (const auto& [id, life] : lives) {
    EXPECT_EQ(life.creators, 1) << "everybody but one finds what that one created";
  }
  for (int name = 0; name < names; ++name) {
    const std::vector<Life> in_order = expect_one_at_a_time(lives, name);
    for (const Seen& seen : all) {
      if (seen.name != name) continue;
      if (seen.kind == Seen::Kind::kFound) {
        EXPECT_LT(seen.begin, lives.at(seen.id).end_over) << "found after it had ended";
      }
      if (seen.kind != Seen::Kind::kNotFound) continue;
      // The last that was seen before the look began, if it was there until the look was over.
      auto after = std::partition_point(in_order.begin(), in_order.end(), [&](const Life& life) {
        return life.first_seen < seen.begin;
      });
      if (after == in_order.begin()) continue;
      EXPECT_LT((after - 1)->end_began, seen.end) << "not found although it was there";
    }
  }
}

class SessionRaces : public ::testing::TestWithParam<std::uint32_t> {};

TEST_P(SessionRaces, ANameHasOneSessionAtATime) {
  const ControlSegment segment = testing::session_segment(GetParam());
  constexpr int kNames = 3;
  Actors actors(segment, testing::names_of_one_chain(segment, kNames));
  actors.run(testing::effort(20'000));
  EXPECT_EQ(actors.failures(), 0);
  const std::vector<Seen> all = actors.seen();
  expect_guarantee(all, kNames);
  testing::expect_sound(segment);
  testing::expect_nothing_leaked(segment);
}

INSTANTIATE_TEST_SUITE_P(OfRecords, SessionRaces, ::testing::Values(1, 2, 4, 16));

}  // namespace
}  // namespace slotring::shm
