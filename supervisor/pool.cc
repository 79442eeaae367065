#include "supervisor/pool.h"

#include <unistd.h>

#include <algorithm>
#include <exception>
#include <utility>

#include <boost/asio/post.hpp>

#include "client_lib/shm/reclaim.h"
#include "client_lib/shm/repair.h"
#include "client_lib/shm/session_audit.h"
#include "client_lib/shm/session_table.h"
#include "supervisor/kept_config.h"
#include "supervisor/log_lines.h"
#include "supervisor/package_path.h"
#include "supervisor/wake_meter.h"

namespace slotring::supervisor {

Result<std::unique_ptr<Pool>> Pool::create(const ProgramSide& program, PoolConfig config) {
  Result<std::string> package_path = find_package_path(config.package_path);
  if (!package_path) return std::move(package_path).error();
  Result<ListeningSocket> socket =
      ListeningSocket::open(config.socket, config.default_socket, config.lets_others_in());
  if (!socket) return std::move(socket).error();
  Result<SeatSockets> seat_sockets = SeatSockets::open(config.socket);
  if (!seat_sockets) return std::move(seat_sockets).error();
  const Log log = program.log_output.make_log(config.name);
  Result<FoundPool> found =
      find_running_pool(*seat_sockets, config.name, log, program.keep_waiting);
  if (!found) return std::move(found).error();
  const bool adopted = found->memory != nullptr;
  if (adopted) {
    keep_sizes(config, found->memory->segment().geometry(), log);
    if (Status kept = keep_store(config, found->memory->segment(), log); !kept) {
      return std::move(kept).error();
    }
  } else {
    Result<std::unique_ptr<PoolMemory>> made = PoolMemory::create(config.name, config.geometry());
    if (!made) return std::move(made).error();
    found->memory = *std::move(made);
  }
  return std::unique_ptr<Pool>(
      new Pool(program, std::move(config),
               {*std::move(package_path), *std::move(socket), *std::move(seat_sockets),
                std::move(found->memory), adopted, std::move(found->workers)}));
}

Pool::Pool(const ProgramSide& program, PoolConfig config, Parts parts)
    : config_(std::move(config)),
      parts_(std::move(parts)),
      log_(program.log_output.make_log(config_.name)),
      on_change_(program.on_change),
      slots_(parts_.memory->segment()),
      methods_(parts_.memory->segment()),
      settings_(parts_.memory->segment()),
      reception_(program.io, log_, config_.name,
                 AccessList(config_.allow_users, config_.allow_groups), *parts_.memory, slots_),
      template_(config_.forks() ? std::make_unique<WorkerTemplate>(WorkerTemplate::PoolSide{
                                      program.io, program.log_output, config_, parts_.package_path,
                                      [this] { on_phase(); }})
                                : nullptr),
      seat_side_{program.io,
                 program.log_output,
                 config_,
                 parts_.package_path,
                 *parts_.memory,
                 slots_,
                 parts_.seat_sockets,
                 methods_,
                 template_.get(),
                 [this](shm::SeatIndex seat) { return staffing_.holds_state(seat); },
                 [this] { on_phase(); },
                 [this] { repair(); },
                 [this] { audit_sessions(); }},
      staffing_(program.io, config_, slots_, settings_, seats_) {
  reception_.set_upgrade(program.upgrade);
  reception_.set_broadcast([this](shm::Setting setting) {
    Result<std::uint32_t> epoch = settings_.record(std::move(setting));
    if (epoch) staffing_.on_settings();
    return epoch;
  });
  reception_.on_reclaimed([this] { look_after_dead(); });
  for (shm::SeatIndex index = 0; index < config_.workers; ++index) {
    seats_.push_back(std::make_unique<Seat>(seat_side_, index));
  }
}

Pool::~Pool() = default;

Status Pool::start() {
  started_at_ = std::chrono::steady_clock::now();
  if (Status started = start_audit(); !started) return started;
  if (parts_.adopted) {
    if (Status taken = take_over(); !taken) return taken;
  }
  if (Status opened = reception_.open(parts_.socket.take_socket()); !opened) return opened;
  start_seats();
  sign_header();
  if (parts_.adopted) reception_.reclaim_left();
  look_after_dead();
  return Done{};
}

Status Pool::start_audit() {
  // What is posted runs only while the supervisor's loop does, and so only while this lives.
  boost::asio::io_context& io = seat_side_.io;
  const auto on_overdue = [this, &io](shm::SeatIndex seat) {
    boost::asio::post(io, [this, seat] { seats_[seat]->end_overdue(); });
  };
  const auto on_doubt = [this, &io] { boost::asio::post(io, [this] { repair(); }); };
  const PoolAudit::OnWaiting on_waiting = [this, &io](bool still) {
    boost::asio::post(io, [this, still] { staffing_.on_waiting(still); });
  };
  try {
    audit_ = std::make_unique<PoolAudit>(slots_, config_.call_time_limit, on_overdue, on_doubt,
                                         config_.elastic() ? on_waiting : nullptr);
  } catch (const std::exception& failed) {
    return Error{ErrorCode::kSystemLimit,
                 std::string("starting the audit's thread: ") + failed.what()};
  }
  return Done{};
}

// Writes what the header says of this supervisor; from then on the header is repaired to that.
void Pool::sign_header() {
  layout::ControlHeader& header = parts_.memory->segment().header();
  const std::chrono::nanoseconds limit = config_.call_time_limit;
  header.call_time_limit_ns = static_cast<std::uint64_t>(limit.count());
  header.waiting =
      layout::WaitingTerms{.wake_ns = measured_wake_ns(), .mode = config_.waiting}.pack();
  header.sessions = config_.session_policy();
  header.supervisor_pid.store(::getpid(), std::memory_order_relaxed);
  epoch_ = header.supervisor_epoch.load(std::memory_order_relaxed) + (parts_.adopted ? 1 : 0);
  header_ = shm::copy_header(parts_.memory->segment());
  // A client that sees this finds the new supervisor listening. seq_cst: partner of
  // SupervisorContact::say_goodbye(); a client that left meanwhile sees this, or is seen.
  header.supervisor_epoch.store(epoch_, std::memory_order_seq_cst);
}

// Everything that an earlier supervisor knew, and what happened since it died.
Status Pool::take_over() {
  methods_.adopt();
  settings_.adopt();
  for (FoundWorker& worker : parts_.workers) {
    if (worker.seat >= seats_.size()) continue;  // of no seat of this memory
    if (Status taken = seats_[worker.seat]->take_over(std::move(worker)); !taken) return taken;
  }
  if (Status adopted = reception_.adopt_clients(); !adopted) return adopted;
  // It may have died in an audit, or between a death and its audit.
  shm::audit_hints(slots_);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started_at_;
  log_->info("listening at {}, took over {} and {} of an earlier supervisor in {:.3f} s",
             config_.socket, counted(parts_.workers.size(), "worker"),
             counted(reception_.clients(), "client"), took.count());
  return Done{};
}

void Pool::start_seats() {
  if (!parts_.adopted) {
    log_->info("listening at {}, {}", config_.socket,
               config_.lazy ? "starting no worker before somebody claims"
                            : "starting " + counted(config_.min_workers, "worker"));
  }
  // Before its workers are needed, unless none may be: those that were taken over may die.
  if (template_ && !config_.lazy) template_->start();
  staffing_.start();
}

bool Pool::can_be_left() const {
  return std::any_of(seats_.begin(), seats_.end(), [](const auto& seat) {
    return seat->phase() == SeatPhase::kReady || seat->phase() == SeatPhase::kResuming;
  });
}

void Pool::leave() {
  for (const auto& seat : seats_) seat->leave();
  if (template_) template_->end();
  parts_.socket.leave();
}

void Pool::drain() {
  if (draining_) return;
  draining_ = true;
  log_->info("draining: {} attached", counted(reception_.clients(), "client"));
  staffing_.stop();
  if (template_) template_->stop();
  reception_.refuse_clients();
  for (const auto& seat : seats_) seat->drain();
  // Callers that wait for a slot learn from the seats' words that there will be none.
  slots_.line().wake_all();
}

void Pool::hasten() {
  if (stopped_) return;
  log_->warn("asked again to stop: not waiting any longer");
  for (const auto& seat : seats_) seat->hasten();
  if (!template_) return;
  template_->end();
  on_phase();
}

void Pool::on_phase() {
  if (!draining_) {
    check_ready();
    staffing_.on_phase();
  } else if (!stopped_ && (!template_ || template_->stopped()) &&
             std::all_of(seats_.begin(), seats_.end(),
                         [](const auto& seat) { return is_settled(seat->phase()); })) {
    finish();
  }
}

// A seat without a worker that is to have none is as ready as it gets.
void Pool::check_ready() {
  if (was_ready_) return;
  was_ready_ = std::all_of(seats_.begin(), seats_.end(), [](const auto& seat) {
    return seat->phase() == SeatPhase::kReady || seat->phase() == SeatPhase::kDormant;
  });
  if (!was_ready_) return;
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started_at_;
  const Staff staff = staffing_.staff();
  log_->info("ready: {} in {:.2f} s{}", counted(staff.serving, "worker"), took.count(),
             staff.dormant == 0 ? "" : fmt::format(", {} more when wanted", staff.dormant));
  on_change_();
}

// Of processes that are gone, and died in the middle of changing the session table. Before the
// repair that follows their death, which takes what it finds there for scribbled.
void Pool::audit_sessions() {
  const std::vector<shm::PoolTruth::Client>& clients = reception_.client_table().truth();
  const auto is_alive = [&](std::uint16_t creator) {
    const auto index = static_cast<std::uint16_t>(creator & ~layout::kCreatorIsSeat);
    if ((creator & layout::kCreatorIsSeat) != 0) {
      return index < seats_.size() && seats_[index]->may_live();
    }
    return index < clients.size() && clients[index].attached;
  };
  const std::uint32_t mended = shm::audit_sessions(parts_.memory->segment(), is_alive);
  if (mended > 0) {
    log_->info("{} left half made by a process that died: mended", counted(mended, "session"));
  }
}

// A worker's sessions are audited when its slots are walked.
void Pool::look_after_dead() {
  if (!header_) return;
  audit_sessions();
  repair();
}

void Pool::repair() {
  if (!header_) return;
  shm::PoolTruth truth;
  truth.header = *header_;
  truth.supervisor_epoch = epoch_;
  truth.supervisor_pid = ::getpid();
  truth.methods = methods_.names();
  for (const auto& seat : seats_) truth.seats.push_back(seat->truth());
  truth.clients = reception_.client_table().truth();
  const shm::Repairs mended = shm::repair(slots_, truth);
  if (mended.total() > 0) {
    log_->warn("a peer has scribbled over the pool's memory; mended: {}", mended.to_string());
  }
  if (const std::uint32_t settings = settings_.mend(); settings > 0) {
    log_->warn("a peer has scribbled over the pool's settings; mended: {}", settings);
  }
  parts_.memory->mend(slots_, log_);
  for (const auto& seat : seats_) seat->serve_requested();
}

void Pool::finish() {
  for (const auto& seat : seats_) seat->retire();
  stopped_ = true;
  parts_.seat_sockets.remove();
  log_->info("stopped");
  on_change_();
}

}  // namespace slotring::supervisor
