// A pool without a supervisor: its memories, made and mapped once in this process, with clients and
// workers that tests drive by hand, as threads on the one mapping or as children made by fork().

#ifndef SLOTRING_TESTS_SUPPORT_LOCAL_POOL_H_
#define SLOTRING_TESTS_SUPPORT_LOCAL_POOL_H_

#include <atomic>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "client_lib/client_core.h"
#include "client_lib/shm/attachment.h"
#include "client_lib/shm/reclaim.h"
#include "client_lib/shm/slot_pool.h"
#include "client_lib/shm/worker_seat.h"

namespace slotring::testing {

inline layout::Geometry small_geometry(std::uint32_t workers = 1, std::uint32_t slots = 4) {
  return {.max_workers = workers,
          .slots_per_worker = slots,
          .max_clients = 16,
          .max_waiters = 4,
          .area_bytes = 256 * 1024,
          .warm_bytes = 16 * 1024,
          .kept_bytes = 16 * 1024};
}

// What the supervisor's audit does when it has nothing but the line to look after.
inline void await_sleepers(const shm::WaitingLine& line, const std::atomic<bool>& stop) {
  line.await_work(stop, [] { return false; });
}

class LocalPool {
 public:
  explicit LocalPool(const layout::Geometry& geometry = small_geometry(),
                     const layout::WaitingTerms& waiting = {})
      : segment_(std::make_shared<shm::ControlSegment>(
            shm::ControlSegment::create("local", geometry).value())),
        requests_(data_memory("test-request", geometry)),
        replies_(data_memory("test-reply", geometry)),
        pool_(*segment_) {
    segment_->header().waiting = waiting.pack();
  }

  const shm::ControlSegment& segment() const { return *segment_; }
  const shm::SlotPool& pool() const { return pool_; }
  const shm::DataMemory& requests() const { return *requests_; }
  const shm::DataMemory& replies() const { return *replies_; }

  shm::SlotWord word(shm::SlotIndex slot) const { return shm::load_slot(pool_.word(slot)); }
  void set_word(shm::SlotIndex slot, const shm::SlotWord& word) const {
    pool_.word(slot).store(word.pack());
  }
  shm::SlotState state(shm::SlotIndex slot) const { return word(slot).state; }

  void set_seat(shm::SeatIndex seat, layout::SeatState state, std::uint32_t generation = 1) const {
    segment_->seat(seat).word.store(layout::SeatWord{generation, state}.pack());
  }
  // What the supervisor does when a worker is ready.
  void publish(shm::SeatIndex seat, std::uint32_t generation = 1) const {
    set_seat(seat, layout::SeatState::kReady, generation);
    pool_.publish(seat);
  }
  void publish_all() const {
    for (shm::SeatIndex seat = 0; seat < segment_->geometry().max_workers; ++seat) publish(seat);
  }
  void intern(std::string_view name) const {
    const std::uint32_t count = segment_->header().method_count.load();
    shm::store_name(segment_->method(count + 1), name);
    segment_->header().method_count.store(count + 1);
  }

  std::unique_ptr<internal::ClientCore> client(std::uint32_t index = 0,
                                               shm::UniqueFd socket = shm::UniqueFd()) const {
    return std::make_unique<internal::ClientCore>(std::move(socket), attachment(index));
  }
  shm::WorkerSeat worker(shm::SeatIndex seat = 0) const {
    return shm::WorkerSeat::sit_down(attachment(seat)).value();
  }

 private:
  static std::shared_ptr<shm::DataMemory> data_memory(const char* name,
                                                      const layout::Geometry& geometry) {
    return std::make_shared<shm::DataMemory>(
        shm::DataMemory::open(shm::create_data_memory(name, geometry).value(), geometry,
                              shm::Access::kReadWrite)
            .value());
  }
  shm::Attachment attachment(std::uint32_t index) const {
    return {"local", 0, index, 1, segment_->header().instance, 1, segment_, requests_, replies_};
  }

  std::shared_ptr<shm::ControlSegment> segment_;
  std::shared_ptr<shm::DataMemory> requests_;
  std::shared_ptr<shm::DataMemory> replies_;
  shm::SlotPool pool_;
};

// A worker of one seat, as a thread that lasts until it is destroyed, and answers each call as the
// test says.
class SeatThread {
 public:
  using Answer = std::function<void(shm::WorkerSeat&, const shm::RunningCall&)>;

  SeatThread(const LocalPool& pool, Answer answer, shm::SeatIndex seat = 0)
      : answer_(std::move(answer)), seat_(pool.worker(seat)), thread_([this] { serve(); }) {}
  ~SeatThread() {
    stop_.store(true);
    seat_.interrupt();
    thread_.join();
  }

 private:
  void serve() {
    while (!stop_.load()) {
      while (auto call = seat_.try_next()) answer_(seat_, *call);
      seat_.wait(shm::kNever);
    }
  }

  Answer answer_;
  std::atomic<bool> stop_{false};
  shm::WorkerSeat seat_;
  std::thread thread_;
};

// One that answers each call with its own payload.
class EchoWorker : public SeatThread {
 public:
  explicit EchoWorker(const LocalPool& pool, shm::SeatIndex seat = 0)
      : SeatThread(pool, echo, seat) {}

  static void echo(shm::WorkerSeat& seat, const shm::RunningCall& call) {
    auto space = seat.reply_space(call, call.payload.size());
    if (!space) return seat.fail(call, space.error());
    if (!call.payload.empty()) {
      std::memcpy(space->data(), call.payload.data(), call.payload.size());
    }
    (void)seat.reply(call, call.head.kind, call.payload.size()).ok();
  }
};

inline shm::MonotonicNs soon(std::uint64_t milliseconds) {
  return shm::monotonic_now() + milliseconds * 1'000'000;
}

// Sends `text` on a fresh lease; the lease is submitted.
inline Result<Lease> submit(internal::ClientCore& client, std::string_view text,
                            shm::MonotonicNs deadline = shm::kNever,
                            std::string_view method = "echo") {
  Result<Lease> lease = client.claim(deadline);
  if (!lease) return lease;
  auto space = lease->request(text.size());
  if (!space) return std::move(space).error();
  std::memcpy(space->data(), text.data(), text.size());
  Status sent = lease->submit(method, PayloadKind::kBytes, text.size());
  if (!sent) return std::move(sent).error();
  return lease;
}

inline std::string text_of(const ReplyView& reply) { return std::string(reply.text()); }
inline std::string text_of(const shm::RunningCall& call) {
  return {reinterpret_cast<const char*>(call.payload.data()), call.payload.size()};
}

}  // namespace slotring::testing

#endif  // SLOTRING_TESTS_SUPPORT_LOCAL_POOL_H_
