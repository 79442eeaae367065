#include "slotring/error.h"

#include <memory>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "schemas/frame_generated.h"
#include "slotring/payload.h"
#include "slotring/result.h"
#include "slotring/version.h"

namespace slotring {
namespace {

TEST(ErrorCode, IsTheOneThatTravelsInFrames) {
  std::set<std::string_view> names;
  for (const wire::ErrorCode code : wire::EnumValuesErrorCode()) {
    const std::string_view name = to_string(static_cast<ErrorCode>(code));
    EXPECT_NE(name, "UNKNOWN") << wire::EnumNameErrorCode(code);
    EXPECT_TRUE(names.insert(name).second) << name;
  }
}

TEST(ErrorCode, HasTheCategoryOfItsHundreds) {
  EXPECT_EQ(category_of(ErrorCode::kPayloadTooLarge), ErrorCategory::kInvalid);
  EXPECT_EQ(category_of(ErrorCode::kHandlerRaised), ErrorCategory::kHandler);
  EXPECT_EQ(category_of(ErrorCode::kInternal), ErrorCategory::kInternal);
}

TEST(ErrorCategory, IsTheOneThatTravelsInFrames) {
  for (const wire::ErrorCategory category : wire::EnumValuesErrorCategory()) {
    EXPECT_NE(to_string(static_cast<ErrorCategory>(category)), "unknown");
  }
  for (const wire::ErrorCode code : wire::EnumValuesErrorCode()) {
    EXPECT_NE(to_string(category_of(static_cast<ErrorCode>(code))), "unknown");
  }
}

TEST(ErrorCode, HasANameEvenWhenItIsNone) {
  EXPECT_EQ(to_string(static_cast<ErrorCode>(12345)), "UNKNOWN");
  EXPECT_EQ(to_string(static_cast<ErrorCategory>(99)), "unknown");
}

TEST(ErrorText, NamesTheCodeAndWhatPythonRaised) {
  EXPECT_EQ((Error{ErrorCode::kHandlerRaised, "no", "ValueError"}).to_string(),
            "HANDLER_RAISED: ValueError: no");
  EXPECT_EQ((Error{ErrorCode::kCancelled, "by the caller"}).to_string(),
            "CANCELLED: by the caller");
}

TEST(ResultTest, HoldsAValueOrAnError) {
  const Result<int> good = 7;
  EXPECT_TRUE(good.ok());
  EXPECT_EQ(*good, 7);
  const Result<int> bad = Error{ErrorCode::kRefused, "no"};
  EXPECT_FALSE(bad);
  EXPECT_EQ(bad.error().code, ErrorCode::kRefused);
}

TEST(ResultTest, ThrowsItsErrorWhenItsValueIsAskedFor) {
  Result<int> bad = Error{ErrorCode::kRefused, "no entry"};
  try {
    (void)bad.value();
    FAIL() << "no exception";
  } catch (const Exception& failure) {
    EXPECT_EQ(failure.error().code, ErrorCode::kRefused);
    EXPECT_STREQ(failure.what(), "REFUSED: no entry");
  }
}

TEST(ResultTest, GivesAwayWhatCannotBeCopied) {
  Result<std::unique_ptr<int>> made = std::make_unique<int>(5);
  const std::unique_ptr<int> mine = std::move(made).value();
  EXPECT_EQ(*mine, 5);
}

// References into it would dangle: for (auto& each : make().value()) ...
TEST(ResultTest, GivesWhatATemporaryHoldsAwayByValue) {
  using Temporary = Result<std::vector<int>>;
  static_assert(std::is_same_v<decltype(std::declval<Temporary>().value()), std::vector<int>>);
  static_assert(std::is_same_v<decltype(*std::declval<Temporary>()), std::vector<int>>);
  static_assert(std::is_same_v<decltype(std::declval<Temporary>().error()), Error>);
  static_assert(std::is_same_v<decltype(std::declval<Temporary&>().value()), std::vector<int>&>);
  int sum = 0;
  for (const int each : Temporary(std::vector<int>{1, 2, 3}).value()) sum += each;
  EXPECT_EQ(sum, 6);
}

TEST(PayloadTest, KnowsItsKind) {
  EXPECT_EQ(Payload().kind(), PayloadKind::kEmpty);
  EXPECT_EQ(Payload("text").kind(), PayloadKind::kBytes);
  EXPECT_EQ(Payload("text").data().size(), 4u);
  const std::vector<std::uint8_t> value(3);
  EXPECT_EQ(Payload::value(value).kind(), PayloadKind::kValue);
}

TEST(PayloadTest, BorrowsItsBytes) {
  const std::string text = "text";
  EXPECT_EQ(reinterpret_cast<const char*>(Payload(text).data().data()), text.data());
}

TEST(Version, IsThreeNumbers) {
  EXPECT_EQ(std::string(version()).find_first_not_of("0123456789."), std::string::npos);
}

}  // namespace
}  // namespace slotring
