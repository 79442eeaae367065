#include "client_lib/shm/table_schema.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "every_form_bfbs_generated.h"
#include "tests/support/every_form_sample.h"
#include "tests/support/random_source.h"

namespace slotring::shm {
namespace {

using ::testing::HasSubstr;
using ::testing::tables::Every;
using Bytes = std::vector<std::uint8_t>;

Bytes binary_schema() {
  using Embedded = ::testing::tables::EveryBinarySchema;
  return {Embedded::data(), Embedded::data() + Embedded::size()};
}

Bytes finished(const flatbuffers::FlatBufferBuilder& builder) {
  return {builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize()};
}

Result<TableSchema> load(const Bytes& schema, std::string_view root = {}) {
  return TableSchema::load(std::as_bytes(std::span(schema)), root);
}

class TableSchemaTest : public ::testing::Test {
 protected:
  Status verify(const Bytes& table) const {
    return schema_.verify(std::as_bytes(std::span(table)));
  }
  std::string complaint(const Bytes& table) const {
    const Status verdict = verify(table);
    return verdict ? "none" : verdict.error().message;
  }
  static bool generated_verdict(const Bytes& table) {
    flatbuffers::Verifier verifier(table.data(), table.size());
    return verifier.VerifyBuffer<Every>(nullptr);
  }

  const TableSchema schema_ = load(binary_schema()).value();
  const Bytes sample_ = slotring::testing::every_form_sample();
};

TEST_F(TableSchemaTest, KnowsItsRoot) {
  EXPECT_EQ(schema_.root(), "testing.tables.Every");
  EXPECT_EQ(load(binary_schema(), "testing.tables.Leaf").value().root(), "testing.tables.Leaf");
}

TEST_F(TableSchemaTest, NamesTheTablesThatThereAreWhereTheRootIsNone) {
  const Error error = load(binary_schema(), "testing.tables.Point").error();
  EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(error.message, HasSubstr("no table 'testing.tables.Point'"));
  EXPECT_THAT(error.message, HasSubstr("testing.tables.Leaf"));
}

TEST_F(TableSchemaTest, RefusesWhatIsNoBinarySchema) {
  for (const std::string_view text : {"", "table T {}", "this is long enough, and no schema"}) {
    const Bytes bytes(text.begin(), text.end());
    EXPECT_THAT(load(bytes).error().message, HasSubstr("flatc -b --schema")) << text;
  }
  EXPECT_THAT(load(sample_).error().message, HasSubstr("no binary schema"));
}

TEST_F(TableSchemaTest, SurvivesEveryDamageToABinarySchema) {
  const Bytes whole = binary_schema();
  for (std::size_t bytes = 0; bytes < whole.size(); bytes += 3) {
    (void)load(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(bytes))).ok();
  }
  slotring::testing::RandomSource random;
  int refused = 0;
  for (int i = 0; i < 4000; ++i) {
    Bytes damaged = whole;
    damaged[random.below(damaged.size())] = static_cast<std::uint8_t>(random.word());
    const Result<TableSchema> schema = load(damaged);
    refused += schema ? 0 : 1;
    if (schema) (void)schema->verify(std::as_bytes(std::span(sample_))).ok();
  }
  EXPECT_GT(refused, 0);
}

TEST_F(TableSchemaTest, AcceptsEveryFormOfAField) { EXPECT_EQ(complaint(sample_), "none"); }

TEST_F(TableSchemaTest, RefusesATableCutAtAnyByte) {
  for (std::size_t bytes = 0; bytes < sample_.size(); ++bytes) {
    const Bytes cut(sample_.begin(), sample_.begin() + static_cast<std::ptrdiff_t>(bytes));
    EXPECT_EQ(verify(cut).ok(), generated_verdict(cut)) << bytes;
  }
}

TEST_F(TableSchemaTest, JudgesDamagedTablesAsTheGeneratedVerifierDoes) {
  slotring::testing::RandomSource random(1);
  int accepted = 0;
  int refused = 0;
  for (int i = 0; i < 60'000; ++i) {
    Bytes damaged = sample_;
    const std::uint32_t damages = 1 + random.below(3);
    for (std::uint32_t k = 0; k < damages; ++k) {
      const std::uint32_t at = random.below(damaged.size() - 3);
      if (random.one_in(2)) {
        damaged[at] = static_cast<std::uint8_t>(random.word());
      } else {  // an offset, a count or a vtable's entry that is wrong by a little
        const auto more = static_cast<std::uint8_t>(random.below(33) - 16);
        damaged[at & ~3u] = static_cast<std::uint8_t>(damaged[at & ~3u] + more);
      }
    }
    const Status verdict = verify(damaged);
    (verdict ? accepted : refused) += 1;
    ASSERT_EQ(verdict.ok(), generated_verdict(damaged))
        << i << ": " << (verdict ? "accepted" : verdict.error().message);
  }
  EXPECT_GT(accepted, 1000);
  EXPECT_GT(refused, 1000);
}

TEST_F(TableSchemaTest, SaysWhereATableIsWrong) {
  Bytes damaged = sample_;
  const std::string_view text = "other";
  const auto at = std::search(damaged.begin(), damaged.end(), text.begin(), text.end());
  ASSERT_NE(at, damaged.end());
  at[static_cast<std::ptrdiff_t>(text.size())] = 1;  // where its end was
  EXPECT_EQ(complaint(damaged),
            "the table is no valid testing.tables.Every; at leaves[1].name: the text has no end");
  EXPECT_EQ(verify(damaged).error().code, ErrorCode::kTableInvalid);
}

TEST_F(TableSchemaTest, MissesWhatIsRequired) {
  flatbuffers::FlatBufferBuilder builder;
  const auto start = builder.StartTable();
  builder.Finish(flatbuffers::Offset<Every>(builder.EndTable(start)));
  EXPECT_THAT(complaint(finished(builder)), HasSubstr("at need: it is required, and absent"));
}

// A chain of tables, each the child of the next.
Bytes nested_tables(int depth) {
  flatbuffers::FlatBufferBuilder builder;
  const auto leaf = ::testing::tables::CreateLeafDirect(builder, "leaf");
  flatbuffers::Offset<Every> top;
  for (int i = 0; i < depth; ++i) {
    ::testing::tables::EveryBuilder every(builder);
    every.add_need(leaf);
    every.add_child(top);
    top = every.Finish();
  }
  builder.Finish(top);
  return finished(builder);
}

TEST_F(TableSchemaTest, BoundsTheDepth) {
  EXPECT_EQ(complaint(nested_tables(63)), "none");
  EXPECT_TRUE(generated_verdict(nested_tables(63)));
  EXPECT_THAT(complaint(nested_tables(64)), HasSubstr("nested too deeply"));
  EXPECT_THAT(complaint(nested_tables(5000)), HasSubstr("nested too deeply"));
}

TEST_F(TableSchemaTest, BoundsWhatASmallTableUnfoldsTo) {
  flatbuffers::FlatBufferBuilder builder;
  const std::vector texts(20'000, builder.CreateString("x"));
  const auto names = builder.CreateVector(texts);
  const auto leaf = ::testing::tables::CreateLeafDirect(builder, "leaf");
  ::testing::tables::EveryBuilder child(builder);
  child.add_need(leaf);
  child.add_names(names);
  const std::vector same(2000, child.Finish());
  const auto children = builder.CreateVector(same);
  ::testing::tables::EveryBuilder root(builder);
  root.add_need(leaf);
  root.add_children(children);
  builder.Finish(root.Finish());
  EXPECT_THAT(complaint(finished(builder)), HasSubstr("unfolds to far more than its size"));
}

}  // namespace
}  // namespace slotring::shm
