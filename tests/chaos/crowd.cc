#include "tests/chaos/crowd.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <new>
#include <stdexcept>
#include <utility>

#include "tests/chaos/client.h"

namespace slotring::chaos {

Crowd::Crowd(std::vector<std::string> sockets, std::uint64_t seed)
    : sockets_(std::move(sockets)), seed_(seed) {
  void* memory = ::mmap(nullptr, sizeof(Ledger), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("no memory for the ledger");
  ledger_ = static_cast<Ledger*>(memory);  // all zero, as it is to begin
}

Crowd::~Crowd() {
  (void)kill_rest();
  ::munmap(ledger_, sizeof(Ledger));
}

void Crowd::add() {
  Member member{0, killed_.size()};
  killed_.push_back(false);
  member.pid = start(member.life);
  members_.push_back(member);
}

pid_t Crowd::start(std::size_t life) {
  std::fflush(nullptr);
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::_exit(run_client(sockets_, *ledger_, ledger_->lives[life], seed_ + life * kThreadsPerClient));
}

bool Crowd::replace(std::size_t index) {
  if (killed_.size() == kMaxLives) return false;
  Member& member = members_[index];
  ::kill(member.pid, SIGKILL);
  ::waitpid(member.pid, nullptr, 0);
  killed_[member.life] = true;
  member.life = killed_.size();
  killed_.push_back(false);
  member.pid = start(member.life);
  return true;
}

void Crowd::look_after(Figures& figures) {
  for (std::size_t i = 0; i < members_.size(); ++i) {
    int status = 0;
    if (::waitpid(members_[i].pid, &status, WNOHANG) != members_[i].pid) continue;
    ++figures.failed_clients;
    figures.remarks.push_back("a client ended by itself, with status " + std::to_string(status));
    members_[i].life = killed_.size();
    killed_.push_back(false);
    members_[i].pid = start(members_[i].life);
  }
}

std::uint64_t Crowd::replies() const {
  std::uint64_t sum = 0;
  for (const Member& member : members_) {
    for (const ThreadLedger& thread : ledger_->lives[member.life].threads) {
      sum += thread.outcomes[kReply].load();
    }
  }
  return sum;
}

bool Crowd::all_ended(Figures& figures) {
  std::erase_if(members_, [&](const Member& member) {
    int status = 0;
    if (::waitpid(member.pid, &status, WNOHANG) != member.pid) return false;
    if (status != 0) {
      ++figures.failed_clients;
      figures.remarks.push_back("a client ended with status " + std::to_string(status));
    }
    return true;
  });
  return members_.empty();
}

std::uint64_t Crowd::kill_rest() {
  for (const Member& member : members_) {
    ::kill(member.pid, SIGKILL);
    ::waitpid(member.pid, nullptr, 0);
  }
  return std::exchange(members_, {}).size();
}

void Crowd::account(Figures& figures) const {
  std::uint64_t latest_ns = 0;
  for (std::size_t life = 0; life < killed_.size(); ++life) {
    for (const ThreadLedger& thread : ledger_->lives[life].threads) {
      const std::uint64_t begun = thread.begun.load();
      const std::uint64_t ended = thread.ended();
      const std::uint64_t open = begun >= ended ? begun - ended : ended - begun;
      const bool cut_off = killed_[life] && begun == ended + 1;
      figures.cut_off += cut_off;
      figures.without_outcome += cut_off ? 0 : open;
      figures.calls += begun;
      for (std::size_t i = 0; i < kOutcomes; ++i) figures.outcomes[i] += thread.outcomes[i].load();
      figures.wrong_replies += thread.wrong.load();
      figures.unexpected_errors += thread.unexpected.load();
      figures.hung_calls += thread.hung.load();
      figures.held += thread.held.load();
      latest_ns = std::max(latest_ns, thread.latest_ns.load());
    }
  }
  figures.latest_s = static_cast<double>(latest_ns) / 1e9;
  if (ledger_->complained.load()) {
    figures.remarks.push_back(std::string("first complaint of a client: ") +
                              ledger_->first_complaint.data());
  }
}

}  // namespace slotring::chaos
