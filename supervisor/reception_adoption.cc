// The clients of an earlier supervisor: they are in the client table, and notice later.

#include <algorithm>
#include <utility>
#include <vector>

#include "client_lib/shm/process_identity.h"
#include "supervisor/reception.h"

namespace slotring::supervisor {

Status Reception::adopt_clients() {
  for (const ClientTable::Adopted& client : clients_.adopt()) {
    if (Status adopted = adopt_client(client); !adopted) return adopted;
  }
  return Done{};
}

Status Reception::adopt_client(const ClientTable::Adopted& client) {
  auto peer = std::make_unique<Peer>(io_);
  peer->stage = Peer::Stage::kClient;
  peer->name = client.name;
  peer->index = client.index;
  peer->identity.pid = client.process.pid;
  peer->identity.start_time = client.process.start_time;
  const PeerId id = next_id_++;
  if (client.left) {
    log_reclaimed(*peer, "left", clients_.reclaim(client.index));
    return Done{};
  }
  if (client.process.pid == 0) {
    log_->warn(
        "client {} \"{}\" lives where its pid cannot be seen: its slots cannot be taken back "
        "before it calls again",
        client.index, client.name);
  } else {
    Result<shm::UniqueFd> pidfd = shm::open_pidfd(client.process);
    if (!pidfd && pidfd.error().code != ErrorCode::kWorkerUnavailable) {
      return std::move(pidfd).error();
    }
    if (!pidfd || shm::has_ended(*pidfd)) {
      log_reclaimed(*peer, "died", clients_.reclaim(client.index));
      return Done{};
    }
    Result<ReadableWatch> life =
        ReadableWatch::start(io_, *std::move(pidfd), [this, id] { on_death(id); });
    if (!life) return std::move(life).error();
    peer->life = *std::move(life);
  }
  peers_.emplace(id, std::move(peer));
  return Done{};
}

void Reception::reclaim_left() {
  std::vector<PeerId> left;
  for (const auto& [id, peer] : peers_) {
    const bool silent = peer->stage == Peer::Stage::kClient && !peer->socket.active();
    if (silent && clients_.has_left(peer->index)) left.push_back(id);
  }
  for (const PeerId id : left) reclaim(id, "left");
}

void Reception::on_rejoin(PeerId id, Peer& peer, const wire::Rejoin& rejoin) {
  if (std::optional<Error> why = refuse_rejoin(peer, rejoin)) return refuse(id, peer, *why);
  Result<ReadableWatch> life =
      ReadableWatch::start(io_, std::move(peer.identity.pidfd), [this, id] { on_death(id); });
  if (!life) return refuse(id, peer, life.error());
  const Peer& before = *client_at(rejoin.index());
  peer.stage = Peer::Stage::kClient;
  peer.index = before.index;
  peer.name = before.name;
  peer.life = *std::move(life);
  peer.hello_timer.cancel();
  std::erase_if(peers_, [&](const auto& entry) { return entry.second.get() == &before; });
  log_->debug("client {} \"{}\" is back: {}", peer.index, peer.name, peer.identity.to_string());
  // It does not wait for this, and may have closed its end already: its Goodbye is there to read.
  (void)send_rejoined(peer.socket.fd()).ok();
}

std::optional<Error> Reception::refuse_rejoin(const Peer& peer, const wire::Rejoin& rejoin) const {
  if (!access_.admits(peer.identity)) {
    return Error{ErrorCode::kRefused,
                 "the pool " + pool_name_ + " does not let in " + peer.identity.to_string()};
  }
  if (rejoin.protocol() != layout::kProtocolVersion ||
      rejoin.layout_hash() != layout::layout_hash() || rejoin.instance() != memory_.instance()) {
    return Error{ErrorCode::kNotAttached, "the pool " + pool_name_ +
                                              " was started anew since this client attached to it; "
                                              "attach again"};
  }
  const Peer* before =
      clients_.is_attached(rejoin.index(), rejoin.epoch()) ? client_at(rejoin.index()) : nullptr;
  const bool same = before != nullptr && before->identity.pid == peer.identity.pid &&
                    before->identity.start_time == peer.identity.start_time;
  if (same) return std::nullopt;
  return Error{ErrorCode::kNotAttached, "the place in the pool is not this process' own"};
}

const Reception::Peer* Reception::client_at(std::uint32_t index) const {
  for (const auto& [id, peer] : peers_) {
    if (peer->stage == Peer::Stage::kClient && peer->index == index) return peer.get();
  }
  return nullptr;
}

}  // namespace slotring::supervisor
