#include "client_lib/shm/repair.h"

#include <algorithm>
#include <atomic>
#include <climits>
#include <cstring>
#include <optional>
#include <utility>

#include "client_lib/shm/doorbell.h"
#include "client_lib/shm/futex.h"
#include "client_lib/shm/owner_bell.h"
#include "client_lib/shm/reclaim.h"
#include "client_lib/shm/session_audit.h"
#include "client_lib/shm/session_table.h"

namespace slotring::shm {

using layout::ClientState;
using layout::SeatState;
using layout::WaiterState;
using layout::WaiterWord;

namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

// Stores what should be there; whether it was something else.
template <class T>
bool restore(std::atomic<T>& word, T truth) {
  if (word.load(kRelaxed) == truth) return false;
  // seq_cst: as the store that it repeats, see Seat::set_word() and ControlSegment::seat_word().
  word.store(truth, std::memory_order_seq_cst);
  return true;
}

// The same for bytes that are no atomics, a word at a time.
std::uint32_t restore_words(void* into, const std::uint64_t* truth, std::size_t words) {
  std::uint32_t restored = 0;
  for (std::size_t i = 0; i < words; ++i) {
    std::atomic_ref<std::uint64_t> word(static_cast<std::uint64_t*>(into)[i]);
    if (word.load(kRelaxed) == truth[i]) continue;
    word.store(truth[i], kRelaxed);
    ++restored;
  }
  return restored;
}

bool restore_name(layout::FixedName& name, std::string_view truth) {
  if (name.bytes == truth.size() && load_name(name) == truth) return false;
  store_name(name, truth);
  return true;
}

bool is_possible(SlotState state) { return static_cast<std::uint8_t>(state) < layout::kSlotStates; }
bool is_possible(WaiterState state) { return state <= WaiterState::kWoken; }

bool may_have_worker(SeatState state) {
  return state == SeatState::kStarting || state == SeatState::kReady ||
         state == SeatState::kDraining;
}

bool is_with_worker(SlotState state) {
  return state == SlotState::kRunning || state == SlotState::kAbandoned;
}

class Repairer {
 public:
  Repairer(const SlotPool& pool, const PoolTruth& truth)
      : pool_(pool), segment_(pool.segment()), truth_(truth) {}

  Repairs repair() {
    mend_header();
    mend_seats();
    mend_clients();
    mend_rings();
    mend_slots();
    mend_waiters();
    pool_.line().mend();  // first: listing a slot wakes whoever is in the line
    audit_hints(pool_);
    done_.sessions = audit_sessions(
        segment_, [this](std::uint16_t creator) { return may_be_creating(creator); });
    for (SeatIndex seat = 0; seat < segment_.geometry().max_workers; ++seat) ring_bell(seat);
    ring_owners();
    pool_.line().mend_audit_bell();
    announce();
    return done_;
  }

 private:
  bool attached(std::uint16_t owner) const {
    return owner < truth_.clients.size() && truth_.clients[owner].attached;
  }
  bool may_be_creating(std::uint16_t creator) const {
    if ((creator & layout::kCreatorIsSeat) == 0) return attached(creator);
    const SeatIndex seat = creator & ~layout::kCreatorIsSeat;
    return seat < truth_.seats.size() && may_have_worker(seat_state(seat));
  }
  SeatState seat_state(SeatIndex seat) const { return truth_.seats[seat].word.state; }

  void mend_header() {
    layout::ControlHeader& header = segment_.header();
    done_.header_words = restore_words(&header, truth_.header.data(), truth_.header.size());
    done_.header_words += restore(header.supervisor_epoch, truth_.supervisor_epoch);
    done_.header_words += restore(header.supervisor_pid, truth_.supervisor_pid);
    for (std::size_t i = 0; i < truth_.methods.size(); ++i) {
      auto& record = segment_.method(static_cast<std::uint32_t>(i + 1));
      done_.method_names += restore_name(record, truth_.methods[i]);
    }
    const auto methods = static_cast<std::uint32_t>(truth_.methods.size());
    done_.header_words += restore(header.method_count, methods);
  }

  void mend_seats() {
    for (SeatIndex seat = 0; seat < segment_.geometry().max_workers; ++seat) {
      layout::SeatRecord& record = segment_.seat(seat);
      const PoolTruth::Seat& truth = truth_.seats[seat];
      const bool word = restore(record.word, truth.word.pack());
      const bool pid = restore(record.pid, truth.pid);
      // That of a worker that is gone stays as it was.
      const bool start_time =
          truth.pid != 0 && restore(record.pid_start_time, truth.pid_start_time);
      const bool profile = restore(record.profile, truth.profile.pack());
      done_.seats += word || pid || start_time || profile;
    }
  }

  void mend_clients() {
    for (std::uint32_t index = 0; index < segment_.geometry().max_clients; ++index) {
      done_.clients += mend_client(segment_.client(index), index);
    }
  }
  bool mend_client(layout::ClientRecord& record, std::uint32_t index) const {
    using State = std::uint32_t;
    if (!attached(static_cast<std::uint16_t>(index))) {
      return restore(record.state, static_cast<State>(ClientState::kVacant));
    }
    const PoolTruth::Client& truth = truth_.clients[index];
    bool mended = restore(record.epoch, truth.epoch);
    mended = restore(record.pid, truth.pid) || mended;
    mended = restore(record.pid_start_time, truth.pid_start_time) || mended;
    mended = restore_name(record.name, truth.name) || mended;
    if (record.state.load(kRelaxed) == static_cast<State>(ClientState::kLeft)) return mended;
    return restore(record.state, static_cast<State>(ClientState::kAttached)) || mended;
  }

  // Before the words, so that what these list stays listed.
  void mend_rings() {
    std::uint64_t random = monotonic_now();
    const auto mend = [&](Ring ring) {
      if (ring.is_sound()) return;
      random *= 0x9E3779B97F4A7C15;  // a golden section of 2^64: spreads positions
      ring.renew(random >> 8);
      ++done_.rings;
    };
    for (std::uint32_t depth = 0; depth < segment_.free_ring_count(); ++depth) {
      mend(segment_.free_ring(depth));
    }
    mend(segment_.waiting_line());
  }

  void mend_slots() {
    const std::uint32_t slots_per_worker = segment_.geometry().slots_per_worker;
    for (SeatIndex seat = 0; seat < segment_.geometry().max_workers; ++seat) {
      const SlotIndex first = segment_.first_slot(seat);
      bool walked = true;
      for (SlotIndex slot = first; slot < first + slots_per_worker; ++slot) {
        done_.slots += mend_slot(slot, seat_state(seat));
        walked = walked && !is_left_by_worker(slot, seat_state(seat));
      }
      if (walked) continue;
      const bool retired = seat_state(seat) == SeatState::kRetired;
      done_.slots += reclaim_worker(pool_, seat, truth_.seats[seat].word.generation, retired);
    }
  }

  // Whether the walk of a dead worker's slots would not have left the slot so.
  bool is_left_by_worker(SlotIndex slot, SeatState seat) const {
    if (seat != SeatState::kLost && seat != SeatState::kRetired && seat != SeatState::kDormant) {
      return false;
    }
    const SlotState state = load_slot(pool_.word(slot)).state;
    return is_with_worker(state) || (state == SlotState::kRequested && seat == SeatState::kRetired);
  }

  bool mend_slot(SlotIndex slot, SeatState seat) const {
    AtomicWord& word = pool_.word(slot);
    SlotWord seen = load_slot(word);
    // Bounded: a word that changes all the time is left to the next repair.
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      const std::optional<SlotWord> mended = mend(seen, seat);
      if (!mended) return false;
      std::uint64_t expected = seen.pack();
      if (word.compare_exchange_strong(expected, mended->pack(), std::memory_order_seq_cst,
                                       std::memory_order_acquire)) {
        futex_wake(futex_half(word), INT_MAX);  // whoever sleeps there learns that it lost the slot
        if (mended->state == SlotState::kFree) list(slot);
        return true;
      }
      seen = SlotWord::unpack(expected);
    }
    return false;
  }

  // What the word should be; nothing when it may be the truth.
  std::optional<SlotWord> mend(const SlotWord& seen, SeatState seat) const {
    const SlotWord freed{seen.generation + 1, layout::kNoOwner, SlotState::kFree,
                         layout::kFlagListed};
    if (seen.state == SlotState::kFree) {
      return seen.owner == layout::kNoOwner ? std::nullopt : std::optional(freed);
    }
    if (is_possible(seen.state) && attached(seen.owner)) {
      const bool nobody_ran_it = seat == SeatState::kVacant && is_with_worker(seen.state);
      return nobody_ran_it ? std::optional(freed) : std::nullopt;
    }
    // Claimed, requested or replied, and nobody's.
    if (is_possible(seen.state) && !is_with_worker(seen.state)) return freed;
    if (!may_have_worker(seat)) return freed;
    if (seen.state == SlotState::kAbandoned) return std::nullopt;
    return SlotWord{seen.generation, seen.owner, SlotState::kAbandoned,
                    static_cast<SlotFlags>(seen.flags & layout::kFlagListed)};
  }

  void list(SlotIndex slot) const {
    pool_.push_hint(slot, segment_.busy_slots(segment_.seat_of(slot)));
    pool_.line().wake_one();
    pool_.wake_wanting(segment_.seat_of(slot));
  }

  void mend_waiters() {
    for (WaiterIndex waiter = 0; waiter < segment_.geometry().max_waiters; ++waiter) {
      const WaiterWord seen =
          WaiterWord::unpack(segment_.waiter_word(waiter).load(std::memory_order_seq_cst));
      if (seen.state == WaiterState::kVacant) continue;
      if (is_possible(seen.state) && attached(seen.owner)) continue;
      done_.waiters += pool_.line().vacate(waiter, seen);
    }
  }

  // A worker sleeps with its bell at kSleeps. Where it is anything else, or calls are there, the
  // worker may sleep behind a bell that was scribbled over; a wake too many costs it one look.
  void ring_bell(SeatIndex seat) const {
    using Bell = Doorbell<std::atomic<std::uint32_t>>;
    if (seat_state(seat) != SeatState::kReady && seat_state(seat) != SeatState::kDraining) return;
    std::atomic<std::uint32_t>& word = segment_.seat(seat).bell;
    if (word.load(std::memory_order_seq_cst) == Bell::kSleeps && !has_calls(seat)) return;
    (void)Bell(word).ring(Bell::kPendingMask);
    futex_wake(futex_half(word), INT_MAX);
  }
  // The same of clients' bells. Which of them has a thread that sleeps there, only they know.
  void ring_owners() const {
    for (std::size_t owner = 0; owner < truth_.clients.size(); ++owner) {
      if (!truth_.clients[owner].attached) continue;
      ring_owner(segment_, static_cast<std::uint16_t>(owner),
                 OwnerBell::kPendingMask | OwnerBell::kAttention, /*wake_anyway=*/true);
    }
  }
  bool has_calls(SeatIndex seat) const {
    const SlotIndex first = segment_.first_slot(seat);
    for (SlotIndex slot = first; slot < first + segment_.geometry().slots_per_worker; ++slot) {
      const SlotState state = load_slot(pool_.word(slot)).state;
      if (state == SlotState::kRequested || is_with_worker(state)) return true;
    }
    return false;
  }

  // With a value that nobody can have seen there before: a peer may have counted it up, or back.
  void announce() const {
    std::atomic<std::uint32_t>& epoch = segment_.header().repair_epoch;
    const auto now = static_cast<std::uint32_t>(monotonic_now());
    // Release: whoever acquires it finds what was mended.
    epoch.store(now == epoch.load(kRelaxed) ? now + 1 : now, std::memory_order_release);
  }

  static constexpr int kAttempts = 64;

  const SlotPool& pool_;
  const ControlSegment& segment_;
  const PoolTruth& truth_;
  Repairs done_;
};

}  // namespace

std::string Repairs::to_string() const {
  const std::pair<std::uint32_t, const char*> counts[] = {{header_words, "header word"},
                                                          {method_names, "method name"},
                                                          {seats, "seat"},
                                                          {clients, "client"},
                                                          {slots, "slot"},
                                                          {waiters, "waiter"},
                                                          {rings, "ring"},
                                                          {sessions, "session"}};
  std::string text;
  for (const auto& [count, noun] : counts) {
    if (count == 0) continue;
    if (!text.empty()) text += ", ";
    text += std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
  }
  return text.empty() ? "nothing" : text;
}

FixedHeader copy_header(const ControlSegment& segment) {
  FixedHeader copy;
  std::memcpy(copy.data(), &segment.header(), sizeof(copy));
  return copy;
}

Repairs repair(const SlotPool& pool, const PoolTruth& truth) {
  return Repairer(pool, truth).repair();
}

}  // namespace slotring::shm
