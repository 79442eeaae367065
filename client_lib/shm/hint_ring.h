// A bounded lock-free ring of small numbers, for any number of pushers and poppers in any number of
// processes, any of which may stop or die at any instruction.
//
// A cell is one word {position:47 | full:1 | value:16}. At position p (cell p mod N):
//
//     {p, empty} --push--> {p, full, value} --pop--> {p + N, empty}
//
// so the cell alone decides each step, by one compare-and-swap, and head and tail only tell where
// to look: whoever finds a cell ahead of them moves them on, for itself or for one that died before
// it could. Nobody ever waits for anybody. Reference for the technique: Tsigas and Zhang, "A
// simple, fast and scalable non-blocking concurrent FIFO queue", SPAA 2001; cells numbered by
// position instead of two nulls.
//
// What a ring holds are hints. It loses none while its memory is intact, but nothing that it says
// is believed: values are bounded here, and callers check the word behind each. Attempts are
// bounded, so that a peer that scribbles over the ring makes it look empty or full, and no more;
// the supervisor finds that by is_sound() and mends it by renew().
//
// Templated on the atomic word so that a model checker can put its own in std::atomic's place.

#ifndef SLOTRING_CLIENT_LIB_SHM_HINT_RING_H_
#define SLOTRING_CLIENT_LIB_SHM_HINT_RING_H_

#include <atomic>
#include <cstdint>
#include <optional>

namespace slotring::shm {

template <class AtomicWord>
class HintRing {
 public:
  // REQUIRES: `cells` is a power of two; values pushed are below `values` <= 65536.
  HintRing(AtomicWord* head, AtomicWord* tail, AtomicWord* cells, std::uint32_t cell_count,
           std::uint32_t values)
      : head_(head), tail_(tail), cells_(cells), mask_(cell_count - 1), values_(values) {}

  // Makes an empty ring. Only before anybody else sees it.
  void format() {
    head_->store(0, std::memory_order_relaxed);
    tail_->store(0, std::memory_order_relaxed);
    for (std::uint64_t i = 0; i <= mask_; ++i) {
      cells_[i].store(Cell{i, false, 0}.pack(), std::memory_order_relaxed);
    }
  }

  // False when the ring is full.
  [[nodiscard]] bool try_push(std::uint32_t value) {
    for (std::uint32_t attempt = 0; attempt < max_attempts(); ++attempt) {
      // Acquire: partner of the release in advance(); a tail this far means the cells before are
      // written.
      const std::uint64_t tail = tail_->load(std::memory_order_acquire) & kPositionMask;
      std::uint64_t seen = cells_[tail & mask_].load(std::memory_order_acquire);
      const Cell cell = Cell::unpack(seen);
      if (cell.position == tail && !cell.full) {
        const Cell filled{tail, true, static_cast<std::uint16_t>(value)};
        // seq_cst: a pusher that then looks for waiters, and a waiter that then looks for hints,
        // cannot both miss each other.
        if (cells_[tail & mask_].compare_exchange_strong(
                seen, filled.pack(), std::memory_order_seq_cst, std::memory_order_relaxed)) {
          advance(tail_, tail);
          return true;
        }
      } else if (cell.position == tail || cell.position == behind(tail)) {
        advance(tail_, tail);  // pushed here, and perhaps popped, by one that did not get so far
      } else if (cell.position == ahead(tail) && cell.full) {
        if (tail_->load(std::memory_order_acquire) == tail) return false;
      }
    }
    return false;
  }

  // The oldest value, or nothing when the ring is empty.
  [[nodiscard]] std::optional<std::uint32_t> try_pop() {
    for (std::uint32_t attempt = 0; attempt < max_attempts(); ++attempt) {
      const std::uint64_t head = head_->load(std::memory_order_acquire) & kPositionMask;
      std::uint64_t seen = cells_[head & mask_].load(std::memory_order_seq_cst);
      const Cell cell = Cell::unpack(seen);
      if (cell.position == head && cell.full) {
        const Cell emptied{behind(head), false, 0};
        if (cells_[head & mask_].compare_exchange_strong(
                seen, emptied.pack(), std::memory_order_seq_cst, std::memory_order_relaxed)) {
          advance(head_, head);
          if (cell.value < values_) return cell.value;
        }
      } else if (cell.position == behind(head)) {
        advance(head_, head);  // popped by one that did not get so far
      } else if (head_->load(std::memory_order_acquire) == head) {
        return std::nullopt;
      }
    }
    return std::nullopt;
  }

  // Whether a pop would find nothing. A snapshot: true or false a moment ago.
  bool empty() const {
    const std::uint64_t head = head_->load(std::memory_order_acquire) & kPositionMask;
    const Cell cell = Cell::unpack(cells_[head & mask_].load(std::memory_order_seq_cst));
    return cell.position == head && !cell.full;
  }

  // Whether head, tail and all cells can be those of a ring that only push and pop have changed.
  // Peers may go on meanwhile, since what holds of an intact ring holds across a look that takes
  // time: counters only grow, a full cell lies between them, and an empty one waits for a position
  // that is at or past the tail and at most a lap past the head.
  bool is_sound() const {
    const std::uint64_t head = head_->load(std::memory_order_acquire);
    const std::uint64_t tail = tail_->load(std::memory_order_acquire);
    if (head > kPositionMask || tail > kPositionMask) return false;
    bool sound = true;
    std::uint64_t lowest_end = head;  // of all cells; compared with the counters as they are later
    std::uint64_t last_full = head;
    for (std::uint64_t i = 0; i <= mask_ && sound; ++i) {
      const Cell cell = Cell::unpack(cells_[i].load(std::memory_order_seq_cst));
      sound = (cell.position & mask_) == i && in_order(cell.full ? head : tail, cell.position) &&
              (!cell.full || cell.value < values_);
      std::uint64_t& furthest = cell.full ? last_full : lowest_end;
      const std::uint64_t reached = cell.full ? cell.position : ahead(cell.position);
      if (in_order(furthest, reached)) furthest = reached;
    }
    const std::uint64_t later_tail = tail_->load(std::memory_order_acquire) & kPositionMask;
    const std::uint64_t later_head = head_->load(std::memory_order_acquire) & kPositionMask;
    // Either counter may be one step behind what the cells say.
    return sound && in_order(lowest_end, later_head) && in_order(last_full, later_tail) &&
           in_order(tail, behind(later_head) + 1) && in_order(head, later_tail + 1);
  }

  // Makes an unsound ring an empty one, under peers that go on using it: only the supervisor. They
  // lose the hints that it held and at most those that they push meanwhile, never more, since every
  // cell gets a position that appears nowhere in the ring now: a compare-and-swap by a peer that
  // looked before fails, and one that comes after the last store below finds a whole ring. In
  // between the counters fit no cell, and the ring looks empty and full. Killed on the way, it
  // leaves an unsound ring, to be renewed again. `random` spreads
  // the positions, so that none is likely to have been in the ring before.
  void renew(std::uint64_t random) {
    std::uint64_t base = random & kPositionMask & ~mask_;
    while (uses_range_from(base)) base = (base + 4 * (mask_ + 1)) & kPositionMask;
    for (std::uint64_t i = 0; i <= mask_; ++i) {
      cells_[i].store(Cell{base + i, false, 0}.pack(), std::memory_order_seq_cst);
    }
    tail_->store(base, std::memory_order_seq_cst);
    head_->store(base, std::memory_order_seq_cst);
  }

  std::uint32_t capacity() const { return static_cast<std::uint32_t>(mask_ + 1); }

  // Calls visit(value) for each value in the ring, in no order; a snapshot, cell by cell.
  template <class Visit>
  void for_each(Visit visit) const {
    for (std::uint64_t i = 0; i <= mask_; ++i) {
      const Cell cell = Cell::unpack(cells_[i].load(std::memory_order_seq_cst));
      if (cell.full && cell.value < values_) visit(std::uint32_t{cell.value});
    }
  }

 private:
  static constexpr std::uint64_t kPositionMask = (std::uint64_t{1} << 47) - 1;

  struct Cell {
    std::uint64_t position;
    bool full;
    std::uint16_t value;

    static Cell unpack(std::uint64_t word) {
      return {word >> 17, (word >> 16 & 1) != 0, static_cast<std::uint16_t>(word)};
    }
    std::uint64_t pack() const {
      return position << 17 | std::uint64_t{full} << 16 | std::uint64_t{value};
    }
  };

  // A lap later and a lap earlier at the same cell. A cell that is a lap later has been left behind
  // by the counter that still names it.
  std::uint64_t behind(std::uint64_t position) const {
    return (position + mask_ + 1) & kPositionMask;
  }
  std::uint64_t ahead(std::uint64_t position) const {
    return (position - mask_ - 1) & kPositionMask;
  }
  // Whether `later` is `earlier` or comes after it; positions wrap around.
  static bool in_order(std::uint64_t earlier, std::uint64_t later) {
    return ((later - earlier) & kPositionMask) <= kPositionMask / 2;
  }
  // Whether a counter or a cell is at one of the two laps from `base`.
  bool uses_range_from(std::uint64_t base) const {
    const auto within = [&](std::uint64_t position) {
      return ((position - base) & kPositionMask) <= 2 * (mask_ + 1);
    };
    bool used = within(head_->load(std::memory_order_relaxed)) ||
                within(tail_->load(std::memory_order_relaxed));
    for (std::uint64_t i = 0; i <= mask_ && !used; ++i) {
      used = within(Cell::unpack(cells_[i].load(std::memory_order_relaxed)).position);
    }
    return used;
  }
  std::uint32_t max_attempts() const { return 64 + 4 * static_cast<std::uint32_t>(mask_ + 1); }

  static void advance(AtomicWord* counter, std::uint64_t from) {
    // Release: partner of the acquire loads of the counters. Losing means that somebody else did
    // it.
    counter->compare_exchange_strong(from, (from + 1) & kPositionMask, std::memory_order_release,
                                     std::memory_order_relaxed);
  }

  AtomicWord* head_;
  AtomicWord* tail_;
  AtomicWord* cells_;
  std::uint64_t mask_;
  std::uint32_t values_;
};

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_HINT_RING_H_
