#include "tests/chaos/client.h"

#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>
#include <stop_token>
#include <thread>
#include <utility>

#include "client_lib/shm/futex.h"
#include "slotring/client.h"
#include "tests/chaos/payload.h"

namespace slotring::chaos {

namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

// What a call may come back after its deadline, with its own process stopped now and then and many
// more processes than CPUs.
constexpr std::uint64_t kLateNs = 8'000'000'000;
// Nobody is stopped or dead for so long: a call that runs into this one was forgotten.
constexpr std::chrono::seconds kLongTimeout{40};
constexpr std::size_t kMostBytes = 600'000;  // beyond a slot's warm part

// Retries while the supervisor is dead, stopped or just being killed. Nothing when it is hopeless,
// or the run is over.
std::shared_ptr<Client> attach(const std::string& socket, const Ledger& ledger) {
  while (!ledger.stop.load()) {
    Result<Client> client =
        Client::attach(socket, {.name = "chaos", .timeout = std::chrono::seconds(5)});
    if (client) return std::make_shared<Client>(*std::move(client));
    const ErrorCode code = client.error().code;
    const bool passing = code == ErrorCode::kPoolNotFound || code == ErrorCode::kDeadlineExceeded ||
                         code == ErrorCode::kWorkerUnavailable;
    if (!passing) {
      std::fprintf(stderr, "a client cannot attach: %s\n", client.error().to_string().c_str());
      return nullptr;
    }
    std::this_thread::sleep_for(milliseconds(5));
  }
  return nullptr;
}

// One pool's Client, that threads share, and replace when the pool was made anew.
class SharedClient {
 public:
  SharedClient(std::string socket, const Ledger& ledger)
      : socket_(std::move(socket)), ledger_(ledger), client_(chaos::attach(socket_, ledger)) {}

  std::shared_ptr<Client> get() const {
    const std::lock_guard lock(mutex_);
    return client_;
  }
  // Returns what is there in the place of `old`.
  std::shared_ptr<Client> instead_of(const std::shared_ptr<Client>& old) {
    const std::lock_guard lock(mutex_);
    if (client_ == old) client_ = chaos::attach(socket_, ledger_);
    return client_;
  }

 private:
  std::string socket_;
  const Ledger& ledger_;
  mutable std::mutex mutex_;
  std::shared_ptr<Client> client_;
};

class CallingThread {
 public:
  CallingThread(SharedClient& shared, Ledger& ledger, ThreadLedger& mine, std::uint64_t seed)
      : shared_(shared),
        client_(shared.get()),
        ledger_(ledger),
        mine_(mine),
        engine_(seed),
        bytes_(kMostBytes) {
    for (std::size_t i = 0; i + 8 <= bytes_.size(); i += 8) {
      const std::uint64_t word = engine_();
      std::memcpy(&bytes_[i], &word, 8);
    }
  }

  void run() {
    while (!ledger_.stop.load(std::memory_order_relaxed) && client_) {
      step();
      if (std::exchange(void_, false)) client_ = shared_.instead_of(client_);
    }
  }

 private:
  std::uint64_t below(std::uint64_t bound) { return engine_() % bound; }

  void step() {
    const std::uint64_t dice = below(10'000);
    if (dice < 800) return call_and_give_up();
    if (dice < 1300) return hold();
    if (dice > 9900) return call_and_cancel(dice % 4 == 0 ? "slow" : "echo");
    call(dice < 1302 ? "die" : dice < 1600 ? "fail" : dice < 2000 ? "slow" : "echo");
  }

  // A request that no other call of the run sends, unless it is very short.
  std::span<const std::byte> next_request() {
    // Mostly small; some do not fit a slot's warm part.
    static constexpr std::size_t kBounds[] = {
        1, 1, 64, 64, 64, 64, 64, 256, 256, 256, 256, 1024, 1024, 65'536, 65'536, kMostBytes};
    const std::size_t bytes = below(kBounds[below(std::size(kBounds))]);
    const std::uint64_t number = engine_();
    std::memcpy(bytes_.data(), &number, sizeof(number));
    return std::span(bytes_).first(bytes);
  }
  nanoseconds next_timeout() {
    return below(3) == 0 ? nanoseconds(microseconds(below(30'000))) : nanoseconds(kLongTimeout);
  }

  void call(std::string_view method, const std::stop_token& stop = {}) {
    const std::span<const std::byte> request = next_request();
    const nanoseconds timeout = next_timeout();
    begin(timeout);
    const Result<Reply> reply =
        client_->call(method, Payload(request), {.timeout = timeout, .stop = stop});
    note_return();
    if (!reply) return end_with(reply.error(), method, request);
    const bool replies = method == "echo" || method == "slow";
    if (!replies || !is_reply_to(request, reply->bytes())) complain_of_reply(method, request);
    end(kReply);
  }
  void call_and_cancel(std::string_view method) {
    std::stop_source stop;
    const std::jthread canceller([&stop, after = microseconds(below(500))] {
      std::this_thread::sleep_for(after);
      stop.request_stop();
    });
    call(method, stop.get_token());
  }
  void call_and_give_up() {
    const std::span<const std::byte> request = next_request();
    const nanoseconds timeout = next_timeout();
    begin(timeout);
    Result<Lease> lease = client_->claim({.timeout = timeout});
    note_return();
    if (!lease) return end_with(lease.error(), "echo", request);
    Result<std::span<std::byte>> space = lease->request(request.size());
    if (!space) return end_with(space.error(), "echo", request);
    if (!request.empty()) std::memcpy(space->data(), request.data(), request.size());
    const Status sent =
        lease->submit(below(4) == 0 ? "slow" : "echo", PayloadKind::kBytes, request.size());
    if (!sent) return end_with(sent.error(), "echo", request);
    if (below(2) == 0) std::this_thread::sleep_for(microseconds(below(500)));
    lease->release();
    if (lease->wait().ok()) complain("a reply after the call was given up");
    end(kGivenUp);
  }
  void hold() {
    Result<Lease> lease = client_->claim({.timeout = milliseconds(100)});
    if (!lease) {
      void_ = lease.error().code == ErrorCode::kNotAttached;
      return;
    }
    std::this_thread::sleep_for(microseconds(below(3000)));
    if (below(2) == 0) (void)lease->request(100).ok();
    mine_.held.fetch_add(1);
  }

  void begin(nanoseconds timeout) {
    mine_.begun.fetch_add(1);
    long_ = timeout == nanoseconds(kLongTimeout);
    deadline_ = shm::monotonic_now() + static_cast<std::uint64_t>(timeout.count());
  }
  void note_return() {
    const std::uint64_t now = shm::monotonic_now();
    if (now <= deadline_) return;
    const std::uint64_t late = now - deadline_;
    if (late > mine_.latest_ns.load()) mine_.latest_ns.store(late);
    if (late > kLateNs || long_) mine_.hung.fetch_add(1);
  }
  void end(Outcome outcome) { mine_.outcomes[outcome].fetch_add(1); }

  void end_with(const Error& error, std::string_view method, std::span<const std::byte> request) {
    switch (error.code) {
      case ErrorCode::kWorkerLost:
        return end(kWorkerLost);
      case ErrorCode::kDeadlineExceeded:
        // Not an own look at the clock only: a worker may have found it passed.
        if (long_ && shm::monotonic_now() <= deadline_) complain("an early deadline");
        return end(kDeadlineExceeded);
      case ErrorCode::kCancelled:
        return end(kCancelled);
      case ErrorCode::kPoolSaturated:
        end(kSaturated);
        return std::this_thread::sleep_for(milliseconds(2));  // as it is meant
      case ErrorCode::kNotAttached:
        void_ = true;
        return end(kNotAttached);
      case ErrorCode::kWorkerUnavailable:
        end(kWorkerUnavailable);
        return std::this_thread::sleep_for(milliseconds(2));
      case ErrorCode::kHandlerRaised:
        if (method != "fail") break;
        if (error.message.find(std::to_string(checksum(request))) == std::string::npos) {
          complain_of_reply(method, request);
        }
        return end(kRaised);
      default:
        break;
    }
    mine_.unexpected.fetch_add(1);
    note_complaint(std::string(method) + ": " + error.to_string());
  }
  void complain_of_reply(std::string_view method, std::span<const std::byte> request) {
    complain("a wrong reply to " + std::string(method) + " of " + std::to_string(request.size()) +
             " bytes");
  }
  void complain(const std::string& what) {
    mine_.wrong.fetch_add(1);
    note_complaint(what);
  }
  void note_complaint(const std::string& what) {
    if (ledger_.complained.exchange(true)) return;
    std::snprintf(ledger_.first_complaint.data(), ledger_.first_complaint.size(), "%s",
                  what.c_str());
  }

  SharedClient& shared_;
  std::shared_ptr<Client> client_;
  Ledger& ledger_;
  ThreadLedger& mine_;
  std::mt19937_64 engine_;
  std::vector<std::byte> bytes_;
  std::uint64_t deadline_ = 0;
  bool long_ = false;
  bool void_ = false;  // the client is of a pool that is no more
};

}  // namespace

int run_client(const std::vector<std::string>& sockets, Ledger& ledger, ClientLife& life,
               std::uint64_t seed) {
  std::vector<std::unique_ptr<SharedClient>> clients;
  for (const std::string& socket : sockets) {
    clients.push_back(std::make_unique<SharedClient>(socket, ledger));
    if (!clients.back()->get()) return ledger.stop.load() ? 0 : 1;
  }
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < kThreadsPerClient; ++i) {
    threads.emplace_back([&, i] {
      CallingThread(*clients[i % clients.size()], ledger, life.threads[i], seed + i).run();
    });
  }
  for (std::thread& thread : threads) thread.join();
  return 0;
}

}  // namespace slotring::chaos
