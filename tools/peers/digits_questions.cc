#include "tools/peers/digits_questions.h"

#include <fstream>
#include <iterator>
#include <string_view>

#include "slotring/error.h"
#include "tools/bench/child_process.h"
#include "tools/bench/job.h"
#include "tools/peers/peer.h"

namespace slotring::peers {

bench::Questions digits_questions(const std::string& folder) {
  constexpr std::size_t kReplyBytes = bench::reply_bytes(bench::Job::kDigits, 0);
  constexpr std::size_t kEach = bench::kDigitsRequestBytes + kReplyBytes;
  const std::string path = folder + "/digits.bin";
  bench::ChildProcess asked =
      bench::ChildProcess::start({kPython, python_program("jobs"), path}, folder + "/digits.log");
  const bool made = asked.wait();
  std::ifstream file(path, std::ios::binary);
  const std::string all{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!made || all.empty() || all.size() % kEach != 0) {
    throw Exception(
        Error{ErrorCode::kInternal, "the digits job does not run: is there a python3-sklearn?"});
  }
  bench::Questions questions{bench::kDigitsRequestBytes, kReplyBytes, {}, {}};
  const bench::Bytes bytes = std::as_bytes(std::span(all));
  for (std::size_t at = 0; at < bytes.size(); at += kEach) {
    const bench::Bytes request = bytes.subspan(at, bench::kDigitsRequestBytes);
    questions.requests.insert(questions.requests.end(), request.begin(), request.end());
    questions.replies.push_back(bytes[at + bench::kDigitsRequestBytes]);
  }
  return questions;
}

}  // namespace slotring::peers
