#include "client_lib/shm/value.h"

#include <string>

#include <flatbuffers/flexbuffers.h>
#include <gtest/gtest.h>

#include "tests/support/effort.h"
#include "tests/support/random_source.h"

namespace slotring::shm {
namespace {

using Buffer = std::vector<std::uint8_t>;

Result<Buffer> verify(const Buffer& buffer) {
  return copy_verified_value(std::as_bytes(std::span(buffer)));
}

template <class Build>
Buffer built(Build build) {
  flexbuffers::Builder builder;
  build(builder);
  builder.Finish();
  return builder.GetBuffer();
}

Buffer rich_value() {
  return built([](flexbuffers::Builder& b) {
    b.Map([&] {
      b.String("name", "seven");
      b.Double("score", 0.7);
      b.Null("nothing");
      b.Bool("sure", true);
      b.Vector("pixels", [&] {
        for (int i = 0; i < 64; ++i) b.Int(i * 1000);
      });
      const std::uint8_t blob[] = {1, 2, 3};
      b.Key("blob");
      b.Blob(blob, sizeof(blob));
      b.Map("nested", [&] { b.TypedVector("typed", [&] { b.Int(1), b.Int(2); }); });
    });
  });
}

Buffer nested_value(int depth) {
  return built([&](flexbuffers::Builder& b) {
    std::vector<std::size_t> starts;
    for (int i = 0; i < depth; ++i) starts.push_back(b.StartVector());
    for (int i = 0; i < depth; ++i, starts.pop_back()) b.EndVector(starts.back(), false, false);
  });
}

// Reads every part of a value, as a converter does.
std::size_t walk(flexbuffers::Reference value, int depth = 0) {
  if (depth > 70) return 1;
  std::size_t parts = 1;
  if (value.IsMap()) {
    const auto map = value.AsMap();
    for (std::size_t i = 0; i < map.size() && parts < 5000; ++i) {
      parts += std::string(map.Keys()[i].AsKey()).size() + walk(map.Values()[i], depth + 1);
    }
  } else if (value.IsVector()) {
    const auto vector = value.AsVector();
    for (std::size_t i = 0; i < vector.size() && parts < 5000; ++i) {
      parts += walk(vector[i], depth + 1);
    }
  } else if (value.IsString()) {
    parts += value.AsString().str().size();
  } else if (value.IsBlob()) {
    const auto blob = value.AsBlob();
    parts += std::string(reinterpret_cast<const char*>(blob.data()), blob.size()).size();
  } else {
    parts += value.AsDouble() > 0 ? 1 : 0;
  }
  return parts;
}

TEST(Value, IsCopiedWhenItVerifies) {
  const Buffer value = rich_value();
  const Buffer copy = verify(value).value();
  EXPECT_EQ(copy, value);
  EXPECT_NE(copy.data(), value.data());
  EXPECT_EQ(flexbuffers::GetRoot(copy).AsMap()["name"].AsString().str(), "seven");
}

TEST(Value, MayBeASingleScalar) {
  const Buffer copy = verify(built([](auto& b) { b.Int(42); })).value();
  EXPECT_EQ(flexbuffers::GetRoot(copy).AsInt32(), 42);
}

TEST(Value, IsBadWhenItIsTooShortToBeOne) {
  EXPECT_EQ(copy_verified_value({}).error().code, ErrorCode::kBadFrame);
  EXPECT_EQ(verify({0}).error().code, ErrorCode::kBadFrame);
  EXPECT_EQ(verify({0, 4}).error().code, ErrorCode::kBadFrame);
}

TEST(Value, IsBadWhenItsBeginningIsCutOff) {
  const Buffer value = rich_value();
  int refused = 0;
  for (std::size_t cut = 1; cut < value.size(); ++cut) {
    const auto copy = verify(Buffer(value.begin() + static_cast<std::ptrdiff_t>(cut), value.end()));
    refused += copy ? 0 : 1;
    if (copy) (void)walk(flexbuffers::GetRoot(*copy));
  }
  EXPECT_GT(refused, static_cast<int>(value.size()) / 2);
}

TEST(Value, MayBeNestedButNotForEver) {
  EXPECT_TRUE(verify(nested_value(30)).ok());
  EXPECT_EQ(verify(nested_value(10'000)).error().code, ErrorCode::kBadFrame);
}

TEST(Value, MayShareStringsAndKeys) {
  flexbuffers::Builder builder(512, flexbuffers::BUILDER_FLAG_SHARE_ALL);
  builder.Vector([&] {
    for (int i = 0; i < 20; ++i) builder.Map([&] { builder.String("name", "seven"); });
  });
  builder.Finish();
  EXPECT_TRUE(verify(builder.GetBuffer()).ok());
}

// Forty vectors, each of twice the one before: 2^40 paths, on which a naive verifier, or whoever
// reads what it let pass, hangs.
TEST(Value, IsBadWhenItUnfoldsWithoutEnd) {
  const Buffer value = built([](flexbuffers::Builder& b) {
    b.String("leaf");
    for (int level = 0; level < 40; ++level) {
      const flexbuffers::Builder::Value before = b.LastValue();
      const std::size_t start = b.StartVector() - 1;  // with the one before
      b.ReuseValue(before);
      b.EndVector(start, false, false);
    }
  });
  EXPECT_LT(value.size(), 1000u);
  EXPECT_EQ(verify(value).error().code, ErrorCode::kBadFrame);
}

TEST(Value, IsBadOrReadableWhenItIsGarbage) {
  testing::RandomSource random;
  for (int round = 0; round < testing::effort(50'000); ++round) {
    Buffer garbage(random.below(200));
    for (std::uint8_t& byte : garbage) byte = static_cast<std::uint8_t>(random.word());
    const auto copy = verify(garbage);
    if (copy) (void)walk(flexbuffers::GetRoot(*copy));
  }
}

TEST(Value, IsBadOrReadableHoweverItIsMutated) {
  testing::RandomSource random;
  const Buffer valid = rich_value();
  for (int round = 0; round < testing::effort(100'000); ++round) {
    Buffer mutated = valid;
    for (std::uint32_t changes = 1 + random.below(4); changes > 0; --changes) {
      mutated[random.below(mutated.size())] = static_cast<std::uint8_t>(random.word());
    }
    const auto copy = verify(mutated);
    if (copy) (void)walk(flexbuffers::GetRoot(*copy));
  }
}

}  // namespace
}  // namespace slotring::shm
