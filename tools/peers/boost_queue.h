// A request queue in shared memory, guarded by Boost.Interprocess: both ends compile this.
//
//   | Head: the queue, a ring of slot numbers | Slot x clients | (request | reply) x clients |
//
// As a careful user of Boost.Interprocess writes it, and as Triton's Python backend is built: the
// payload goes into the shared memory once and is read there; the queue carries the slot's number
// only. A mutex guards the queue, a semaphore counts its requests, and each client has a slot and a
// semaphore that its reply raises. The mutex is not robust: a process that dies holding it stops
// all others.

#ifndef SLOTRING_TOOLS_PEERS_BOOST_QUEUE_H_
#define SLOTRING_TOOLS_PEERS_BOOST_QUEUE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <new>

#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/interprocess_semaphore.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>

namespace slotring::peers {

class BoostQueue {
 public:
  static constexpr std::uint32_t kMostClients = 256;

  struct Slot {
    boost::interprocess::interprocess_semaphore replied{0};
    std::uint64_t request_bytes = 0;
    std::uint64_t reply_bytes = 0;
  };

  static std::size_t block_bytes(std::uint32_t clients, std::size_t payload_bytes) {
    return areas_begin(clients) + std::size_t{2} * clients * area_bytes(payload_bytes);
  }

  // Makes an empty queue in `block`, of block_bytes(). REQUIRES: clients <= kMostClients.
  static BoostQueue create(void* block, std::uint32_t clients, std::size_t payload_bytes) {
    auto* bytes = static_cast<std::byte*>(block);
    new (bytes) Head();
    for (std::uint32_t i = 0; i < clients; ++i) new (bytes + slot_begin(i)) Slot();
    BoostQueue queue(block);
    queue.head_->clients = clients;
    queue.head_->payload_bytes = payload_bytes;
    return queue;
  }

  // The queue that another process made there.
  explicit BoostQueue(void* block)
      : block_(static_cast<std::byte*>(block)), head_(static_cast<Head*>(block)) {}

  std::size_t payload_bytes() const { return head_->payload_bytes; }

  Slot& slot(std::uint32_t client) const {
    return *reinterpret_cast<Slot*>(block_ + slot_begin(client));
  }
  std::byte* request(std::uint32_t client) const { return area(2 * client); }
  std::byte* reply(std::uint32_t client) const { return area(2 * client + 1); }

  // A client has one request in the queue at most, so it is never full.
  void push(std::uint32_t client) const {
    {
      const Lock lock(head_->mutex);
      head_->order[(head_->first + head_->count) % kMostClients] = client;
      ++head_->count;
    }
    head_->requests.post();
  }

  // Waits for a request and takes it out.
  std::uint32_t pop() const {
    head_->requests.wait();
    const Lock lock(head_->mutex);
    const std::uint32_t client = head_->order[head_->first];
    head_->first = (head_->first + 1) % kMostClients;
    --head_->count;
    return client;
  }

 private:
  using Lock = boost::interprocess::scoped_lock<boost::interprocess::interprocess_mutex>;

  static constexpr std::size_t kLine = 64;

  struct alignas(kLine) Head {
    std::uint32_t clients = 0;
    std::uint64_t payload_bytes = 0;
    boost::interprocess::interprocess_mutex mutex;
    boost::interprocess::interprocess_semaphore requests{0};
    std::uint32_t first = 0;
    std::uint32_t count = 0;
    std::array<std::uint32_t, kMostClients> order{};
  };

  static constexpr std::size_t lines(std::size_t bytes) {
    return (bytes + kLine - 1) / kLine * kLine;
  }
  static constexpr std::size_t slot_begin(std::uint32_t client) {
    return sizeof(Head) + client * lines(sizeof(Slot));
  }
  static constexpr std::size_t areas_begin(std::uint32_t clients) { return slot_begin(clients); }
  static constexpr std::size_t area_bytes(std::size_t payload_bytes) {
    return lines(payload_bytes);
  }
  std::byte* area(std::uint32_t number) const {
    return block_ + areas_begin(head_->clients) + number * area_bytes(head_->payload_bytes);
  }

  std::byte* block_;
  Head* head_;
};

}  // namespace slotring::peers

#endif  // SLOTRING_TOOLS_PEERS_BOOST_QUEUE_H_
