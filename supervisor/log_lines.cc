#include "supervisor/log_lines.h"

#include <unistd.h>

#include <cerrno>

namespace slotring::supervisor {

namespace {

constexpr std::size_t kReadBytes = 16 * 1024;
// What one pipe may bring before the others have their turn.
constexpr int kReadsPerTurn = 4;
// A dead worker's pipe holds at most 64 KiB of its own (man 7 pipe); more comes from heirs of its
// descriptors.
constexpr int kReadsAtEnd = 16;

}  // namespace

std::string printable(std::string_view text) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string result;
  result.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\t') || byte == 0x7F) {
      result += "\\x";
      result += kDigits[byte >> 4];
      result += kDigits[byte & 0xF];
    } else {
      result += c;
    }
  }
  return result;
}

std::string counted(std::uint64_t count, std::string_view noun) {
  return std::to_string(count) + " " + std::string(noun) + (count == 1 ? "" : "s");
}

void LineSplitter::add(std::string_view bytes, const Sink& sink) {
  while (!bytes.empty()) {
    const std::size_t room = kMaxLineBytes - partial_.size();
    const std::size_t end = bytes.substr(0, room + 1).find('\n');
    const std::size_t taken = std::min({end, room, bytes.size()});
    partial_.append(bytes.substr(0, taken));
    bytes.remove_prefix(taken);
    const bool ended = end != std::string_view::npos;
    if (ended) bytes.remove_prefix(1);
    if (!ended && partial_.size() < kMaxLineBytes) return;
    if (ended && !partial_.empty() && partial_.back() == '\r') partial_.pop_back();
    // A full line is given out only when it is known to go on, so that its end makes no empty line.
    if (!ended && bytes.empty()) return;
    sink(partial_);
    partial_.clear();
  }
}

void LineSplitter::finish(const Sink& sink) {
  if (!partial_.empty()) sink(partial_);
  partial_.clear();
}

void Tail::add(std::string_view bytes) {
  if (bytes.size() > kTailBytes) bytes.remove_prefix(bytes.size() - kTailBytes);
  bytes_.append(bytes);
  if (bytes_.size() > 2 * kTailBytes) bytes_.erase(0, bytes_.size() - kTailBytes);
}

std::string_view Tail::text() const {
  std::string_view tail = bytes_;
  if (tail.size() > kTailBytes) tail.remove_prefix(tail.size() - kTailBytes);
  return tail;
}

Result<std::unique_ptr<LogPipe>> LogPipe::start(boost::asio::io_context& io, shm::UniqueFd pipe,
                                                Log log) {
  std::unique_ptr<LogPipe> started(new LogPipe(std::move(log)));
  Result<ReadableWatch> watch =
      ReadableWatch::start(io, std::move(pipe), [self = started.get()] { self->read_some(); });
  if (!watch) return std::move(watch).error();
  started->watch_ = *std::move(watch);
  return started;
}

void LogPipe::read_some() {
  for (int i = 0; i < kReadsPerTurn; ++i) {
    if (!read_once()) return;
  }
}

void LogPipe::finish() {
  for (int i = 0; i < kReadsAtEnd && read_once(); ++i) {
  }
  close();
}

// False when there is nothing more to read now.
bool LogPipe::read_once() {
  if (!watch_.active()) return false;
  char bytes[kReadBytes];
  const ssize_t count = ::read(watch_.fd(), bytes, sizeof(bytes));
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return errno == EINTR;
  if (count <= 0) {
    close();
    return false;
  }
  const std::string_view text(bytes, static_cast<std::size_t>(count));
  tail_.add(text);
  lines_.add(text, [this](std::string_view line) { write_line(line); });
  return true;
}

void LogPipe::close() {
  lines_.finish([this](std::string_view line) { write_line(line); });
  watch_.stop();
}

void LogPipe::write_line(std::string_view line) const { log_->info("{}", printable(line)); }

}  // namespace slotring::supervisor
