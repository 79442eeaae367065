#include "slotring/table.h"

#include <cstring>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/every_form_sample.h"
#include "tests/support/local_pool.h"
#include "tests/support/local_supervisor.h"

namespace slotring {
namespace {

using ::testing::HasSubstr;
using ::testing::tables::Every;
using ::testing::tables::Leaf;

constexpr char kEvery[] = "testing.tables.Every";

// Answers with what it was asked, and of the same type; "cut": without its last half.
void echo_table(shm::WorkerSeat& seat, const shm::RunningCall& call) {
  std::string_view type;
  if (call.rare != nullptr && call.rare->table_type() != nullptr) {
    type = call.rare->table_type()->string_view();
  }
  const std::size_t bytes = call.payload.size() / (call.method_name == "cut" ? 2 : 1);
  auto space = seat.reply_space(call, bytes);
  ASSERT_TRUE(space.ok());
  if (bytes > 0) std::memcpy(space->data(), call.payload.data(), bytes);
  ASSERT_TRUE(seat.reply(call, call.head.kind, bytes, {.table_type = type}).ok());
}

class TableTest : public ::testing::Test {
 protected:
  TableTest() { pool_.publish_all(); }

  testing::LocalPool pool_{testing::small_geometry()};
  testing::LocalSupervisor supervisor_{pool_};
  testing::SeatThread worker_{pool_, echo_table};
  Client client_ = Client::attach(supervisor_.path()).value();
  const std::vector<std::uint8_t> sample_ = testing::every_form_sample();
};

TEST_F(TableTest, GoesAndComesWithItsType) {
  const Reply reply = client_.call("echo", Payload::table(kEvery, sample_)).value();
  EXPECT_EQ(reply.kind(), PayloadKind::kTable);
  EXPECT_EQ(reply.table_type(), kEvery);
  const OwnedTable<Every> table = read_table<Every>(reply, kEvery).value();
  EXPECT_EQ(table->id(), 2u);
  EXPECT_EQ(table->need()->name()->str(), "leaf");
  EXPECT_EQ((*table).children()->size(), 2u);
}

TEST_F(TableTest, OutlivesItsReply) {
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(::testing::tables::CreateLeafDirect(builder, "mine"));
  constexpr char kLeaf[] = "testing.tables.Leaf";
  const auto table =
      read_table<Leaf>(client_.call("echo", table_payload(kLeaf, builder)).value(), kLeaf).value();
  (void)client_.call("echo", std::string(200, 'x')).value();
  EXPECT_EQ(table->name()->str(), "mine");
}

TEST_F(TableTest, IsRefusedWhenItsTypeIsAnother) {
  const Reply reply = client_.call("echo", Payload::table("other.Type", sample_)).value();
  const Error error = read_table<Every>(reply, kEvery).error();
  EXPECT_EQ(error.code, ErrorCode::kTableInvalid);
  EXPECT_THAT(error.message, HasSubstr("testing.tables.Every, but one of other.Type"));
}

TEST_F(TableTest, IsRefusedWhenTheReplyIsNone) {
  const Reply reply = client_.call("echo", "bytes").value();
  EXPECT_THAT(read_table<Every>(reply, kEvery).error().message, HasSubstr("of another kind"));
  EXPECT_EQ(reply.table_type(), "");
}

TEST_F(TableTest, IsRefusedWhenItDoesNotVerify) {
  const Reply reply = client_.call("cut", Payload::table(kEvery, sample_)).value();
  const Error error = read_table<Every>(reply, kEvery).error();
  EXPECT_EQ(error.code, ErrorCode::kTableInvalid);
  EXPECT_THAT(error.message, HasSubstr("no valid testing.tables.Every"));
}

TEST_F(TableTest, IsMadeInPlaceAndSubmittedWithItsType) {
  Lease lease = client_.claim().value();
  const std::span<std::byte> space = lease.request(sample_.size()).value();
  std::memcpy(space.data(), sample_.data(), sample_.size());
  const Status nameless = lease.submit("echo", PayloadKind::kTable, sample_.size());
  EXPECT_EQ(nameless.error().code, ErrorCode::kInvalidArgument);
  ASSERT_TRUE(lease.submit("echo", PayloadKind::kTable, sample_.size(), kEvery).ok());
  const ReplyView reply = lease.wait().value();
  EXPECT_EQ(read_table<Every>(reply, kEvery).value()->id(), 2u);
}

TEST_F(TableTest, HasATypeWhereNothingElseHasOne) {
  EXPECT_EQ(client_.call("echo", Payload::table("", sample_)).error().code,
            ErrorCode::kInvalidArgument);
  Lease lease = client_.claim().value();
  (void)lease.request(4).value();
  EXPECT_EQ(lease.submit("echo", PayloadKind::kBytes, 4, kEvery).error().code,
            ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace slotring
