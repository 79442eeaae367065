#include "supervisor/reception.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <span>
#include <utility>

#include "client_lib/shm/memory.h"
#include "supervisor/log_lines.h"

namespace slotring::supervisor {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kHelloTimeout{5'000};
constexpr milliseconds kAcceptPause{200};
constexpr int kAcceptsPerTurn = 16;
constexpr std::size_t kMaxStrangers = 64;
constexpr std::size_t kMaxObservers = 64;

}  // namespace

Reception::Reception(boost::asio::io_context& io, Log log, std::string pool_name, AccessList access,
                     const PoolMemory& memory, const shm::SlotPool& pool)
    : io_(io),
      log_(std::move(log)),
      pool_name_(std::move(pool_name)),
      access_(std::move(access)),
      memory_(memory),
      clients_(pool),
      accept_again_(io) {}

Reception::~Reception() = default;

Status Reception::open(shm::UniqueFd listening) {
  Result<ReadableWatch> watch =
      ReadableWatch::start(io_, std::move(listening), [this] { accept_some(); });
  if (!watch) return std::move(watch).error();
  listening_ = *std::move(watch);
  return Done{};
}

void Reception::accept_some() {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    shm::UniqueFd socket(
        ::accept4(listening_.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket.valid()) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno != EAGAIN) pause_accepting(shm::system_error("accept", errno));
      return;
    }
    if (Status greeted = greet(std::move(socket)); !greeted) {
      return pause_accepting(greeted.error());
    }
    if (accept_failures_ > 0) {
      log_->info("connections are taken again, after {} failures", accept_failures_);
      accept_failures_ = 0;
    }
  }
}

// Under a shortage, a connection that was not accepted stays readable, and the loop would spin on
// it.
void Reception::pause_accepting(const Error& why) {
  if (accept_failures_++ == 0) {  // one line a shortage
    log_->error("cannot take a connection, trying again each {} ms: {}", kAcceptPause.count(),
                why.to_string());
  }
  listening_.pause();
  accept_again_.start(kAcceptPause, [this] { listening_.resume(); });
}

// Errors: shortages only; a peer that is not let in is an ordinary event.
Status Reception::greet(shm::UniqueFd socket) {
  Result<PeerIdentity> identity = identify_peer(socket.get());
  if (!identity) {
    if (identity.error().code == ErrorCode::kWorkerUnavailable) return Done{};
    return std::move(identity).error();
  }
  make_room_for_stranger();
  const PeerId id = next_id_++;
  auto peer = std::make_unique<Peer>(io_);
  peer->identity = *std::move(identity);
  Result<ReadableWatch> watch =
      ReadableWatch::start(io_, std::move(socket), [this, id] { on_readable(id); });
  if (!watch) return std::move(watch).error();
  peer->socket = *std::move(watch);
  peer->hello_timer.start(kHelloTimeout, [this, id] {
    Peer& silent = *peers_.at(id);
    refuse(id, silent, {ErrorCode::kDeadlineExceeded, "there was no Hello in time"});
  });
  peers_.emplace(id, std::move(peer));
  return Done{};
}

// Of those that connected and said nothing, the oldest goes: a correct peer speaks at once.
void Reception::make_room_for_stranger() {
  if (count(Peer::Stage::kStranger) < kMaxStrangers) return;
  const auto oldest = std::find_if(peers_.begin(), peers_.end(), [](const auto& entry) {
    return entry.second->stage == Peer::Stage::kStranger;
  });
  forget(oldest->first);
}

std::size_t Reception::count(Peer::Stage stage) const {
  return static_cast<std::size_t>(
      std::count_if(peers_.begin(), peers_.end(),
                    [stage](const auto& entry) { return entry.second->stage == stage; }));
}

void Reception::on_readable(PeerId id) {
  Peer& peer = *peers_.at(id);
  Result<shm::Packet> packet = receive_now(peer.socket.fd());
  if (!packet) {
    if (packet.error().code == ErrorCode::kDeadlineExceeded) return;  // woken for nothing
    if (packet.error().code == ErrorCode::kBadFrame) {
      log_->warn("{}: {}", peer.identity.to_string(), packet.error().message);
    }
    return on_closed(id, peer);
  }
  if (peer.stage == Peer::Stage::kStranger) {
    if (const auto* hello = packet->as<wire::Hello>()) return on_hello(id, peer, *hello);
    if (const auto* rejoin = packet->as<wire::Rejoin>()) return on_rejoin(id, peer, *rejoin);
    return refuse(id, peer, {ErrorCode::kBadFrame, "the first message must be Hello"});
  }
  if (packet->as<wire::Goodbye>() != nullptr) {
    peer.said_goodbye = true;
    return;
  }
  if (peer.stage == Peer::Stage::kObserver && packet->as<wire::Upgrade>() != nullptr) {
    return on_upgrade(id, peer);
  }
  if (const auto* broadcast = packet->as<wire::Broadcast>();
      broadcast != nullptr && peer.stage == Peer::Stage::kClient) {
    return on_broadcast(peer, *broadcast);
  }
  log_->warn("{}: sent what no {} sends, and is cut off", peer.identity.to_string(),
             peer.stage == Peer::Stage::kClient ? "client" : "observer");
  on_closed(id, peer);
}

void Reception::on_hello(PeerId id, Peer& peer, const wire::Hello& hello) {
  // Not before: a peer that is answered and cut off before it has spoken sees a broken socket
  // instead.
  if (!access_.admits(peer.identity)) {
    return refuse(id, peer,
                  {ErrorCode::kRefused,
                   "the pool " + pool_name_ + " does not let in " + peer.identity.to_string()});
  }
  peer.name = peer_name(hello);
  if (std::optional<Error> mismatch = check_versions(hello)) return refuse(id, peer, *mismatch);
  switch (hello.role()) {
    case wire::Role::Client:
      return admit_client(id, peer);
    case wire::Role::Observer:
      return admit_observer(id, peer);
    case wire::Role::Worker:
      break;
  }
  refuse(id, peer, {ErrorCode::kRefused, "workers are started by the supervisor only"});
}

void Reception::on_upgrade(PeerId id, Peer& peer) {
  const bool may = peer.identity.uid == ::geteuid() || peer.identity.uid == 0;
  const Result<std::string> accepted =
      may && upgrade_
          ? upgrade_()
          : Error{ErrorCode::kRefused, "only the supervisor's own user and root may upgrade it"};
  if (!accepted) return refuse(id, peer, accepted.error());
  log_->info("an upgrade was asked for by {}", peer.identity.to_string());
  (void)send_upgrading(peer.socket.fd(), *accepted).ok();
}

void Reception::on_broadcast(const Peer& peer, const wire::Broadcast& broadcast) {
  shm::Setting setting;
  if (broadcast.key() != nullptr) setting.key = broadcast.key()->str();
  if (broadcast.method() != nullptr) setting.method = broadcast.method()->str();
  setting.kind = broadcast.kind();
  setting.retracted = broadcast.retract();
  if (const auto* payload = broadcast.payload()) {
    const auto bytes = std::as_bytes(std::span(payload->data(), payload->size()));
    setting.payload.assign(bytes.begin(), bytes.end());
  }
  const std::string key = printable(setting.key);  // for the log
  const bool retracted = setting.retracted;
  const Result<std::uint32_t> epoch =
      draining_ || !record_setting_
          ? Error{ErrorCode::kPoolDraining, "the pool " + pool_name_ + " is shutting down"}
          : record_setting_(std::move(setting));
  // A refusal is an answer: the client stays.
  if (!epoch) {
    log_->warn("client {} \"{}\": no broadcast of {}: {}", peer.index, peer.name, key,
               epoch.error().to_string());
    (void)send_refused(peer.socket.fd(), epoch.error());
    return;
  }
  log_->info("client {} \"{}\" {} the setting {}, epoch {}", peer.index, peer.name,
             retracted ? "retracts" : "broadcasts", key, *epoch);
  (void)send_broadcasted(peer.socket.fd(), *epoch);
}

void Reception::admit_client(PeerId id, Peer& peer) {
  if (draining_) {
    return refuse(id, peer,
                  {ErrorCode::kPoolDraining, "the pool " + pool_name_ + " is shutting down"});
  }
  Result<ReadableWatch> life =
      ReadableWatch::start(io_, std::move(peer.identity.pidfd), [this, id] { on_death(id); });
  if (!life) return refuse(id, peer, life.error());
  const std::optional<ClientTable::Place> place =
      clients_.try_attach(peer.name, peer.identity.pid, peer.identity.start_time);
  if (!place) {
    return refuse(
        id, peer,
        {ErrorCode::kTooManyClients, "the pool " + pool_name_ + " has its " +
                                         std::to_string(clients_.capacity()) + " clients already"});
  }
  peer.stage = Peer::Stage::kClient;
  peer.index = place->index;
  peer.life = *std::move(life);
  peer.hello_timer.cancel();
  log_->debug("client {} \"{}\" attached: {}", peer.index, peer.name, peer.identity.to_string());
  const Status sent = send_welcome(peer.socket.fd(), wire::Role::Client, pool_name_, memory_,
                                   {place->index, place->epoch});
  // It may or may not have the memory: if it lives, that is decided by its death.
  if (!sent) on_closed(id, peer);
}

void Reception::admit_observer(PeerId id, Peer& peer) {
  if (count(Peer::Stage::kObserver) >= kMaxObservers) {
    return refuse(
        id, peer,
        {ErrorCode::kTooManyClients, "the pool " + pool_name_ + " has its " +
                                         std::to_string(kMaxObservers) + " observers already"});
  }
  peer.stage = Peer::Stage::kObserver;
  peer.hello_timer.cancel();
  peer.identity.pidfd.reset();
  const Status sent =
      send_welcome(peer.socket.fd(), wire::Role::Observer, pool_name_, memory_, {0, 0});
  if (!sent) forget(id);
}

void Reception::on_closed(PeerId id, Peer& peer) {
  if (peer.stage != Peer::Stage::kClient) return forget(id);
  if (peer.said_goodbye) return reclaim(id, "left");
  peer.socket.stop();
}

void Reception::on_death(PeerId id) { reclaim(id, "died"); }

void Reception::reclaim(PeerId id, const char* how) {
  const Peer& peer = *peers_.at(id);
  log_reclaimed(peer, how, clients_.reclaim(peer.index));
  forget(id);
  reclaimed_();
}

void Reception::log_reclaimed(const Peer& peer, const char* how, std::uint32_t slots) const {
  const auto level = slots > 0 ? spdlog::level::warn : spdlog::level::debug;
  log_->log(level, "client {} \"{}\" {}, {} of its slots were taken back: pid {}", peer.index,
            peer.name, how, slots, peer.identity.pid);
}

void Reception::refuse(PeerId id, Peer& peer, const Error& why) {
  log_->warn("refused {}: {}", peer.identity.to_string(), why.to_string());
  (void)send_refused(peer.socket.fd(), why);
  forget(id);
}

void Reception::forget(PeerId id) { peers_.erase(id); }

}  // namespace slotring::supervisor
