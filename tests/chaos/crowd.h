// The clients of a chaos run: processes that call without end, and are replaced when they are
// killed.

#ifndef SLOTRING_TESTS_CHAOS_CROWD_H_
#define SLOTRING_TESTS_CHAOS_CROWD_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tests/chaos/figures.h"
#include "tests/chaos/ledger.h"

namespace slotring::chaos {

class Crowd {
 public:
  Crowd(std::vector<std::string> sockets, std::uint64_t seed);
  ~Crowd();
  Crowd(const Crowd&) = delete;
  Crowd& operator=(const Crowd&) = delete;

  void add();
  std::size_t size() const { return members_.size(); }
  pid_t pid(std::size_t member) const { return members_[member].pid; }
  // Kills one, and starts another in its place. False when there were kMaxLives already.
  bool replace(std::size_t member);
  // Replaces those that ended by themselves, and counts them as failed.
  void look_after(Figures& figures);
  std::uint64_t replies() const;  // of those that live

  void tell_to_stop() { ledger_->stop.store(true); }
  // Whether all have ended; what is wrong with how goes into `figures`.
  bool all_ended(Figures& figures);
  // Kills those that are left. Returns how many.
  std::uint64_t kill_rest();
  // Adds up what all have done.
  void account(Figures& figures) const;

 private:
  struct Member {
    pid_t pid = 0;
    std::size_t life = 0;
  };
  pid_t start(std::size_t life);

  std::vector<std::string> sockets_;
  std::uint64_t seed_;
  Ledger* ledger_;
  std::vector<Member> members_;
  std::vector<bool> killed_;  // a life each
};

}  // namespace slotring::chaos

#endif  // SLOTRING_TESTS_CHAOS_CROWD_H_
