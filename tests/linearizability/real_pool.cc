#include "tests/linearizability/real_pool.h"

#include <cstring>
#include <utility>

#include <gtest/gtest.h>

namespace slotring::linearizability {

namespace {

constexpr shm::MonotonicNs kImpatienceNs = 20'000;
constexpr std::size_t kValueBytes = sizeof(std::uint64_t);

std::uint64_t value_in(std::span<const std::byte> payload) {
  std::uint64_t value = 0;
  EXPECT_EQ(payload.size(), kValueBytes);
  if (payload.size() == kValueBytes) std::memcpy(&value, payload.data(), kValueBytes);
  return value;
}

class RealCaller : public Caller {
 public:
  RealCaller(const testing::LocalPool& pool, internal::ClientCore& core)
      : pool_(pool), core_(core) {}

  std::optional<Place> claim(bool patient) override {
    Result<Lease> lease = core_.claim(patient ? shm::kNever : shm::monotonic_now() + kImpatienceNs);
    if (!lease) {
      EXPECT_TRUE(lease.error().code == ErrorCode::kDeadlineExceeded ||
                  lease.error().code == ErrorCode::kPoolSaturated)
          << lease.error().to_string();
      return std::nullopt;
    }
    lease_.emplace(*std::move(lease));
    space_ = lease_->request(kValueBytes).value();
    // A lease does not tell its slot: where its request goes does. Nobody else changes the
    // generation of a slot that is held.
    const auto slot = static_cast<std::uint32_t>((space_.data() - pool_.requests().area(0)) /
                                                 pool_.requests().area_bytes());
    return Place{slot, pool_.word(slot).generation};
  }
  void submit(std::uint64_t value) override {
    std::memcpy(space_.data(), &value, kValueBytes);
    const Status sent = lease_->submit("method", PayloadKind::kBytes, kValueBytes);
    EXPECT_TRUE(sent) << sent.error().to_string();
  }
  std::optional<std::uint64_t> receive() override {
    const Result<ReplyView> reply = lease_->wait();
    if (reply) return value_in(reply->bytes);
    EXPECT_EQ(reply.error().code, ErrorCode::kWorkerLost) << reply.error().to_string();
    return std::nullopt;
  }
  void abandon() override { lease_->release(); }
  void release() override { lease_->release(); }

 private:
  const testing::LocalPool& pool_;
  internal::ClientCore& core_;
  std::optional<Lease> lease_;
  std::span<std::byte> space_;
};

class RealServer : public Server {
 public:
  RealServer(const testing::LocalPool& pool, std::uint16_t seat) : seat_(pool.worker(seat)) {}

  std::optional<Call> serve() override {
    call_ = seat_.try_next();
    if (!call_) return std::nullopt;
    return Call{{call_->slot, call_->word.generation}, value_in(call_->payload)};
  }
  void reply(std::uint64_t value) override {
    std::memcpy(seat_.reply_space(*call_, kValueBytes).value().data(), &value, kValueBytes);
    EXPECT_TRUE(seat_.reply(*call_, wire::PayloadKind::Bytes, kValueBytes));
  }
  void wait() override { seat_.wait(shm::kNever); }
  void interrupt() override { seat_.interrupt(); }

 private:
  shm::WorkerSeat seat_;
  std::optional<shm::RunningCall> call_;
};

}  // namespace

RealPool::RealPool(std::uint32_t seats, std::uint32_t slots_per_seat)
    : local_(testing::small_geometry(seats, slots_per_seat)) {
  local_.intern("method");
  local_.publish_all();
}

RealPool::~RealPool() = default;

std::unique_ptr<Caller> RealPool::caller(std::uint16_t client) {
  std::unique_ptr<internal::ClientCore>& core = clients_[client];
  if (!core) core = local_.client(client);
  return std::make_unique<RealCaller>(local_, *core);
}

std::unique_ptr<Server> RealPool::server(std::uint16_t seat) {
  return std::make_unique<RealServer>(local_, seat);
}

std::vector<std::uint32_t> RealPool::generations() const {
  std::vector<std::uint32_t> generations;
  for (shm::SlotIndex slot = 0; slot < local_.segment().geometry().slots(); ++slot) {
    generations.push_back(local_.word(slot).generation);
  }
  return generations;
}

void RealPool::expect_idle() const {
  for (shm::SlotIndex slot = 0; slot < local_.segment().geometry().slots(); ++slot) {
    EXPECT_EQ(local_.state(slot), shm::SlotState::kFree) << "slot " << slot;
  }
  EXPECT_EQ(local_.pool().line().count_waiting(), 0u);
}

}  // namespace slotring::linearizability
