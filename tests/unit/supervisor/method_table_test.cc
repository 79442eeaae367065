#include "supervisor/method_table.h"

#include <string>

#include <gtest/gtest.h>

namespace slotring::supervisor {
namespace {

class MethodTableTest : public ::testing::Test {
 protected:
  static shm::ControlSegment make_segment() {
    const layout::Geometry geometry{
        1, 1, 1, 1, layout::kMinAreaBytes, layout::kPageBytes, layout::kPageBytes};
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

TEST_F(MethodTableTest, TheNextSupervisorGoesOnWithTheIdsThatThereAre) {
  ASSERT_EQ(table_.intern("ping").value(), 1);
  ASSERT_EQ(table_.intern("echo").value(), 2);
  MethodTable next(segment_);
  next.adopt();
  EXPECT_EQ(next.intern("echo").value(), 2);
  EXPECT_EQ(next.intern("new").value(), 3);
  EXPECT_TRUE(next.restore("ping", 1).ok());
}

TEST_F(MethodTableTest, WhatAWorkerWasToldOverrulesTheSegment) {
  ASSERT_EQ(table_.intern("ping").value(), 1);
  ASSERT_EQ(table_.intern("echo").value(), 2);
  shm::store_name(segment_.method(1), "echo");
  shm::store_name(segment_.method(2), "forged");
  MethodTable next(segment_);
  next.adopt();
  EXPECT_TRUE(next.restore("ping", 1).ok());
  EXPECT_TRUE(next.restore("echo", 2).ok());
  EXPECT_EQ(name_of(1), "ping");
  EXPECT_EQ(name_of(2), "echo");
  EXPECT_EQ(next.intern("echo").value(), 2);
  EXPECT_EQ(next.intern("forged").value(), 3);
}

TEST_F(MethodTableTest, TwoWorkersThatWereToldDifferentThingsAreNotBothRight) {
  EXPECT_TRUE(table_.restore("ping", 5).ok());
  EXPECT_TRUE(table_.restore("ping", 5).ok());
  EXPECT_EQ(table_.restore("ping", 6).error().code, ErrorCode::kBadFrame);
  EXPECT_EQ(table_.restore("echo", 5).error().code, ErrorCode::kBadFrame);
  EXPECT_EQ(table_.intern("echo").value(), 6) << "a gap is not filled";
}

TEST_F(MethodTableTest, WhatNoSupervisorTellsIsRefused) {
  EXPECT_FALSE(table_.restore("ping", 0).ok());
  EXPECT_FALSE(table_.restore("ping", layout::kMaxMethods + 1).ok());
  EXPECT_FALSE(table_.restore("", 1).ok());
  EXPECT_FALSE(table_.restore("a\nb", 1).ok());
  EXPECT_EQ(table_.size(), 0u);
}

TEST_F(MethodTableTest, AScribbledTableIsReadWithinItsBounds) {
  segment_.header().method_count.store(UINT32_MAX);
  for (std::uint32_t id = 1; id <= layout::kMaxMethods; ++id) segment_.method(id).bytes = 255;
  MethodTable next(segment_);
  next.adopt();
  EXPECT_EQ(next.size(), layout::kMaxMethods);
  EXPECT_EQ(next.intern("new").error().code, ErrorCode::kSystemLimit);
  EXPECT_TRUE(next.restore("ping", 1).ok());
}

}  // namespace
}  // namespace slotring::supervisor
