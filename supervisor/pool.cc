#include "supervisor/pool.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "supervisor/package_path.h"

namespace slotring::supervisor {

Result<std::unique_ptr<Pool>> Pool::create(boost::asio::io_context& io, LogOutput& log_output,
                                           PoolConfig config, std::function<void()> on_change) {
  Result<std::string> package_path = find_package_path(config.package_path);
  if (!package_path) return std::move(package_path).error();
  Result<ListeningSocket> socket =
      ListeningSocket::open(config.socket, config.default_socket, config.lets_others_in());
  if (!socket) return std::move(socket).error();
  Result<std::unique_ptr<PoolMemory>> memory = PoolMemory::create(config.name, config.geometry());
  if (!memory) return std::move(memory).error();
  return std::unique_ptr<Pool>(new Pool(io, log_output, std::move(config), *std::move(package_path),
                                        *std::move(socket), *std::move(memory),
                                        std::move(on_change)));
}

Pool::Pool(boost::asio::io_context& io, LogOutput& log_output, PoolConfig config,
           std::string package_path, ListeningSocket socket, std::unique_ptr<PoolMemory> memory,
           std::function<void()> on_change)
    : config_(std::move(config)),
      package_path_(std::move(package_path)),
      log_(log_output.make_log(config_.name)),
      on_change_(std::move(on_change)),
      socket_(std::move(socket)),
      memory_(std::move(memory)),
      slots_(memory_->segment()),
      methods_(memory_->segment()),
      reception_(io, log_, config_.name, AccessList(config_.allow_users, config_.allow_groups),
                 *memory_, slots_),
      seat_side_{io,       log_output, config_,  package_path_,
                 *memory_, slots_,     methods_, [this] { on_phase(); }} {
  for (shm::SeatIndex index = 0; index < config_.workers; ++index) {
    seats_.push_back(std::make_unique<Seat>(seat_side_, index));
  }
}

Pool::~Pool() = default;

Status Pool::start() {
  started_at_ = std::chrono::steady_clock::now();
  try {
    audit_ = std::make_unique<WaitingAudit>(slots_);
  } catch (const std::exception& failed) {
    return Error{ErrorCode::kSystemLimit,
                 std::string("starting the audit's thread: ") + failed.what()};
  }
  if (Status opened = reception_.open(socket_.take_socket()); !opened) return opened;
  log_->info("listening at {}, starting {} workers", config_.socket, config_.workers);
  for (const auto& seat : seats_) seat->start();
  return Done{};
}

void Pool::drain() {
  if (draining_) return;
  draining_ = true;
  log_->info("draining: {} clients attached", reception_.clients());
  reception_.refuse_clients();
  for (const auto& seat : seats_) seat->drain();
  // Callers that wait for a slot learn from the seats' words that there will be none.
  slots_.line().wake_all();
}

void Pool::hasten() {
  if (stopped_) return;
  log_->warn("asked again to stop: not waiting any longer");
  for (const auto& seat : seats_) seat->hasten();
}

void Pool::on_phase() {
  if (!draining_) {
    check_ready();
  } else if (!stopped_ && std::all_of(seats_.begin(), seats_.end(),
                                      [](const auto& seat) { return is_settled(seat->phase()); })) {
    finish();
  }
}

void Pool::check_ready() {
  if (was_ready_) return;
  was_ready_ = std::all_of(seats_.begin(), seats_.end(),
                           [](const auto& seat) { return seat->phase() == SeatPhase::kReady; });
  if (!was_ready_) return;
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started_at_;
  log_->info("ready: {} workers in {:.2f} s", seats_.size(), took.count());
  on_change_();
}

void Pool::finish() {
  for (const auto& seat : seats_) seat->retire();
  stopped_ = true;
  log_->info("stopped");
  on_change_();
}

}  // namespace slotring::supervisor
