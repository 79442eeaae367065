// The slot word: who owns a slot and how far its call has come, in one 64-bit word.
//
//    63            32 31       16 15     8 7      0
//   +----------------+-----------+--------+--------+
//   |  generation    |   owner   | state  | flags  |
//   +----------------+-----------+--------+--------+
//
// Every change is one compare-and-swap of the whole word along one arrow of kArrows. The low half
// is what a caller's futex sleeps on. `generation` grows whenever the slot becomes FREE, so that
// nothing of an old call (a frame, a stale word) can be taken for a new one's.

#ifndef SLOTRING_SCHEMAS_SLOT_WORD_H_
#define SLOTRING_SCHEMAS_SLOT_WORD_H_

#include <cstdint>

namespace slotring::layout {

enum class SlotState : std::uint8_t {
  kFree = 0,
  kClaimed = 1,    // a client has it and has committed nothing
  kRequested = 2,  // a request is committed; no worker has started it
  kRunning = 3,    // a worker runs the handler
  kReplied = 4,    // the reply is committed, or kFlagLost says that there will be none
  kAbandoned = 5,  // the caller is gone; the worker still holds the slot
};
inline constexpr int kSlotStates = 6;

using SlotFlags = std::uint8_t;
// A free-slot hint is (about) in a ring. May lie after a death: see client_lib/shm/slot_pool.h.
inline constexpr SlotFlags kFlagListed = 0x01;
// The owner sleeps on the low half: whoever takes the word to REPLIED wakes it.
inline constexpr SlotFlags kFlagCallerSleeps = 0x02;
// With REPLIED: the worker died in the call; the obituary named by kObituaryMask says how.
inline constexpr SlotFlags kFlagLost = 0x04;
// With kFlagLost: no worker had started the call.
inline constexpr SlotFlags kFlagNeverStarted = 0x08;
inline constexpr SlotFlags kObituaryMask = 0x30;
inline constexpr int kObituaryShift = 4;
// With RUNNING: the worker waits for a frame in a lane, or for room in one (area_layout.h). Whoever
// gives it one, or takes the slot away, clears this and rings its doorbell.
inline constexpr SlotFlags kFlagWorkerWaits = 0x40;
// The owner wants to be told by its own bell (ClientRecord::bell): whoever takes the word to
// REPLIED rings it.
inline constexpr SlotFlags kFlagRingOwner = 0x80;

inline constexpr std::uint16_t kNoOwner = 0xFFFF;
// The supervisor, while it holds a slot to give memory back; no client has this index.
inline constexpr std::uint16_t kReaperOwner = 0xFFFE;

struct SlotWord {
  std::uint32_t generation = 0;
  std::uint16_t owner = kNoOwner;
  SlotState state = SlotState::kFree;
  SlotFlags flags = 0;

  static constexpr SlotWord unpack(std::uint64_t word) {
    return {static_cast<std::uint32_t>(word >> 32), static_cast<std::uint16_t>(word >> 16),
            static_cast<SlotState>(static_cast<std::uint8_t>(word >> 8)),
            static_cast<SlotFlags>(word)};
  }
  constexpr std::uint64_t pack() const {
    return std::uint64_t{generation} << 32 | std::uint64_t{owner} << 16 |
           std::uint64_t{static_cast<std::uint8_t>(state)} << 8 | flags;
  }
  constexpr bool has(SlotFlags flag) const { return (flags & flag) != 0; }
  // Whether both are the same step of the same call; flags are not part of that.
  constexpr bool same_step(const SlotWord& other) const {
    return generation == other.generation && owner == other.owner && state == other.state;
  }
  constexpr bool operator==(const SlotWord&) const = default;
};

enum class Actor : std::uint8_t { kClient = 1, kWorker = 2, kReaper = 4 };

struct Arrow {
  SlotState from;
  SlotState to;
  std::uint8_t actors;  // of Actor, or-ed
  const char* meaning;
};

// The whole life of a slot. What is not here does not happen.
inline constexpr Arrow kArrows[] = {
    {SlotState::kFree, SlotState::kClaimed, 1, "the claim"},
    {SlotState::kClaimed, SlotState::kRequested, 1, "request frame committed"},
    {SlotState::kClaimed, SlotState::kFree, 1 | 4, "gave up, or died, before sending"},
    {SlotState::kRequested, SlotState::kRunning, 2, "started"},
    {SlotState::kRequested, SlotState::kClaimed, 1, "taken back before it started"},
    {SlotState::kRequested, SlotState::kFree, 4, "caller died before it started"},
    {SlotState::kRequested, SlotState::kReplied, 4, "seat retired: nobody will start it"},
    {SlotState::kRunning, SlotState::kReplied, 2 | 4, "reply committed, or the worker died"},
    {SlotState::kRunning, SlotState::kAbandoned, 1 | 4, "caller is gone: cancelled, late, dead"},
    {SlotState::kAbandoned, SlotState::kFree, 2 | 4, "worker let go of it, or died"},
    {SlotState::kReplied, SlotState::kFree, 1 | 4, "reply read, or its reader died"},
};

constexpr bool is_legal(SlotState from, SlotState to, Actor actor) {
  for (const Arrow& arrow : kArrows) {
    if (arrow.from == from && arrow.to == to) {
      return (arrow.actors & static_cast<std::uint8_t>(actor)) != 0;
    }
  }
  return false;
}

constexpr const char* to_string(SlotState state) {
  switch (state) {
    case SlotState::kFree:
      return "free";
    case SlotState::kClaimed:
      return "claimed";
    case SlotState::kRequested:
      return "requested";
    case SlotState::kRunning:
      return "running";
    case SlotState::kReplied:
      return "replied";
    case SlotState::kAbandoned:
      return "abandoned";
  }
  return "corrupt";
}

}  // namespace slotring::layout

#endif  // SLOTRING_SCHEMAS_SLOT_WORD_H_
