// Shortages of a test's own making, which end with the objects that make them: system calls that
// fail (failing_calls.cc), and limits of a process that runs.
//
//     FaultyPool pool(kModule);                 the supervisor and its workers have the library
//     preloaded
//     {
//       Fault full(pool.faults(), "fallocate"); no memory for anybody of them
//       ...
//     }                                         memory again

#ifndef SLOTRING_TESTS_SUPPORT_SHORTAGE_H_
#define SLOTRING_TESTS_SUPPORT_SHORTAGE_H_

#include <stdlib.h>
#include <sys/resource.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/count_of.h"
#include "tests/support/supervised_pool.h"
#include "tests/support/temporary_folder.h"

namespace slotring::testing {

class Fault {
 public:
  // Calls of `name` fail in each process that looks into `folder`, after `passing` of them.
  Fault(const TemporaryFolder& folder, const std::string& name, std::string_view passing = "")
      : file_(folder.file(name)) {
    write_file(file_, passing);
  }
  ~Fault() { end(); }
  Fault(const Fault&) = delete;
  Fault& operator=(const Fault&) = delete;
  void end() const { std::filesystem::remove(file_); }

 private:
  std::string file_;
};

// The soft limit of a process, until this goes.
class SoftLimit {
 public:
  SoftLimit(pid_t pid, __rlimit_resource resource, rlim_t limit) : pid_(pid), resource_(resource) {
    EXPECT_EQ(::prlimit(pid, resource, nullptr, &before_), 0);
    const rlimit lowered{limit, before_.rlim_max};
    EXPECT_EQ(::prlimit(pid, resource, &lowered, nullptr), 0);
  }
  ~SoftLimit() { end(); }
  SoftLimit(const SoftLimit&) = delete;
  SoftLimit& operator=(const SoftLimit&) = delete;
  void end() const { ::prlimit(pid_, resource_, &before_, nullptr); }

 private:
  pid_t pid_;
  __rlimit_resource resource_;
  rlimit before_{};
};

// The environment in which programs that this process starts look for faults in `folder`, while
// this lives. Before any thread is started.
class FaultyEnvironment {
 public:
  explicit FaultyEnvironment(const TemporaryFolder& folder) {
    ::setenv("LD_PRELOAD", preload().c_str(), 1);
    ::setenv("SLOTRING_TEST_FAULTS", folder.path().c_str(), 1);
  }
  ~FaultyEnvironment() {
    ::unsetenv("LD_PRELOAD");
    ::unsetenv("SLOTRING_TEST_FAULTS");
  }
  FaultyEnvironment(const FaultyEnvironment&) = delete;
  FaultyEnvironment& operator=(const FaultyEnvironment&) = delete;

 private:
  // A sanitizer's library has to come first.
  static std::string preload() {
    const std::string environment = SLOTRING_WORKER_ENVIRONMENT, name = "LD_PRELOAD=";
    const std::size_t at = environment.find(name);
    if (at == std::string::npos) return SLOTRING_FAILING_CALLS;
    const std::size_t begin = at + name.size();
    return environment.substr(begin, environment.find('|', begin) - begin) +
           ":" SLOTRING_FAILING_CALLS;
  }
};

// A pool whose processes have faults of their own, apart from the test's.
class FaultyPool {
 public:
  explicit FaultyPool(std::string_view module = "", std::string_view keys = "")
      : environment_(faults_), pool_(module, keys) {
    ::setenv("SLOTRING_TEST_FAULTS", own_faults_.path().c_str(), 1);
  }
  SupervisedPool* operator->() { return &pool_; }
  const TemporaryFolder& faults() const { return faults_; }
  // Of the test's process itself.
  const TemporaryFolder& own_faults() const { return own_faults_; }

 private:
  TemporaryFolder faults_;
  TemporaryFolder own_faults_;
  FaultyEnvironment environment_;
  SupervisedPool pool_;
};

}  // namespace slotring::testing

#endif  // SLOTRING_TESTS_SUPPORT_SHORTAGE_H_
