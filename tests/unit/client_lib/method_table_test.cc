#include "client_lib/method_table.h"

#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/local_pool.h"

namespace slotring::internal {
namespace {

using testing::LocalPool;

class MethodTableTest : public ::testing::Test {
 protected:
  std::uint16_t find(std::string_view name) { return table_->find(name, pool_.segment()); }

  LocalPool pool_;
  std::unique_ptr<MethodTable> table_ = std::make_unique<MethodTable>();
};

TEST_F(MethodTableTest, FindsNothingWhereNothingIsInterned) { EXPECT_EQ(find("echo"), 0); }

TEST_F(MethodTableTest, FindsIdsInTheOrderOfInterning) {
  pool_.intern("echo");
  pool_.intern("classify");
  EXPECT_EQ(find("classify"), 2);
  EXPECT_EQ(find("echo"), 1);
  EXPECT_EQ(find("ech"), 0);
}

TEST_F(MethodTableTest, FindsWhatIsInternedLater) {
  pool_.intern("echo");
  EXPECT_EQ(find("classify"), 0);
  pool_.intern("classify");
  EXPECT_EQ(find("classify"), 2);
}

TEST_F(MethodTableTest, HoldsAsManyAsAPoolMayHave) {
  for (std::uint32_t i = 1; i <= layout::kMaxMethods; ++i) pool_.intern(std::to_string(i));
  for (std::uint32_t i = 1; i <= layout::kMaxMethods; ++i) ASSERT_EQ(find(std::to_string(i)), i);
  EXPECT_EQ(find("0"), 0);
}

TEST_F(MethodTableTest, ReadsNoFurtherThanThereIsWhateverTheCountSays) {
  pool_.intern("echo");
  pool_.segment().header().method_count.store(~0u);
  EXPECT_EQ(find("none"), 0);
  EXPECT_EQ(find("echo"), 1);
}

TEST_F(MethodTableTest, KeepsAnIdWhateverIsWrittenOverItsName) {
  pool_.intern("echo");
  EXPECT_EQ(find("echo"), 1);
  shm::store_name(pool_.segment().method(1), "other");
  EXPECT_EQ(find("echo"), 1);
}

TEST_F(MethodTableTest, IsReadByManyThreadsWhileItGrows) {
  for (int i = 1; i <= 200; ++i) pool_.intern(std::to_string(i));
  std::vector<std::thread> readers;
  for (int reader = 0; reader < 3; ++reader) {
    readers.emplace_back([&] {
      for (int i = 200; i >= 1; --i) EXPECT_EQ(find(std::to_string(i)), i);
    });
  }
  for (std::thread& reader : readers) reader.join();
}

}  // namespace
}  // namespace slotring::internal
