// The operations of the protocol, each to be cut off anywhere: by a death, or by a pause.
//
// An operation is one process's: what it has at hand when the operation begins are its Peers, made
// ready by prepare(). Tests that kill the whole pool at once prepare and run in one process; others
// keep one of the two peers alive in a process of its own, and share `calls`.

#ifndef SLOTRING_TESTS_SUPPORT_LAST_OPERATION_H_
#define SLOTRING_TESTS_SUPPORT_LAST_OPERATION_H_

#include <cstdint>
#include <memory>
#include <ostream>
#include <span>
#include <vector>

#include "tests/support/local_pool.h"

namespace slotring::testing {

// The client that an operation belongs to, or works on; it calls on seat 0.
inline constexpr std::uint16_t kOperatingClient = 1;
inline constexpr std::uint32_t kOperatedSlots = 3;  // of seat 0

// Who does something, or is dead. To be or-ed.
enum Actors : unsigned { kNobody = 0, kClientPeer = 1, kWorkerPeer = 2, kReaperPeer = 4 };

// The calls that a worker runs, in memory that processes made by fork() share.
class SharedCalls {
 public:
  SharedCalls();
  ~SharedCalls();
  SharedCalls(const SharedCalls&) = delete;
  SharedCalls& operator=(const SharedCalls&) = delete;

  void push(const shm::RunningCall& call);
  shm::RunningCall pop();  // the latest
  bool empty() const;
  std::span<const shm::RunningCall> all() const;

 private:
  struct Content;
  Content* content_;
};

struct Peers {
  explicit Peers(const LocalPool& shared) : pool(&shared), seat(shared.worker()) {
    leases.reserve(2 * kOperatedSlots);  // no operation allocates for want of room here
  }

  // Makes the client, in the process that is to be it.
  void attach() { client = pool->client(kOperatingClient); }

  void claim() { leases.push_back(client->claim(shm::kNever).value()); }
  void submit(shm::MonotonicNs deadline = shm::kNever) {
    leases.push_back(testing::submit(*client, "hello", deadline).value());
  }
  Lease& lease() { return leases.back(); }
  [[nodiscard]] bool try_next();  // starts a call
  void start() {
    submit();
    (void)try_next();
  }
  // Answers the call that was started last.
  void echo() { EchoWorker::echo(seat, calls.pop()); }

  const LocalPool* pool;
  std::unique_ptr<internal::ClientCore> client;
  shm::WorkerSeat seat;
  std::vector<Lease> leases;
  SharedCalls calls;
};

struct LastOperation {
  const char* name;
  unsigned actors;       // who does it, and dies or stops in it
  unsigned dead_before;  // whom a reaper walks for
  void (*prepare)(Peers&);
  bool (*run)(Peers&);  // whether it ended as it ought to
  // It goes to sleep, until its peer does something.
  bool sleeps = false;
};

std::ostream& operator<<(std::ostream& out, const LastOperation& operation);

std::span<const LastOperation> last_operations();

}  // namespace slotring::testing

#endif  // SLOTRING_TESTS_SUPPORT_LAST_OPERATION_H_
