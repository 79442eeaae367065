// The public side of a pool: takes connections, checks who they are, lets clients and observers in,
// and takes back what a client leaves when it goes.
//
//     connect --identity--> stranger --Hello--> client   --Goodbye and close, or death--> reclaimed
//        |                     |           '--> observer --close--> forgotten
//        '-- Refused ----------'-- Refused, or silent for too long
//
// Clients of an earlier supervisor are known from the client table, and watched, without a word
// from them; a stranger that says Rejoin is one of them that has noticed.
//
// Guarantee: what a client holds is reclaimed once, and only when its pidfd says that it is dead or
// it has said Goodbye. A closed socket alone proves nothing: its process may live and use its
// memory.
//
// Nothing a peer does here costs more than a bounded number of descriptors and a bounded time.

#ifndef SLOTRING_SUPERVISOR_RECEPTION_H_
#define SLOTRING_SUPERVISOR_RECEPTION_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/io_context.hpp>

#include "client_lib/shm/setting_record.h"
#include "supervisor/client_table.h"
#include "supervisor/event_watch.h"
#include "supervisor/handshake.h"
#include "supervisor/log_output.h"
#include "supervisor/peer_identity.h"

namespace slotring::supervisor {

class Reception {
 public:
  // `io`, `memory` and `pool` outlive this.
  Reception(boost::asio::io_context& io, Log log, std::string pool_name, AccessList access,
            const PoolMemory& memory, const shm::SlotPool& pool);
  ~Reception();

  // Takes connections from a listening, non-blocking socket. Errors: SYSTEM_LIMIT, OUT_OF_MEMORY.
  Status open(shm::UniqueFd listening);
  // Takes over the clients of an earlier supervisor: reclaims what those left that are dead, and
  // watches the others. Before open(). Errors: SYSTEM_LIMIT.
  Status adopt_clients();
  // Reclaims those of them that have left since, with nobody to tell it to.
  void reclaim_left();
  // What an observer that may do so asks for with Upgrade. It is told what that returns: what has
  // to wait for a restart all the same, or the error.
  using Upgrade = std::function<Result<std::string>()>;
  void set_upgrade(Upgrade upgrade) { upgrade_ = std::move(upgrade); }
  // What a client asks for with Broadcast: keeps the setting, returns its epoch. An error of it is
  // what the client is told.
  using RecordSetting = std::function<Result<std::uint32_t>(shm::Setting)>;
  void set_broadcast(RecordSetting record) { record_setting_ = std::move(record); }
  // From now on whoever says Hello as a client is refused with POOL_DRAINING.
  void refuse_clients() { draining_ = true; }

  // Called after each client's end, when what it held was reclaimed.
  void on_reclaimed(std::function<void()> reclaimed) { reclaimed_ = std::move(reclaimed); }

  std::uint32_t clients() const { return clients_.attached(); }
  const ClientTable& client_table() const { return clients_; }

 private:
  using PeerId = std::uint64_t;
  struct Peer {
    enum class Stage { kStranger, kClient, kObserver };

    explicit Peer(boost::asio::io_context& io) : hello_timer(io) {}

    Stage stage = Stage::kStranger;
    PeerIdentity identity;  // a client's pidfd moves on into `life`
    std::string name;
    std::uint16_t index = 0;  // of a client
    bool said_goodbye = false;
    ReadableWatch socket;
    ReadableWatch life;
    Timer hello_timer;
  };

  void accept_some();
  void pause_accepting(const Error& why);
  Status greet(shm::UniqueFd socket);
  void make_room_for_stranger();

  void on_readable(PeerId id);
  void on_hello(PeerId id, Peer& peer, const wire::Hello& hello);
  void on_rejoin(PeerId id, Peer& peer, const wire::Rejoin& rejoin);
  std::optional<Error> refuse_rejoin(const Peer& peer, const wire::Rejoin& rejoin) const;
  Status adopt_client(const ClientTable::Adopted& client);
  void on_upgrade(PeerId id, Peer& peer);
  void on_broadcast(const Peer& peer, const wire::Broadcast& broadcast);
  void admit_client(PeerId id, Peer& peer);
  void admit_observer(PeerId id, Peer& peer);
  void on_closed(PeerId id, Peer& peer);
  void on_death(PeerId id);
  void reclaim(PeerId id, const char* how);
  void log_reclaimed(const Peer& peer, const char* how, std::uint32_t slots) const;
  // The client in this place; null when it is vacant.
  const Peer* client_at(std::uint32_t index) const;
  // These two end the peer; nothing may touch it afterwards.
  void refuse(PeerId id, Peer& peer, const Error& why);
  void forget(PeerId id);
  std::size_t count(Peer::Stage stage) const;

  boost::asio::io_context& io_;
  Log log_;
  std::string pool_name_;
  AccessList access_;
  const PoolMemory& memory_;
  ClientTable clients_;
  Upgrade upgrade_;
  RecordSetting record_setting_;
  std::function<void()> reclaimed_ = [] {};
  bool draining_ = false;

  ReadableWatch listening_;
  Timer accept_again_;
  std::uint32_t accept_failures_ = 0;  // in a row
  PeerId next_id_ = 0;
  std::map<PeerId, std::unique_ptr<Peer>> peers_;  // in order of arrival
};

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_RECEPTION_H_
