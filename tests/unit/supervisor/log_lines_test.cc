#include "supervisor/log_lines.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace slotring::supervisor {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class LineSplitterTest : public ::testing::Test {
 protected:
  void add(std::string_view bytes) { splitter_.add(bytes, sink_); }
  void finish() { splitter_.finish(sink_); }

  std::vector<std::string> lines_;
  LineSplitter::Sink sink_ = [this](std::string_view line) { lines_.emplace_back(line); };
  LineSplitter splitter_;
};

TEST_F(LineSplitterTest, LinesAreCutWhereTheyEndHoweverTheyArrive) {
  const std::string_view text = "one\ntwo\n\nfour\r\nfive";
  for (std::size_t step = 1; step <= text.size(); ++step) {
    lines_.clear();
    for (std::size_t at = 0; at < text.size(); at += step) add(text.substr(at, step));
    EXPECT_THAT(lines_, ElementsAre("one", "two", "", "four")) << "in steps of " << step;
    finish();
    EXPECT_EQ(lines_.back(), "five") << "in steps of " << step;
  }
}

TEST_F(LineSplitterTest, NothingComesOfNothing) {
  add("");
  finish();
  EXPECT_THAT(lines_, IsEmpty());
}

TEST_F(LineSplitterTest, ALineWithoutEndIsCutAtItsBound) {
  const std::string endless(2 * kMaxLineBytes + 5, 'x');
  add(endless);
  EXPECT_EQ(lines_.size(), 2u);
  finish();
  ASSERT_EQ(lines_.size(), 3u);
  EXPECT_EQ(lines_[0] + lines_[1] + lines_[2], endless);
}

TEST_F(LineSplitterTest, ALineOfExactlyTheBoundMakesNoEmptyOne) {
  const std::string full(kMaxLineBytes, 'x');
  for (std::size_t first : {std::size_t{1}, kMaxLineBytes - 1, kMaxLineBytes, kMaxLineBytes + 1}) {
    lines_.clear();
    const std::string text = full + "\nnext\n";
    add(std::string_view(text).substr(0, first));
    add(std::string_view(text).substr(first));
    EXPECT_THAT(lines_, ElementsAre(full, "next")) << first;
  }
}

TEST(Tail, KeepsTheLastBytesWhateverThePieces) {
  std::string all;
  Tail tail;
  for (int i = 0; i < 2000; ++i) {
    const std::string piece = std::to_string(i) + " ";
    all += piece;
    tail.add(piece);
  }
  EXPECT_EQ(tail.text(), std::string_view(all).substr(all.size() - kTailBytes));
  tail.add(std::string(10 * kTailBytes, 'y'));
  EXPECT_EQ(tail.text(), std::string(kTailBytes, 'y'));
}

TEST(Tail, IsAllThereIsWhenThatIsLittle) {
  Tail tail;
  EXPECT_EQ(tail.text(), "");
  tail.add("last words");
  EXPECT_EQ(tail.text(), "last words");
}

TEST(Printable, ControlCharactersCannotFakeALineOrATerminalsCommand) {
  EXPECT_EQ(printable("a\nb\x1b[2J\x7f\tc"), "a\\x0ab\\x1b[2J\\x7f\tc");
  EXPECT_EQ(printable("größe"), "größe");
}

}  // namespace
}  // namespace slotring::supervisor
