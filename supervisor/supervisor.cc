#include "supervisor/supervisor.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <exception>

#include "slotring/version.h"

namespace slotring::supervisor {

Supervisor::Supervisor(LogOutput& log_output)
    : log_output_(log_output),
      log_(log_output.make_log("supervisor")),
      io_(1),  // one thread
      signals_(io_) {}

Status Supervisor::run(const std::vector<PoolConfig>& pools) {
  log_->info("slotring {}, pid {}", version(), ::getpid());
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) signals_.add(signal);
  await_signal();
  if (Status made = make_pools(pools); !made) return made;
  Status started = start_pools();
  if (!started) stop();
  run_loop();
  pools_.clear();
  log_->info("ended");
  return started;
}

Status Supervisor::make_pools(const std::vector<PoolConfig>& pools) {
  for (const PoolConfig& config : pools) {
    Result<std::unique_ptr<Pool>> pool =
        Pool::create(io_, log_output_, config, [this] { on_change(); });
    if (!pool) {
      Error error = std::move(pool).error();
      error.message = "pool " + config.name + ": " + error.message;
      return error;
    }
    pools_.push_back(*std::move(pool));
  }
  return Done{};
}

Status Supervisor::start_pools() {
  for (const auto& pool : pools_) {
    if (Status started = pool->start(); !started) return started;
  }
  return Done{};
}

void Supervisor::await_signal() {
  signals_.async_wait([this](const boost::system::error_code& failed, int signal) {
    if (failed) return;
    on_signal(signal);
    await_signal();
  });
}

void Supervisor::on_signal(int signal) {
  if (signal == SIGHUP) {
    const Status reopened = log_output_.reopen();
    if (reopened) return log_->info("SIGHUP: the log file was opened again");
    return log_->error("SIGHUP: {}", reopened.error().to_string());
  }
  log_->info("SIG{}: stopping", ::sigabbrev_np(signal));
  stop();
}

void Supervisor::stop() {
  const bool again = draining_;
  draining_ = true;
  for (const auto& pool : pools_) again ? pool->hasten() : pool->drain();
}

void Supervisor::on_change() {
  if (draining_) {
    const bool stopped =
        std::all_of(pools_.begin(), pools_.end(), [](const auto& pool) { return pool->stopped(); });
    if (stopped) io_.stop();
    return;
  }
  const bool ready =
      std::all_of(pools_.begin(), pools_.end(), [](const auto& pool) { return pool->ready(); });
  if (ready && !was_ready_) log_->info("ready: {} pools", pools_.size());
  was_ready_ = ready;
}

void Supervisor::run_loop() {
  while (!io_.stopped()) {
    try {
      io_.run();
    } catch (const std::exception& failed) {
      // std::bad_alloc, mostly. What was being done is lost, what is proven by descriptors comes
      // again.
      log_->error("an event was not handled: {}", failed.what());
    }
  }
}

}  // namespace slotring::supervisor
