// A worker's talk with its supervisors (schemas/attach.fbs): the one that launched it, and those
// that take the pool over when that one dies.
//
//     SupervisorLink link(socket, seat_socket);
//     WorkerSeat seat = link.attach(name, deadline).value();     // Hello, Welcome
//     ... set up ...; link.publish(methods, runtime, deadline)   // Ready, Published
//     ... serve, while another thread loops on link.next_event() ...
//     link.send_goodbye();
//
// A supervisor's death is nothing to a worker but an event: calls do not pass through it. The next
// supervisor connects to the seat socket, is given the pool's memory and this worker's place in it
// (Resume), and is the supervisor from its answer on. While one is connected, none other is
// listened to: two never think that they have the same worker.
//
// next_event() belongs to one thread; send_goodbye() may be called by another meanwhile. Needs
// nothing of Python: the GIL may be released around all of it.

#ifndef SLOTRING_CLIENT_LIB_SHM_SUPERVISOR_LINK_H_
#define SLOTRING_CLIENT_LIB_SHM_SUPERVISOR_LINK_H_

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

  enum class Event {
    kDrain,    // leave when everything requested is served
    kGone,     // there is no supervisor any more
    kResumed,  // there is one again
    kTimeout,
  };
  // Waits for the next thing that concerns the worker's life, until `deadline`. `draining` is what
  // a new supervisor is told. What comes in at `wake_fd` (signal.set_wakeup_fd; -1 for none) is
  // read and told to `on_signal`, without end. REQUIRES: published.
  Event next_event(bool draining, int wake_fd, MonotonicNs deadline,
                   const std::function<void()>& on_signal);

  // Whether some client that has not left is alive, as the client table tells. One in a pid
  // namespace that cannot be seen from here does not count.
  bool anybody_attached() const;

 private:
  void meet_supervisor(bool draining);
  Status send_resume(int socket, bool draining) const;
  bool take_answer();
  void replace_socket(UniqueFd socket);

  UniqueFd socket_;  // to the present supervisor; invalid while there is none
  UniqueFd seat_socket_;
  UniqueFd successor_;    // was sent Resume, has not answered
  std::mutex replacing_;  // socket_, between next_event() and send_goodbye()
  Attachment joined_;
  std::vector<std::string> methods_;
  std::vector<std::uint16_t> method_ids_;
};

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_SUPERVISOR_LINK_H_
