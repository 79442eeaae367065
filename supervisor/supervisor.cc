#include "supervisor/supervisor.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <exception>

#include <boost/asio/post.hpp>

#include "slotring/version.h"
#include "supervisor/kept_config.h"
#include "supervisor/log_lines.h"

namespace slotring::supervisor {

namespace {

constexpr int kSignals[] = {SIGTERM, SIGINT, SIGHUP};

void mask_signals(int how) {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int signal : kSignals) ::sigaddset(&signals, signal);
  ::pthread_sigmask(how, &signals, nullptr);
}

}  // namespace

Supervisor::Supervisor(LogOutput& log_output, CheckSuccessor check_successor)
    : log_output_(log_output),
      check_successor_(std::move(check_successor)),
      log_(log_output.make_log("supervisor")),
      io_(1),  // one thread
      signals_(io_) {}

Result<Supervisor::Ending> Supervisor::run(const std::vector<PoolConfig>& pools) {
  log_->info("slotring {}, pid {}", version(), ::getpid());
  for (const int signal : kSignals) signals_.add(signal);
  mask_signals(SIG_UNBLOCK);  // what came since the program before this one left
  await_signal();
  if (Status made = make_pools(pools); !made) return std::move(made).error();
  made_ = true;
  Status started = start_pools();
  if (!started) {
    give_up();
  } else if (draining_) {  // it was asked to stop meanwhile
    for (const auto& pool : pools_) pool->drain();
  }
  run_loop();
  if (upgrading_) {
    // What comes from here on is for the next program, across exec.
    mask_signals(SIG_BLOCK);
    for (const auto& pool : pools_) pool->leave();
  }
  pools_.clear();
  log_->info(upgrading_ ? "making room for the program on disk" : "ended");
  if (!started) return std::move(started).error();
  return upgrading_ ? Ending::kUpgrade : Ending::kStopped;
}

Status Supervisor::make_pools(const std::vector<PoolConfig>& pools) {
  for (const PoolConfig& config : pools) {
    Result<std::unique_ptr<Pool>> pool =
        Pool::create({io_, log_output_, [this] { on_change(); },
                      [this] { return !asked_to_stop(); }, [this] { return prepare_upgrade(); }},
                     config);
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
  if (!made_) return;  // nothing was started; what runs already is not this one's yet
  for (const auto& pool : pools_) again ? pool->hasten() : pool->drain();
}

// What ran before goes on, for the next supervisor to try; what was started for this one is ended.
void Supervisor::give_up() {
  std::erase_if(pools_, [](const auto& pool) {
    if (pool->adopted()) pool->leave();
    return pool->adopted();
  });
  draining_ = true;
  for (const auto& pool : pools_) pool->drain();
  on_change();  // there may be no pool left to tell its end
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
  if (ready && !was_ready_) log_->info("ready: {}", counted(pools_.size(), "pool"));
  was_ready_ = ready;
}

// Before the loop runs: signals that have come.
bool Supervisor::asked_to_stop() {
  io_.poll();
  io_.restart();
  return draining_;
}

// What has to wait for a restart all the same.
Result<std::string> Supervisor::prepare_upgrade() {
  if (draining_) return Error{ErrorCode::kPoolDraining, "the supervisor is stopping"};
  Status holding = Done{};
  for (const auto& pool : pools_) {
    if (pool->can_be_left()) continue;
    pool->want_worker();
    holding = Error{.code = ErrorCode::kWorkerUnavailable,
                    .message = "the pool " + pool->name() +
                               " has no ready worker, which would hold its memory meanwhile; try "
                               "again when it has one",
                    .retryable = true};
  }
  if (!holding) return std::move(holding).error();
  const Result<std::vector<PoolConfig>> later = check_successor_();
  if (!later) return later.error();
  std::string waits;
  for (const auto& pool : pools_) {
    for (const PoolConfig& config : *later) {
      if (config.name != pool->name()) continue;
      if (Status able = check_successor(pool->config(), config); !able) {
        return std::move(able).error();
      }
      const std::string more = what_waits(pool->config(), config);
      if (!more.empty()) waits += (waits.empty() ? "" : "; ") + more;
    }
  }
  // After whoever asked has been answered.
  boost::asio::post(io_, [this] {
    if (draining_) return;  // it was told to stop since
    upgrading_ = true;
    io_.stop();
  });
  return waits;
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
