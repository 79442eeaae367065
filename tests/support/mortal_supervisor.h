// A pool whose supervisor is killed and started again, with one client, and what the supervisor has
// logged since.

#ifndef SLOTRING_TESTS_SUPPORT_MORTAL_SUPERVISOR_H_
#define SLOTRING_TESTS_SUPPORT_MORTAL_SUPERVISOR_H_

#include <signal.h>

#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "tests/support/supervised_pool.h"

namespace slotring::testing {

class MortalSupervisor {
 public:
  // Of a pool as SupervisedPool's; waits until the supervisor has logged `ready`.
  MortalSupervisor(std::string_view module, std::string_view keys, std::string_view ready)
      : pool_(module, keys) {
    EXPECT_TRUE(logged(ready));
  }

 protected:
  void kill_supervisor() {
    EXPECT_EQ(pool_.stop_supervisor(SIGKILL), 128 + SIGKILL);
    forget_log();
  }
  void restart() {
    pool_.start_supervisor();
    EXPECT_TRUE(logged("took over"));
  }

  void forget_log() { log_before_ = pool_.log().size(); }
  std::string log_since() const { return pool_.log().substr(log_before_); }
  // Whether it comes to stand in the log that is not forgotten.
  bool logged(std::string_view text) const {
    return eventually([&] { return log_since().find(text) != std::string::npos; });
  }
  std::string call(std::string_view text) {
    return std::string(client_.call("echo", text).value().text());
  }

  SupervisedPool pool_;
  Client client_ = pool_.attach();

 private:
  std::size_t log_before_ = 0;
};

}  // namespace slotring::testing

#endif  // SLOTRING_TESTS_SUPPORT_MORTAL_SUPERVISOR_H_
