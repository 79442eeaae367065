#include "client_lib/value_reader.h"

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace slotring::internal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::uint8_t> everything() {
  flexbuffers::Builder builder;
  builder.Map([&] {
    builder.String("text", "a\xC3\xA4");
    builder.Int("integer", -3);
    builder.UInt("large", UINT64_MAX);
    builder.Double("number", 0.5);
    builder.Bool("truth", true);
    builder.Null("nothing");
    builder.Vector("texts", [&] {
      builder.String("x");
      builder.String("");
    });
    builder.TypedVector("typed", [&] {
      builder.Int(1);
      builder.Int(2);
    });
    builder.Map("inner", [&] { builder.Int("one", 1); });
    builder.Key("bytes");
    const std::uint8_t bytes[] = {0, 255};
    builder.Blob(bytes, sizeof(bytes));
  });
  builder.Finish();
  return builder.GetBuffer();
}

TEST(ValueReader, ReadsAMapOfTheShapeThatIsAskedFor) {
  const std::vector<std::uint8_t> value = everything();
  MapReader reader("a test", value);
  EXPECT_EQ(reader.text("text"), "a\xC3\xA4");
  EXPECT_EQ(reader.integer("integer"), -3);
  EXPECT_EQ(reader.count("large"), UINT64_MAX);
  EXPECT_EQ(reader.number("number"), 0.5);
  EXPECT_EQ(reader.number("integer"), -3.0);
  EXPECT_TRUE(reader.truth("truth"));
  EXPECT_THAT(reader.texts("texts"), ElementsAre("x", ""));
  MapReader inner = reader.inner("inner");
  EXPECT_EQ(inner.integer("one"), 1);
  EXPECT_TRUE(inner.status().ok());
  EXPECT_TRUE(reader.status().ok());
}

TEST(ValueReader, TellsTheFirstThingThatIsOfAnotherShape) {
  const std::vector<std::uint8_t> value = everything();
  MapReader reader("a test", value);
  EXPECT_EQ(reader.text("missing"), "");
  EXPECT_EQ(reader.integer("text"), 0);
  EXPECT_EQ(reader.status().error().code, ErrorCode::kBadFrame);
  EXPECT_THAT(reader.status().error().message, HasSubstr("'missing' that is a text"));

  for (const auto& ask : std::vector<std::function<void(MapReader&)>>{
           [](MapReader& r) { (void)r.truth("integer"); },
           [](MapReader& r) { (void)r.number("text"); },
           [](MapReader& r) { (void)r.texts("typed"); },
           [](MapReader& r) { (void)r.list("inner"); },
           [](MapReader& r) { (void)r.map("texts"); },
       }) {
    MapReader other("a test", value);
    ask(other);
    EXPECT_FALSE(other.status().ok());
  }
  MapReader inner = MapReader("a test", value).inner("text");
  EXPECT_FALSE(inner.status().ok());
}

TEST(ValueReader, AValueThatIsNoMapHasNothing) {
  flexbuffers::Builder builder;
  builder.Int(3);
  builder.Finish();
  MapReader reader("a test", builder.GetBuffer());
  EXPECT_EQ(reader.text("anything"), "");
  EXPECT_THAT(reader.status().error().message, HasSubstr("is no map"));
}

TEST(ValueReader, ACopyHoldsTheSame) {
  const std::vector<std::uint8_t> original = everything();
  const std::vector<std::uint8_t> copy = copy_value(flexbuffers::GetRoot(original));
  MapReader reader("a test", copy);
  EXPECT_EQ(reader.text("text"), "a\xC3\xA4");
  EXPECT_EQ(reader.integer("integer"), -3);
  EXPECT_EQ(reader.count("large"), UINT64_MAX);
  EXPECT_EQ(reader.number("number"), 0.5);
  EXPECT_TRUE(reader.truth("truth"));
  const flexbuffers::Map map = flexbuffers::GetRoot(copy).AsMap();
  EXPECT_TRUE(map["nothing"].IsNull());
  EXPECT_EQ(map["typed"].AsVector()[1].AsInt64(), 2);
  EXPECT_EQ(map["inner"].AsMap()["one"].AsInt64(), 1);
  EXPECT_EQ(map["bytes"].AsBlob().data()[1], 255);
  EXPECT_TRUE(reader.status().ok());
}

}  // namespace
}  // namespace slotring::internal
