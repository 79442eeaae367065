// The control segment: clients, workers and the reaper at work in a small pool, while somebody
// scribbles over the words that they share. One process and one thread: every step has to return,
// with a result or an error; hanging is a finding (-timeout), as is every assertion and every
// access outside the segment.
//
//     input: a list of steps, each {what:8 | its arguments}

#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>

#include "tests/fuzz/input_reader.h"
#include "tests/fuzz/seed_corpus.h"
#include "tests/support/local_pool.h"

namespace slotring::fuzz {
namespace {

using layout::SeatState;
using layout::SlotWord;

constexpr std::uint32_t kWorkers = 2;
constexpr std::uint32_t kClients = 2;
constexpr std::uint32_t kLeases = 3;
constexpr std::size_t kMaxSteps = 64;
constexpr shm::MonotonicNs kPast = 1;  // a deadline: every wait looks once

constexpr layout::Geometry kGeometry{
    kWorkers, 3, kClients + 1, 3, layout::kMinAreaBytes, layout::kPageBytes, layout::kPageBytes};

// One pool for all runs, put back to its first state before each.
class Shared {
 public:
  Shared() {
    pool.publish_all();
    pool.intern("echo");
    std::memcpy(image_.get(), memory(), bytes_);
  }
  void restore() { std::memcpy(memory(), image_.get(), bytes_); }
  std::size_t bytes() const { return bytes_; }
  // The segment as 32-bit words.
  std::atomic<std::uint32_t>& word(std::size_t offset) const {
    return *reinterpret_cast<std::atomic<std::uint32_t>*>(memory() + offset);
  }

  testing::LocalPool pool{kGeometry};

 private:
  std::byte* memory() const { return reinterpret_cast<std::byte*>(&pool.segment().header()); }

  const std::size_t bytes_ = layout::ControlOffsets(kGeometry).total;
  std::unique_ptr<std::byte[]> image_{new std::byte[bytes_]};
};

class Run {
 public:
  Run(Shared& shared, const std::uint8_t* data, std::size_t size)
      : shared_(shared), pool_(shared.pool), input_(data, size) {
    for (std::uint32_t i = 0; i < kClients; ++i) clients_[i] = pool_.client(i);
    for (std::uint32_t i = 0; i < kWorkers; ++i) workers_[i].emplace(pool_.worker(i));
  }

  void steps() {
    for (std::size_t i = 0; i < kMaxSteps && !input_.empty(); ++i) step();
  }

 private:
  void step() {
    switch (input_.below(13)) {
      case 0:
        return scribble_anywhere();
      case 1:
        return scribble_slot_word();
      case 2:
        return scribble_waiter_or_ring();
      case 3:
        return claim();
      case 4:
        return submit();
      case 5:
        return wait();
      case 6:
        return lease().reset();
      case 7:
        return take();
      case 8:
        return answer();
      case 9:
        return reclaim_client();
      case 10:
        return reclaim_worker();
      case 11:
        return audit();
      default:
        return publish();
    }
  }

  void scribble_anywhere() {
    const auto offset =
        std::size_t{input_.below(static_cast<std::uint32_t>(shared_.bytes() / 4))} * 4;
    shared_.word(offset).store(input_.next<std::uint32_t>());
  }
  // Words that make sense or nearly so lead further than noise.
  void scribble_slot_word() {
    const shm::SlotIndex slot = input_.below(kGeometry.slots());
    SlotWord word = pool_.word(slot);
    word.generation += input_.below(3) - 1;
    word.owner = static_cast<std::uint16_t>(input_.below(kClients + 2));
    word.state = static_cast<shm::SlotState>(input_.below(8));
    word.flags = input_.next<std::uint8_t>();
    pool_.set_word(slot, word);
  }
  void scribble_waiter_or_ring() {
    const layout::ControlOffsets offsets(kGeometry);
    const auto offset = std::size_t{input_.below(256)} * 8 + offsets.waiters;
    if (offset + 8 > offsets.total) return;
    const std::uint32_t high = input_.next<std::uint8_t>();
    const auto low = input_.next<std::uint32_t>();
    shared_.word(offset).store(low);
    shared_.word(offset + 4).store(high);
  }

  void claim() {
    const std::uint32_t client = input_.below(kClients);
    Result<Lease> claimed = clients_[client]->claim(kPast);
    if (claimed) lease() = *std::move(claimed);
  }
  void submit() {
    std::optional<Lease>& held = lease();
    const std::size_t bytes = input_.below(8192);
    if (!held) return;
    if (held->request(bytes)) (void)held->submit(method(), PayloadKind::kBytes, bytes).ok();
  }
  void wait() {
    std::optional<Lease>& held = lease();
    if (!held) return;
    const Result<ReplyView> reply = held->wait();
    if (reply) FUZZ_CHECK(reply->bytes.size() < kGeometry.area_bytes);
  }
  void take() {
    const std::uint32_t seat = input_.below(kWorkers);
    std::optional<shm::RunningCall> call = workers_[seat]->try_next();
    if (!call) return workers_[seat]->wait(kPast);
    FUZZ_CHECK(pool_.segment().seat_of(call->slot) == seat);
    FUZZ_CHECK(call->payload.size() < kGeometry.area_bytes);
    running_[seat] = std::move(call);
  }
  void answer() {
    const std::uint32_t seat = input_.below(kWorkers);
    if (!running_[seat]) return;
    const shm::RunningCall call = *std::exchange(running_[seat], std::nullopt);
    (void)workers_[seat]->cancelled(call);
    if (input_.below(2) == 0) return testing::EchoWorker::echo(*workers_[seat], call);
    workers_[seat]->fail(call, Error{ErrorCode::kHandlerRaised, "no"});
  }
  void reclaim_client() {
    shm::reclaim_client(pool_.pool(), static_cast<std::uint16_t>(input_.below(kClients + 1)));
  }
  void reclaim_worker() {
    const std::uint32_t seat = input_.below(kWorkers);
    const bool retired = input_.below(2) == 0;
    const std::uint32_t generation = pool_.segment().seat_word(seat).generation;
    pool_.set_seat(seat, retired ? SeatState::kRetired : SeatState::kLost, generation);
    shm::write_obituary(pool_.segment(), seat, generation, 4711, 9, "last words");
    shm::reclaim_worker(pool_.pool(), seat, generation, retired);
  }
  void audit() {
#ifdef SLOTRING_SEEDED_BUG  // a reaper that waits for a word to change
    while (pool_.state(0) == layout::SlotState::kRunning) {
    }
#endif
    shm::audit_hints(pool_.pool());
    shm::audit_waiters(pool_.pool());
    (void)pool_.pool().line().count_waiting();
  }
  void publish() { pool_.publish(input_.below(kWorkers), input_.next<std::uint8_t>()); }

  std::optional<Lease>& lease() { return leases_[input_.below(kLeases)]; }
  std::string_view method() { return input_.below(2) == 0 ? "echo" : "unknown"; }

  Shared& shared_;
  const testing::LocalPool& pool_;
  InputReader input_;
  std::array<std::unique_ptr<internal::ClientCore>, kClients> clients_;
  std::array<std::optional<shm::WorkerSeat>, kWorkers> workers_;
  std::array<std::optional<shm::RunningCall>, kWorkers> running_;
  std::array<std::optional<Lease>, kLeases> leases_;
};

}  // namespace

std::vector<Input> seeds() {
  const std::vector<Input> life = {{3, 0, 0},         // client 0 claims: lease 0
                                   {4, 0, 16, 0, 0},  // lease 0 submits 16 bytes
                                   {7, 0},            // worker 0 takes a call
                                   {8, 0, 0},         // and echoes it
                                   {5, 0},            // lease 0 waits
                                   {6, 0},            // and is released
                                   {9, 0},           {10, 0, 0}, {11}, {12, 0, 2}};
  const std::vector<Input> scribbles = {
      {}, {0, 0, 70, 255, 255, 255, 255}, {1, 0, 1, 0, 3, 2}, {2, 3, 1, 0, 1, 0, 1}};
  std::vector<Input> all;
  for (const Input& scribble : scribbles) {
    Input input;
    for (const Input& step : life) {
      input.insert(input.end(), scribble.begin(), scribble.end());
      input.insert(input.end(), step.begin(), step.end());
    }
    all.push_back(std::move(input));
  }
  return all;
}

}  // namespace slotring::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static slotring::fuzz::Shared shared;
  shared.restore();
  slotring::fuzz::Run(shared, data, size).steps();
  return 0;
}
