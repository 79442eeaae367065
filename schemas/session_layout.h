// The bytes of the session table in the control segment: which sessions there are, at which worker
// each is at home, and what was counted of it.
//
//     buckets  [bit_ceil(max_sessions)]   SessionLink of the first record of a chain, by the name's
//                                         hash
//     records  [max_sessions]             each names the next of its chain
//
// A chain is a lock-free list (client_lib/shm/session_chain.h): a record joins it at its head only,
// by one compare-and-swap of the bucket; it leaves it in two steps, a mark in its own link, then
// one compare-and-swap of what links to it, which anybody may do. Links carry an incarnation, so
// that a record that was used again is never taken for the one before it.
//
//     VACANT -> CREATING   by whoever wants it; `home` is its creator meanwhile
//     CREATING -> ACTIVE   after it was linked, by anybody that finds it; the reaper, for a dead
//                          creator, where it is linked
//     CREATING -> VACANT   by its creator, that lost the race, or the reaper, where it is not
//                          linked
//     ACTIVE -> ENDED      by whoever ends the session
//     ENDED -> VACANT      by anybody that has walked its chain to the end, and so knows that the
//                          record is not there any more

#ifndef SLOTRING_SCHEMAS_SESSION_LAYOUT_H_
#define SLOTRING_SCHEMAS_SESSION_LAYOUT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "schemas/area_layout.h"
#include "schemas/slot_word.h"
#include "schemas/stats_layout.h"

namespace slotring::layout {

inline constexpr std::uint32_t kMaxSessions = 1 << 20;
inline constexpr std::uint32_t kMaxSessionNameBytes = 63;

// What a call of a session does when its worker is busy with another call.
enum class SessionMode : std::uint8_t {
  kHint = 1,   // goes to another worker
  kQueue = 2,  // waits for the one
  kFail = 3,   // SESSION_BUSY
};

enum class SessionStoreKind : std::uint8_t {
  kMemory = 0,   // in the worker: lost with it
  kDurable = 1,  // every worker finds it
};

// What the pool's configuration says of sessions. Fixed while one supervisor has the pool.
struct SessionPolicy {
  SessionMode mode;
  SessionStoreKind store;
  std::uint8_t reserved[6];
  std::uint64_t ttl_ns;  // ended when unused for so long; 0: never
};

enum class SessionState : std::uint8_t { kVacant = 0, kCreating = 1, kActive = 2, kEnded = 3 };

// The worker of `home`, of the generation SessionRecord::home_generation, holds state of it.
inline constexpr std::uint8_t kFlagHasState = 0x01;
// The other seven bits count the losses of that state, so that each is told once.
inline constexpr std::uint8_t kLossStep = 0x02;

// While CREATING, who creates it: a client's index, or a seat with this bit.
inline constexpr std::uint16_t kCreatorIsSeat = 0x8000;
inline constexpr std::uint16_t kNoHome = 0;

// {incarnation:32 | home:16 | state:8 | flags:8}; home is a seat + 1, or kNoHome.
struct SessionWord {
  std::uint32_t incarnation = 0;  // grows with each use of the record; 0 before the first
  std::uint16_t home = kNoHome;
  SessionState state = SessionState::kVacant;
  std::uint8_t flags = 0;

  static constexpr SessionWord unpack(std::uint64_t word) {
    return {static_cast<std::uint32_t>(word >> 32), static_cast<std::uint16_t>(word >> 16),
            static_cast<SessionState>(static_cast<std::uint8_t>(word >> 8)),
            static_cast<std::uint8_t>(word)};
  }
  constexpr std::uint64_t pack() const {
    return std::uint64_t{incarnation} << 32 | std::uint64_t{home} << 16 |
           std::uint64_t{static_cast<std::uint8_t>(state)} << 8 | flags;
  }
  constexpr bool has_state() const { return (flags & kFlagHasState) != 0; }
  constexpr bool operator==(const SessionWord&) const = default;
};

// {incarnation:32 | marked:1 | record + 1:31}; record + 1 is 0 at the end of a chain. In a bucket
// the incarnation is that of the record that is named (0 with none); in a record, the record's own,
// and `marked` says that the record is leaving its chain.
struct SessionLink {
  std::uint32_t incarnation = 0;
  bool marked = false;
  std::uint32_t record_plus_1 = 0;

  static constexpr SessionLink unpack(std::uint64_t word) {
    return {static_cast<std::uint32_t>(word >> 32), (word >> 31 & 1) != 0,
            static_cast<std::uint32_t>(word & 0x7FFFFFFF)};
  }
  constexpr std::uint64_t pack() const {
    return std::uint64_t{incarnation} << 32 | std::uint64_t{marked} << 31 | record_plus_1;
  }
  constexpr bool operator==(const SessionLink&) const = default;
};

// The name is stored as words, so that a reader of a record that is used again meanwhile reads
// nonsense that it throws away, and no data race.
struct SessionRecord {
  alignas(kCacheLineBytes) std::atomic<std::uint64_t> word;  // SessionWord
  std::atomic<std::uint64_t> next;                           // SessionLink
  std::atomic<std::uint32_t> home_generation;                // of the worker that holds the state
  std::atomic<std::uint32_t> reserved;
  std::atomic<std::uint64_t> created_ns;    // CLOCK_REALTIME
  std::atomic<std::uint64_t> last_used_ns;  // CLOCK_MONOTONIC, at the start of its last call
  alignas(kCacheLineBytes) std::atomic<std::uint64_t> name[8];  // first byte: its length
  CallStats stats;
};

static_assert(sizeof(SessionPolicy) == 16);
static_assert(sizeof(SessionRecord) == 128 + sizeof(CallStats));
static_assert(offsetof(SessionRecord, next) == 8);
static_assert(offsetof(SessionRecord, home_generation) == 16);
static_assert(offsetof(SessionRecord, created_ns) == 24);
static_assert(offsetof(SessionRecord, last_used_ns) == 32);
static_assert(offsetof(SessionRecord, name) == 64);
static_assert(offsetof(SessionRecord, stats) == 128);

}  // namespace slotring::layout

#endif  // SLOTRING_SCHEMAS_SESSION_LAYOUT_H_
