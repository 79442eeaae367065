// The supervisor's end of one worker's socket: the handshake (schemas/attach.fbs), and what is said
// afterwards.
//
//     Hello -> Welcome + descriptors -> Ready -> Published       or, in Ready's place, SetupFailed
//     Resume + descriptors -> Resumed + descriptors              with a dead supervisor's worker
//
// Belongs to one process; a successor gets a new link.

#ifndef SLOTRING_SUPERVISOR_WORKER_LINK_H_
#define SLOTRING_SUPERVISOR_WORKER_LINK_H_

#include <functional>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>

#include "supervisor/event_watch.h"
#include "supervisor/handshake.h"
#include "supervisor/log_output.h"
#include "supervisor/method_table.h"
#include "supervisor/pool_memory.h"

namespace slotring::supervisor {

class WorkerLink {
 public:
  enum class News {
    kReady,
    kSetupFailed,
    kConnectionLost,
    kResumed,         // it serves on
    kResumedLeaving,  // the same, but it was told to leave
    kNotHeard,        // its Resume was lost to a shortage of this process; resume_on() asks again
  };
  using OnNews = std::function<void(News)>;

  // What every worker of a pool is told; all of it outlives the link.
  struct PoolSide {
    const std::string& name;
    const PoolMemory& memory;
    MethodTable& methods;
  };

  // `on_news` may destroy the link. Errors: SYSTEM_LIMIT, OUT_OF_MEMORY.
  static Result<std::unique_ptr<WorkerLink>> start(boost::asio::io_context& io,
                                                   shm::UniqueFd socket, const PoolSide& pool,
                                                   const Place& place, Log log, OnNews on_news);

  // The same for a worker of an earlier supervisor, which is to send Resume. It is told to write
  // its stdout and stderr to `outputs`.
  struct Outputs {
    shm::UniqueFd output;
    shm::UniqueFd error_output;
  };
  static Result<std::unique_ptr<WorkerLink>> start_resuming(boost::asio::io_context& io,
                                                            shm::UniqueFd socket,
                                                            const PoolSide& pool,
                                                            const Place& place, Outputs outputs,
                                                            Log log, OnNews on_news);
  // Asks once more on a new connection. Errors: SYSTEM_LIMIT, OUT_OF_MEMORY.
  Status resume_on(boost::asio::io_context& io, shm::UniqueFd socket);
  // Hands in a packet that was received on the socket before.
  void deliver(const shm::Packet& packet) { on_packet(packet); }

  // Of the worker's seat: as it was told, or as it said itself in Resume.
  std::uint32_t generation() const { return place_.generation; }

  // Whether the worker serves, or did: it outlives this supervisor.
  bool is_published() const { return published_; }

  // Asks the worker to serve what was requested, and to leave.
  Status ask_to_drain() const { return send_drain(socket_.fd()); }

 private:
  enum class Stage { kExpectHello, kExpectReady, kExpectResume, kPublished, kEnded };

  WorkerLink(const PoolSide& pool, const Place& place, Log log, OnNews on_news)
      : pool_(pool), place_(place), log_(std::move(log)), on_news_(std::move(on_news)) {}

  void on_readable();
  void on_packet(const shm::Packet& packet);
  void on_hello(const wire::Hello& hello);
  void on_ready(const wire::Ready& ready);
  void on_resume(const shm::Packet& packet, const wire::Resume& resume);
  Status check_resume(const shm::Packet& packet, const wire::Resume& resume);
  void on_setup_failed(const wire::SetupFailed& failed);
  void reject(const Error& why);
  void miss_resume(const Error& why);
  void end(News news);

  PoolSide pool_;
  Place place_;
  Log log_;
  OnNews on_news_;
  ReadableWatch socket_;
  Stage stage_ = Stage::kExpectHello;
  bool published_ = false;
  Outputs outputs_;  // until they are sent
};

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_WORKER_LINK_H_
