#include "tests/chaos/chaos.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>

#include "slotring/client.h"

namespace slotring::chaos {

namespace {

constexpr double kStartS = 90;
constexpr double kRestS = 60;
constexpr double kEndS = 60;
constexpr double kAdoptionS = 30;
constexpr shm::MonotonicNs kMs = 1'000'000;

double seconds_since(shm::MonotonicNs then) {
  return static_cast<double>(shm::monotonic_now() - then) / 1e9;
}

}  // namespace

Chaos::Chaos(const Options& options, const std::string& folder)
    : options_(options),
      folder_(folder),
      engine_(options.seed),
      supervisor_(options, folder),
      crowd_(supervisor_.sockets(), options.seed * 1'000'003) {
  for (const std::string& socket : supervisor_.sockets()) pools_.emplace_back(socket);
}

Chaos::~Chaos() {
  stopped_.resume_all();
  (void)crowd_.kill_rest();
  supervisor_.kill();
  for (const pid_t pid : processes_of(folder_)) ::kill(pid, SIGKILL);
}

Figures Chaos::run() {
  const shm::MonotonicNs begin = shm::monotonic_now();
  if (!start()) {
    ++figures_.failed_supervisors;
    figures_.remarks.push_back("the supervisor did not get its pools ready");
    return figures_;
  }
  rage();
  come_to_rest();
  check_slots();
  check_claims();
  end_supervisor();
  crowd_.account(figures_);
  // Memory is lost with its last holder that could give it to a supervisor, and with nobody else.
  if (figures_.pools_made_anew == 0) {
    figures_.unexpected_errors +=
        figures_.outcomes[kNotAttached] + figures_.outcomes[kWorkerUnavailable];
  }
  figures_.seconds = seconds_since(begin);
  return figures_;
}

// Looks often whether something has happened. False when it has not in time.
bool Chaos::await(double seconds, const std::function<bool()>& happened) {
  const shm::MonotonicNs begin = shm::monotonic_now();
  while (!happened()) {
    if (seconds_since(begin) > seconds) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

bool Chaos::start() {
  supervisor_.start();
  const bool ready = await(kStartS, [this] {
    return std::all_of(pools_.begin(), pools_.end(), [](WatchedPool& pool) {
      if (!pool.attached() && !pool.attach()) return false;
      return pool.ready_seats() == pool.seats();
    });
  });
  if (!ready) return false;
  for (const WatchedPool& pool : pools_) instances_.push_back(pool.instance());
  if (options_.canary == "lost-slot") {
    squatter_ = start_squatter();
    // Before there are others: afterwards it might find none free.
    if (!await(kRestS, [this] { return pools_.front().busy_slots() > 0; })) return false;
  }
  for (int i = 0; i < options_.clients; ++i) crowd_.add();
  return true;
}

// A client that keeps a slot for ever.
pid_t Chaos::start_squatter() {
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  Result<Client> client = Client::attach(pools_.front().socket());
  if (!client) ::_exit(1);
  const Result<Lease> lease = client->claim();
  for (;;) ::pause();
}

void Chaos::rage() {
  const shm::MonotonicNs begin = shm::monotonic_now();
  shm::MonotonicNs next_strike = begin;
  while (seconds_since(begin) < options_.minutes * 60) {
    const shm::MonotonicNs now = shm::monotonic_now();
    stopped_.resume(now);
    crowd_.look_after(figures_);
    look_after_supervisor();
    if (now >= next_strike) {
      strike();
      const double gap_s =
          std::exponential_distribution<double>(options_.events_per_second)(engine_);
      next_strike = now + static_cast<shm::MonotonicNs>(gap_s * 1e9);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

void Chaos::strike() {
  const std::uint64_t dice = below(100);
  const bool kill = below(100) < 60;
  if (dice < 45) return strike_worker(kill);
  if (dice < 90) return strike_client(kill);
  strike_supervisor(kill && options_.supervisor_kills);
}

void Chaos::strike_worker(bool kill) {
  const WatchedPool& pool = pools_[below(pools_.size())];
  Victim victim =
      Victim::of(pool.worker(static_cast<shm::SeatIndex>(below(pool.seats()))), folder_);
  if (!victim.valid()) return;  // there is none at this moment
  if (!kill) return stop(std::move(victim), kWorker);
  // With its last worker a pool without supervisor ends, as it should.
  if (killed_at_ != 0 && pool.ready_seats() < 2 && below(8) != 0) return;
  if (victim.signal(SIGKILL)) ++figures_.kills[kWorker];
}

void Chaos::strike_client(bool kill) {
  const std::size_t member = below(crowd_.size());
  if (!kill) return stop(Victim::child(crowd_.pid(member)), kClient);
  if (crowd_.replace(member)) ++figures_.kills[kClient];
}

void Chaos::strike_supervisor(bool kill) {
  if (supervisor_.pid() == 0) return;
  if (!kill) return stop(Victim::child(supervisor_.pid()), kSupervisor);
  // Now and then one is killed while it takes over.
  if (killed_at_ == 0 || below(4) == 0) kill_supervisor();
}

void Chaos::stop(Victim victim, Role role) {
  if (!victim.valid()) return;
  ++figures_.stops[role];
  stopped_.stop(std::move(victim), shm::monotonic_now() + (1 + below(300)) * kMs);
}

void Chaos::kill_supervisor() {
  ++figures_.kills[kSupervisor];
  if (killed_at_ == 0) {
    for (std::size_t pool = 0; pool < pools_.size(); ++pool) {
      for (shm::SeatIndex seat = 0; seat < pools_[pool].seats(); ++seat) {
        Victim worker = Victim::of(pools_[pool].ready_worker(seat), folder_);
        if (worker.valid()) survivors_.push_back({pool, seat, std::move(worker)});
      }
    }
    replies_at_kill_ = crowd_.replies();
    killed_at_ = shm::monotonic_now();
  }
  supervisor_.kill();
  // At once, or after a time in which there is none.
  restart_at_ = shm::monotonic_now() + (below(2) == 0 ? 0 : below(500) * kMs);
}

void Chaos::look_after_supervisor() {
  if (const std::optional<int> status = supervisor_.ended()) {
    ++figures_.failed_supervisors;
    figures_.remarks.push_back("a supervisor ended by itself, with status " +
                               std::to_string(*status));
    restart_at_ = shm::monotonic_now();
    if (killed_at_ == 0) killed_at_ = restart_at_;
  }
  if (restart_at_ != 0 && shm::monotonic_now() >= restart_at_) {
    const std::uint64_t replies = crowd_.replies();  // less those of clients killed meanwhile
    if (replies > replies_at_kill_) {
      figures_.replies_without_supervisor += replies - replies_at_kill_;
    }
    figures_.without_supervisor_s += seconds_since(killed_at_);
    restart_at_ = 0;
    restarted_at_ = shm::monotonic_now();
    supervisor_.start();
    ++figures_.supervisors;
  }
  if (killed_at_ != 0 && restart_at_ == 0) check_adoption();
}

void Chaos::check_adoption() {
  for (WatchedPool& pool : pools_) {
    if (pool.supervisor() == supervisor_.pid()) continue;
    if (!pool.attach() || pool.supervisor() != supervisor_.pid()) {
      if (seconds_since(restarted_at_) < kAdoptionS) return;
      figures_.remarks.push_back("a new supervisor did not let anybody in");
      ++figures_.failed_supervisors;
      restarted_at_ = shm::monotonic_now();
      return;
    }
  }
  figures_.longest_adoption_s = std::max(figures_.longest_adoption_s, seconds_since(restarted_at_));
  for (const Survivor& survivor : survivors_) {
    if (survivor.worker.dead()) continue;
    if (pools_[survivor.pool].worker(survivor.seat) == survivor.worker.pid()) continue;
    ++figures_.lost_workers;
  }
  for (std::size_t pool = 0; pool < pools_.size(); ++pool) {
    const std::uint64_t instance = pools_[pool].instance();
    figures_.pools_made_anew += instance != std::exchange(instances_[pool], instance);
  }
  survivors_.clear();
  killed_at_ = 0;
}

void Chaos::come_to_rest() {
  stopped_.resume_all();
  const bool taken_over = await(kAdoptionS + 5, [this] {
    look_after_supervisor();
    return killed_at_ == 0;
  });
  if (!taken_over) figures_.remarks.push_back("there was no supervisor at the end");
  crowd_.tell_to_stop();
  (void)await(kRestS, [this] { return crowd_.all_ended(figures_); });
  figures_.hung_clients += crowd_.kill_rest();
}

void Chaos::check_slots() {
  const double patience_s = options_.canary == "lost-slot" ? 3 : kRestS;
  (void)await(patience_s, [this] {
    return std::all_of(pools_.begin(), pools_.end(), [](const WatchedPool& pool) {
      return pool.busy_slots() == 0 && pool.waiting() == 0 && pool.ready_seats() == pool.seats();
    });
  });
  for (const WatchedPool& pool : pools_) {
    figures_.lost_slots += pool.busy_slots();
    figures_.left_waiting += pool.waiting();
    if (pool.busy_slots() > 0) figures_.remarks.push_back(pool.socket() + ":\n" + pool.busy_text());
    if (pool.ready_seats() != pool.seats()) {
      figures_.remarks.push_back(pool.socket() + ": not every worker is ready");
      figures_.unclaimable_slots += pool.slots() / pool.seats();
    }
  }
}

// One client must get every slot at once.
void Chaos::check_claims() {
  for (const WatchedPool& pool : pools_) {
    Result<Client> client = Client::attach(pool.socket());
    std::vector<Lease> leases;
    while (client && leases.size() < pool.slots()) {
      Result<Lease> lease = client->claim({.timeout = std::chrono::seconds(3)});
      if (!lease) break;
      leases.push_back(*std::move(lease));
    }
    figures_.unclaimable_slots += pool.slots() - leases.size();
    leases.clear();
  }
}

void Chaos::end_supervisor() {
  if (squatter_ > 0) {
    ::kill(squatter_, SIGKILL);
    ::waitpid(squatter_, nullptr, 0);
  }
  std::optional<int> status;
  if (supervisor_.pid() > 0) ::kill(supervisor_.pid(), SIGTERM);
  if (!await(kEndS, [&] { return (status = supervisor_.ended()).has_value(); }) || *status != 0) {
    ++figures_.failed_supervisors;
    figures_.remarks.push_back("the supervisor did not end well after SIGTERM");
  }
  (void)await(5, [this] { return processes_of(folder_).empty(); });
  figures_.left_processes += processes_of(folder_).size();
}

}  // namespace slotring::chaos
