// A pool in a few lines, with a bug to choose: what the checker must be able to find. Without one
// it is right, which the checker must see as well.

#ifndef SLOTRING_TESTS_LINEARIZABILITY_FLAWED_POOL_H_
#define SLOTRING_TESTS_LINEARIZABILITY_FLAWED_POOL_H_

#include <sched.h>

#include <array>
#include <atomic>
#include <memory>
#include <vector>

#include "schemas/slot_word.h"
#include "tests/linearizability/subject.h"

namespace slotring::linearizability {

enum class Flaw {
  kNone,
  kClaimInTwoSteps,  // looks whether a slot is free, and then stores that it is taken
  kLateReply,        // an abandoned slot is free at once; a reply does not look whose call it is
};

class FlawedPool : public Subject {
 public:
  static constexpr std::uint32_t kSeats = 2;

  explicit FlawedPool(Flaw flaw) : flaw_(flaw) {
    for (Slot& slot : slots_) slot.word.store(layout::SlotWord{}.pack());
  }

  std::unique_ptr<Caller> caller(std::uint16_t client) override;
  std::unique_ptr<Server> server(std::uint16_t seat) override;
  std::uint32_t seats() const override { return kSeats; }
  std::uint32_t slots_per_seat() const override { return 1; }
  std::vector<std::uint32_t> generations() const override {
    std::vector<std::uint32_t> generations;
    for (const Slot& slot : slots_) {
      generations.push_back(layout::SlotWord::unpack(slot.word.load()).generation);
    }
    return generations;
  }

 private:
  class FlawedCaller;
  class FlawedServer;
  struct Slot {
    std::atomic<std::uint64_t> word;
    std::atomic<std::uint64_t> request{0};
    std::atomic<std::uint64_t> reply{0};
  };

  static layout::SlotWord look(const Slot& slot) {
    return layout::SlotWord::unpack(slot.word.load());
  }
  static bool try_change(Slot& slot, const layout::SlotWord& from, const layout::SlotWord& to) {
    std::uint64_t expected = from.pack();
    return slot.word.compare_exchange_strong(expected, to.pack());
  }
  static layout::SlotWord in_state(layout::SlotWord word, layout::SlotState state) {
    word.state = state;
    return word;
  }
  static layout::SlotWord freed(const layout::SlotWord& word) {
    return {word.generation + 1, layout::kNoOwner, layout::SlotState::kFree, 0};
  }

  Flaw flaw_;
  std::array<Slot, kSeats> slots_;
};

class FlawedPool::FlawedCaller : public Caller {
 public:
  FlawedCaller(FlawedPool& pool, std::uint16_t client) : pool_(pool), client_(client) {}

  std::optional<Place> claim(bool patient) override {
    // Bounded: a bug may have lost every slot.
    for (int attempts = patient ? 1000 : 2; attempts > 0; --attempts) {
      for (std::uint32_t i = 0; i < kSeats; ++i) {
        if (try_claim(pool_.slots_[i])) return Place{i, word_.generation};
      }
      ::sched_yield();
    }
    return std::nullopt;
  }
  void submit(std::uint64_t value) override {
    slot_->request.store(value);
    slot_->word.store(in_state(word_, layout::SlotState::kRequested).pack());
  }
  std::optional<std::uint64_t> receive() override {
    for (;;) {
      const layout::SlotWord seen = look(*slot_);
      const bool under_way =
          seen.state == layout::SlotState::kRequested || seen.state == layout::SlotState::kRunning;
      if (!under_way || seen.generation != word_.generation) return slot_->reply.load();
      ::sched_yield();
    }
  }
  void abandon() override {
    for (;;) {
      const layout::SlotWord seen = look(*slot_);
      if (seen.generation != word_.generation) return;
      const bool leave_to_worker =
          seen.state == layout::SlotState::kRunning && pool_.flaw_ != Flaw::kLateReply;
      if (try_change(
              *slot_, seen,
              leave_to_worker ? in_state(seen, layout::SlotState::kAbandoned) : freed(seen))) {
        return;
      }
    }
  }
  void release() override { slot_->word.store(freed(word_).pack()); }

 private:
  bool try_claim(Slot& slot) {
    const layout::SlotWord seen = look(slot);
    if (seen.state != layout::SlotState::kFree) return false;
    layout::SlotWord claimed = in_state(seen, layout::SlotState::kClaimed);
    claimed.owner = client_;
    if (pool_.flaw_ == Flaw::kClaimInTwoSteps) {
      ::sched_yield();  // so that it is found soon
      slot.word.store(claimed.pack());
    } else if (!try_change(slot, seen, claimed)) {
      return false;
    }
    slot_ = &slot;
    word_ = claimed;
    return true;
  }

  FlawedPool& pool_;
  std::uint16_t client_;
  Slot* slot_ = nullptr;
  layout::SlotWord word_;
};

class FlawedPool::FlawedServer : public Server {
 public:
  FlawedServer(FlawedPool& pool, std::uint16_t seat)
      : pool_(pool), seat_(seat), slot_(pool.slots_[seat]) {}

  std::optional<Call> serve() override {
    const layout::SlotWord seen = look(slot_);
    if (seen.state != layout::SlotState::kRequested) return std::nullopt;
    const std::uint64_t value = slot_.request.load();
    word_ = in_state(seen, layout::SlotState::kRunning);
    if (!try_change(slot_, seen, word_)) return std::nullopt;
    return Call{{seat_, word_.generation}, value};
  }
  void reply(std::uint64_t value) override {
    if (pool_.flaw_ == Flaw::kLateReply) return reply_to_whoever(value);
    slot_.reply.store(value);
    const bool replied = try_change(slot_, word_, in_state(word_, layout::SlotState::kReplied));
    if (!replied) slot_.word.store(freed(word_).pack());
  }
  void wait() override { ::sched_yield(); }
  void interrupt() override {}

 private:
  void reply_to_whoever(std::uint64_t value) {
    slot_.reply.store(value);
    const layout::SlotWord seen = look(slot_);
    if (seen.state == layout::SlotState::kFree) return;
    slot_.word.store(in_state(seen, layout::SlotState::kReplied).pack());
  }

  FlawedPool& pool_;
  std::uint32_t seat_;
  Slot& slot_;
  layout::SlotWord word_;
};

inline std::unique_ptr<Caller> FlawedPool::caller(std::uint16_t client) {
  return std::make_unique<FlawedCaller>(*this, client);
}
inline std::unique_ptr<Server> FlawedPool::server(std::uint16_t seat) {
  return std::make_unique<FlawedServer>(*this, seat);
}

}  // namespace slotring::linearizability

#endif  // SLOTRING_TESTS_LINEARIZABILITY_FLAWED_POOL_H_
