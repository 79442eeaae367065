// A worker's talk with its supervisors (schemas/attach.fbs): the one that launched it, and those
// that take the pool over when that one dies.
//
//     SupervisorLink link(socket, seat_socket);
//     WorkerSeat seat = link.attach(name, deadline).value();     // Hello, Welcome
//     ... set up ...; link.publish(methods, runtime, deadline)   // Ready, Published
//     ... serve, while another thread is in link.watch() ...
//     link.send_goodbye();
//
// A supervisor's death is nothing to a worker but an event: calls do not pass through it. The next
// supervisor connects to the seat socket, is given the pool's memory and this worker's place in it
// (Resume), and is the supervisor from its answer on. While one is connected, none other is
// listened to: two never think that they have the same worker.
//
// watch() belongs to one thread; send_goodbye() may be called by another meanwhile. Nothing here
// needs Python: a handler that never lets go of the GIL does not keep its worker from being taken
// over.

#ifndef SLOTRING_CLIENT_LIB_SHM_SUPERVISOR_LINK_H_
#define SLOTRING_CLIENT_LIB_SHM_SUPERVISOR_LINK_H_

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "client_lib/shm/futex.h"
#include "client_lib/shm/worker_seat.h"
#include "slotring/result.h"

namespace slotring::shm {

class SupervisorLink {
 public:
  // `seat_socket` listens, where later supervisors come; -1 for none.
  SupervisorLink(UniqueFd socket, UniqueFd seat_socket);

  // Joins the pool. Errors: those of shm::attach().
  Result<WorkerSeat> attach(std::string_view name, MonotonicNs deadline);

  // Says Ready with these method names and waits for Published. Returns the methods' ids, in their
  // order. Errors: POOL_DRAINING, when the supervisor wants the worker to leave instead; BAD_FRAME;
  // DEADLINE_EXCEEDED; WORKER_UNAVAILABLE, when the supervisor is gone.
  Result<std::vector<std::uint16_t>> publish(std::vector<std::string> methods,
                                             const std::string& runtime, MonotonicNs deadline);

  // Says SetupFailed in Ready's place. The texts are cut to what fits a packet.
  Status send_setup_failed(const Error& failure);
  Status send_goodbye();

  struct Concerns {
    std::function<bool()> draining;   // whether it was told to leave; a new supervisor asks
    std::function<void()> on_drain;   // to leave when everything requested is served
    std::function<void()> on_signal;  // something came in at wake_fd, and was read
    int wake_fd = -1;                 // signal.set_wakeup_fd; -1 for none
    bool stay_for_clients = true;
  };
  // Looks after everything that concerns the worker's life, supervisors that go and come included.
  // Returns when there has been no supervisor for `patience_ns` (kNever: not at all) and, with
  // `stay_for_clients`, no client either. REQUIRES: published.
  void watch(const Concerns& concerns, MonotonicNs patience_ns);

  // Whether some client that has not left is alive, as the client table tells. One in a pid
  // namespace that cannot be seen from here does not count.
  bool anybody_attached() const;

 private:
  void receive_message(const Concerns& concerns);
  bool meet_supervisor(bool draining);
  Status send_resume(int socket, bool draining) const;
  void take_answer();
  void reserve_descriptors();
  void replace_socket(UniqueFd socket);

  UniqueFd socket_;  // to the present supervisor; invalid while there is none
  UniqueFd seat_socket_;
  UniqueFd successor_;    // was sent Resume, has not answered
  std::mutex replacing_;  // socket_, between watch() and send_goodbye()
  // Kept free for a new supervisor: one for its connection and two for what Resumed brings. A
  // worker that has run out of descriptors is taken over all the same.
  std::array<UniqueFd, 3> reserve_;
  Attachment joined_;
  std::vector<std::string> methods_;
  std::vector<std::uint16_t> method_ids_;
};

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_SUPERVISOR_LINK_H_
