// Calls to every worker of a pool: broadcasts and the health check.

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <system_error>
#include <thread>
#include <vector>

#include "client_lib/client_core.h"
#include "slotring/client.h"

namespace slotring {

using internal::ClientCore;
using internal::deadline_after;
using layout::SeatState;

namespace {

static_assert(kMaxBroadcastBytes == shm::kMaxSettingBytes);

// Workers that hang do not keep the others from being asked, up to so many of them.
constexpr std::size_t kMostThreads = 64;

struct Answer {
  shm::SeatIndex seat = 0;
  std::uint32_t generation = 0;
  std::optional<Error> error = {};
  shm::MonotonicNs took_ns = 0;
};

struct Question {
  std::string_view method;
  Payload payload;
  shm::MonotonicNs deadline;
};

std::optional<Error> ask(ClientCore& core, shm::SeatIndex seat, const Question& question) {
  Result<Lease> lease = core.claim_on(seat, question.deadline);
  if (!lease) return std::move(lease).error();
  const Result<ReplyView> reply = internal::exchange(*lease, question.method, question.payload);
  return reply ? std::optional<Error>() : reply.error();
}

Answer ask_timed(ClientCore& core, shm::SeatIndex seat, const Question& question) {
  const shm::MonotonicNs begin = shm::monotonic_now();
  Answer answer{.seat = seat, .error = ask(core, seat, question)};
  answer.took_ns = shm::monotonic_now() - begin;
  // A successor may have answered in its predecessor's place.
  answer.generation = core.segment().seat_word(seat).generation;
  return answer;
}

// Asks these seats at the same time, with one deadline for all.
std::vector<Answer> ask_all(ClientCore& core, const std::vector<shm::SeatIndex>& seats,
                            const Question& question) {
  std::vector<Answer> answers(seats.size());
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t i = next.fetch_add(1, std::memory_order_relaxed); i < seats.size();
         i = next.fetch_add(1, std::memory_order_relaxed)) {
      answers[i] = ask_timed(core, seats[i], question);
    }
  };
  // Signals are for the program's own threads.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  std::vector<std::thread> threads;
  try {
    while (threads.size() + 1 < std::min(seats.size(), kMostThreads)) threads.emplace_back(work);
  } catch (const std::system_error&) {
    // With fewer, it takes longer.
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  work();
  for (std::thread& thread : threads) thread.join();
  return answers;
}

std::vector<shm::SeatIndex> seats_in(const shm::ControlSegment& segment, SeatState state) {
  std::vector<shm::SeatIndex> seats;
  for (shm::SeatIndex seat = 0; seat < segment.geometry().max_workers; ++seat) {
    if (segment.seat_word(seat).state == state) seats.push_back(seat);
  }
  return seats;
}

}  // namespace

Result<BroadcastReport> Client::broadcast(std::string_view method, Payload payload,
                                          const BroadcastOptions& options) {
  if (Status usable = core_->check_process(); !usable) return std::move(usable).error();
  shm::Setting setting;
  setting.key = options.key.empty() ? std::string(method) : options.key;
  setting.method = std::string(method);
  setting.kind = static_cast<std::uint8_t>(payload.kind());
  setting.retracted = options.retract;
  // Before it is copied: the supervisor would say the same.
  if (payload.data().size() > shm::kMaxSettingBytes) {
    return shm::setting_too_large(payload.data().size());
  }
  setting.payload.assign(payload.data().begin(), payload.data().end());
  if (std::optional<Error> why = shm::refuse_setting(setting)) return *std::move(why);
  const shm::MonotonicNs deadline = deadline_after(options.timeout);
  const Result<std::uint32_t> epoch = core_->broadcast(setting, deadline);
  if (!epoch) return epoch.error();
  BroadcastReport report{.epoch = *epoch};
  // Each makes the call before it answers what came of it.
  const Question question{"settings", setting.key, deadline};
  const auto seats = seats_in(core_->segment(), SeatState::kReady);
  for (Answer& answer : ask_all(*core_, seats, question)) {
    report.workers.push_back({answer.seat, answer.generation, std::move(answer.error)});
  }
  return report;
}

Result<PoolHealth> Client::check_health(std::chrono::nanoseconds timeout) {
  if (Status usable = core_->check_process(); !usable) return std::move(usable).error();
  const shm::ControlSegment& segment = core_->segment();
  const Question question{"ping", {}, deadline_after(timeout)};
  PoolHealth health;
  for (Answer& answer : ask_all(*core_, seats_in(segment, SeatState::kReady), question)) {
    health.workers.push_back({answer.seat, answer.generation, std::move(answer.error),
                              std::chrono::nanoseconds(answer.took_ns)});
  }
  for (const SeatState state : {SeatState::kLost, SeatState::kRetired}) {
    const char* what = state == SeatState::kLost
                           ? "the worker died, and its successor does not serve yet"
                           : "the worker died, and no successor will come";
    for (const shm::SeatIndex seat : seats_in(segment, state)) {
      health.workers.push_back({seat, segment.seat_word(seat).generation,
                                Error{.code = ErrorCode::kWorkerUnavailable,
                                      .message = what,
                                      .retryable = state == SeatState::kLost}});
    }
  }
  health.starts_on_demand = !seats_in(segment, SeatState::kDormant).empty();
  std::sort(health.workers.begin(), health.workers.end(),
            [](const auto& a, const auto& b) { return a.seat < b.seat; });
  return health;
}

}  // namespace slotring
