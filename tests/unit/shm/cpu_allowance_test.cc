#include "client_lib/shm/cpu_allowance.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"

namespace slotring::shm {
namespace {

class CpuQuotaTest : public ::testing::Test {
 protected:
  void write(const std::string& path, const std::string& text) const {
    const std::filesystem::path file = root() / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text << "\n";
  }
  std::filesystem::path root() const { return folder_.path(); }

  testing::TemporaryFolder folder_;
};

TEST_F(CpuQuotaTest, IsThatOfTheProcessGroup) {
  write("a/b/cpu.max", "150000 100000");
  EXPECT_EQ(cpu_quota("0::/a/b\n", root()), 1.5);
}

TEST_F(CpuQuotaTest, IsTheSmallestOnTheWayToTheRoot) {
  write("a/cpu.max", "100000 100000");
  write("a/b/cpu.max", "400000 100000");
  EXPECT_EQ(cpu_quota("0::/a/b\n", root()), 1.0);
}

TEST_F(CpuQuotaTest, IsNoneWhereNothingLimits) {
  write("a/cpu.max", "max 100000");
  EXPECT_EQ(cpu_quota("0::/a\n", root()), std::nullopt);
  EXPECT_EQ(cpu_quota("", root()), std::nullopt);
  EXPECT_EQ(cpu_quota("nonsense\n::\n", root()), std::nullopt);
}

TEST_F(CpuQuotaTest, IsFoundInTheFirstVersionsHierarchyToo) {
  write("cpu,cpuacct/x/cpu.cfs_quota_us", "50000");
  write("cpu,cpuacct/x/cpu.cfs_period_us", "100000");
  const std::string membership = "4:memory:/x\n2:cpu,cpuacct:/x\n0::/\n";
  EXPECT_EQ(cpu_quota(membership, root()), 0.5);
  write("cpu,cpuacct/x/cpu.cfs_quota_us", "-1");
  EXPECT_EQ(cpu_quota(membership, root()), std::nullopt);
}

// A container sees its own group as the root, and a path that is somebody else's.
TEST_F(CpuQuotaTest, IsThatOfTheRootWhereThePathIsNotThere) {
  write("cpu.max", "200000 100000");
  EXPECT_EQ(cpu_quota("0::/../../other\n", root()), 2.0);
}

TEST_F(CpuQuotaTest, IgnoresWhatIsNoNumber) {
  write("a/cpu.max", "many 100000");
  EXPECT_EQ(cpu_quota("0::/a\n", root()), std::nullopt);
}

TEST(ConcurrentCpus, AreAtLeastOne) { EXPECT_GE(concurrent_cpus(), 1u); }

}  // namespace
}  // namespace slotring::shm
