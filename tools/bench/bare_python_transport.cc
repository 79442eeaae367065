#include "tools/bench/bare_python_transport.h"

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <new>
#include <thread>

#include "tools/bench/bare_channel.h"
#include "tools/bench/bare_exchange.h"
#include "tools/bench/bare_stream.h"
#include "tools/bench/embedded_python.h"

namespace slotring::bench {

namespace {

constexpr std::chrono::seconds kStartTimeout(20);

// Beside this program, as the build tree has it; it is not installed.
std::string extension_folder() {
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path() / "bench";
}

}  // namespace

std::string why_no_bare_python() {
  const std::string extension = extension_folder() + "/_bare_exchange.abi3.so";
  std::error_code ignored;
  if (std::filesystem::is_regular_file(extension, ignored)) return "";
  return "needs the build tree: there is no " + extension;
}

BarePythonTransport::BarePythonTransport(const std::string& folder, std::size_t payload_bytes,
                                         bool yields, bool streams)
    : script_(folder + "/bare_echo.py"),
      log_(folder + "/bare_echo.log"),
      payload_bytes_(payload_bytes),
      yields_(yields),
      streams_(streams) {
  const std::size_t bytes =
      streams ? BareRing::block_bytes(payload_bytes) : block_bytes(payload_bytes);
  memory_ = shm::create_memory("slotring-bench", bytes).value();
  shm::reserve(memory_, 0, bytes).value();
  block_ = shm::Mapping::map(memory_, shm::Access::kReadWrite, 0, bytes).value();
  std::ofstream(script_) << kBareEchoPy;
}

void BarePythonTransport::begin_turn() {
  // What the server sets to 0 when it serves: the replies' sequence, or, of a ring, the requests'.
  Flag* served;
  if (streams_) {
    std::memset(block_.data(), 0, BareRing::block_bytes(payload_bytes_));
    served = &BareRing(block_.data(), payload_bytes_, yields_).requested();
  } else {
    const Channels channels = channels_in(block_.data(), payload_bytes_);
    new (channels.requests.flag) Flag();
    served = channels.replies.flag;
  }
  new (served) Flag{kNobodyServes};
  server_ = ChildProcess::start(
      {"/usr/bin/python3", script_, extension_folder(), std::to_string(kInheritedFd),
       std::to_string(payload_bytes_), yields_ ? "yield" : "spin", streams_ ? "stream" : "echo"},
      log_, &memory_);
  const auto deadline = std::chrono::steady_clock::now() + kStartTimeout;
  // Acquire: partner of the extension's release.
  while (served->sequence.load(std::memory_order_acquire) == kNobodyServes) {
    check_interrupted();
    if (!server_.running() || std::chrono::steady_clock::now() > deadline) {
      server_.end();
      throw Exception(Error{ErrorCode::kWorkerUnavailable, "the bare Python server did not start"});
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

void BarePythonTransport::end_turn() { server_.end(); }

std::unique_ptr<Exchange> BarePythonTransport::connect(int /*client*/) {
  if (streams_) {
    return std::make_unique<BareStreamExchange>(BareRing(block_.data(), payload_bytes_, yields_));
  }
  return std::make_unique<BareExchange>(channels_in(block_.data(), payload_bytes_), yields_);
}

}  // namespace slotring::bench
