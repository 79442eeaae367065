// What is true of every session table that no process is changing, and tables to try that on.

#ifndef SLOTRING_TESTS_SUPPORT_SESSION_STATE_H_
#define SLOTRING_TESTS_SUPPORT_SESSION_STATE_H_

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "client_lib/shm/session_audit.h"
#include "client_lib/shm/session_chain.h"
#include "client_lib/shm/session_table.h"
#include "tests/support/local_pool.h"

namespace slotring::testing {

inline layout::Geometry session_geometry(std::uint32_t max_sessions) {
  layout::Geometry geometry = small_geometry();
  geometry.max_sessions = max_sessions;
  return geometry;
}
inline shm::ControlSegment session_segment(std::uint32_t max_sessions) {
  return shm::ControlSegment::create("sessions", session_geometry(max_sessions)).value();
}

inline bool everybody_lives(std::uint16_t) { return true; }
inline bool nobody_lives(std::uint16_t) { return false; }

// Names that share one chain, the first bucket's.
inline std::vector<std::string> names_of_one_chain(const shm::ControlSegment& segment,
                                                   std::size_t count) {
  std::vector<std::string> names;
  for (int i = 0; names.size() < count; ++i) {
    const std::string name = "session-" + std::to_string(i);
    const std::uint64_t hash = shm::SessionName::of(name)->hash(segment.header().instance);
    if (hash % segment.session_bucket_count() == 0) names.push_back(name);
  }
  return names;
}

// Nothing is half done, no two sessions have one name, and each is found by its name.
inline void expect_sound(const shm::ControlSegment& segment) {
  const shm::SessionTable table(segment);
  std::set<std::string> names;
  for (std::uint32_t i = 0; i < segment.geometry().max_sessions; ++i) {
    const layout::SessionState state = table.word(i).state;
    if (state == layout::SessionState::kVacant) continue;
    EXPECT_EQ(state, layout::SessionState::kActive) << "record " << i;
    const std::string name = table.name(i);
    EXPECT_TRUE(names.insert(name).second) << "two sessions are " << name;
    const auto found = table.find(name);
    EXPECT_TRUE(found.ok() && *found && (*found)->index == i) << name << " is not found";
  }
  EXPECT_EQ(shm::audit_sessions(segment, nobody_lives), 0u);
}

// As many sessions as the table has records can be made once those that are there have ended.
inline void expect_nothing_leaked(const shm::ControlSegment& segment) {
  const shm::SessionTable table(segment);
  table.for_each([&](shm::SessionIndex index, const shm::SessionWord& word) {
    EXPECT_TRUE(table.try_end(index, word));
  });
  for (std::uint32_t i = 0; i < segment.geometry().max_sessions; ++i) {
    EXPECT_TRUE(table.find_or_create("new-" + std::to_string(i), 0).ok());
  }
  expect_sound(segment);
}

}  // namespace slotring::testing

#endif  // SLOTRING_TESTS_SUPPORT_SESSION_STATE_H_
