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
// bounded, so that a peer that scribbles over the ring makes it look empty or full, and no more.
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
