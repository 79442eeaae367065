#include "supervisor/method_table.h"

#include <string>

#include <gtest/gtest.h>

namespace slotring::supervisor {
namespace {

class MethodTableTest : public ::testing::Test {
 protected:
  static shm::ControlSegment make_segment() {
    const layout::Geometry geometry{1, 1, 1, 1, layout::kMinAreaBytes, layout::kPageBytes};
    return shm::ControlSegment::create("test", geometry).value();
  }
  std::uint32_t published() const { return segment_.header().method_count.load(); }
  std::string name_of(MethodId id) const { return shm::load_name(segment_.method(id)); }

  shm::ControlSegment segment_ = make_segment();
  MethodTable table_{segment_};
};

TEST_F(MethodTableTest, IdsCountFromOneAndAreWrittenIntoTheSegment) {
  EXPECT_EQ(table_.intern("ping").value(), 1);
  EXPECT_EQ(table_.intern("echo").value(), 2);
  EXPECT_EQ(published(), 2u);
  EXPECT_EQ(name_of(1), "ping");
  EXPECT_EQ(name_of(2), "echo");
}

TEST_F(MethodTableTest, AnIdHasItsNameWhateverTheSegmentSays) {
  (void)table_.intern("ping").value();
  shm::store_name(segment_.method(1), "scribble");
  EXPECT_EQ(table_.name_of(1), "ping");
  EXPECT_EQ(table_.name_of(0), "");
  EXPECT_EQ(table_.name_of(2), "");
}

TEST_F(MethodTableTest, ANameKeepsItsId) {
  EXPECT_EQ(table_.intern("ping").value(), 1);
  EXPECT_EQ(table_.intern("echo").value(), 2);
  EXPECT_EQ(table_.intern("ping").value(), 1);
  EXPECT_EQ(published(), 2u);
}

TEST_F(MethodTableTest, ScribblingInTheSegmentDoesNotReachTheIds) {
  EXPECT_EQ(table_.intern("ping").value(), 1);
  segment_.header().method_count.store(4711);
  shm::store_name(segment_.method(1), "forged");
  EXPECT_EQ(table_.intern("ping").value(), 1);
  EXPECT_EQ(table_.intern("echo").value(), 2);
  EXPECT_EQ(published(), 2u);
}

TEST_F(MethodTableTest, NamesThatDoNotFitAreRefused) {
  const std::string longest(layout::kMaxNameBytes, 'x');
  EXPECT_TRUE(table_.intern(longest).ok());
  for (const std::string& wrong : {std::string(), longest + "x", std::string("a\nb")}) {
    EXPECT_EQ(table_.intern(wrong).error().code, ErrorCode::kInvalidArgument) << wrong;
  }
  EXPECT_EQ(published(), 1u);
}

TEST_F(MethodTableTest, AFullTableIsAnErrorAndKeepsWorking) {
  for (std::uint32_t i = 0; i < layout::kMaxMethods; ++i) {
    ASSERT_TRUE(table_.intern("method" + std::to_string(i)).ok());
  }
  EXPECT_EQ(table_.intern("one more").error().code, ErrorCode::kSystemLimit);
  EXPECT_EQ(table_.intern("method0").value(), 1);
}

}  // namespace
}  // namespace slotring::supervisor
