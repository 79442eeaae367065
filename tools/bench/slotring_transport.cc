#include "tools/bench/slotring_transport.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "client_lib/shm/attachment.h"
#include "slotring/client.h"
#include "tools/bench/bare_ring.h"
#include "tools/bench/embedded_python.h"

namespace slotring::bench {

namespace {

constexpr std::chrono::seconds kStartTimeout(60);
constexpr char kProgram[] = "slotring-supervisor";

bool is_program(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored) && ::access(path.c_str(), X_OK) == 0;
}

void write_config(const std::string& file, const std::string& folder,
                  const std::vector<PoolShape>& pools) {
  std::ofstream config(file);
  config << "[log]\nlevel = \"warning\"\n";
  for (const PoolShape& pool : pools) {
    config << "\n[pool." << pool.name << "]\nmodule = \"" << pool.module
           << "\"\nworkers = " << pool.workers << "\nsocket = \"" << folder << "/" << pool.name
           << ".sock\"\n"
           << "env = { SLOTRING_BENCH_STREAM_FRAMES = \"" << kStreamFrames
           << "\", SLOTRING_BENCH_JOB = \"" << pool.job << "\" }\n";
    if (!pool.module_folder.empty()) {
      config << "python_path = [\"" << pool.module_folder << "\"]\n";
    }
    config << pool.keys;
  }
}

// The workers' pids, or nothing while not all of them are ready.
std::vector<pid_t> try_workers(const std::string& socket_path) {
  const shm::MonotonicNs deadline = shm::monotonic_now() + 1'000'000'000;
  Result<shm::UniqueFd> socket = shm::connect_to(socket_path, deadline);
  if (!socket) return {};
  const Result<shm::Attachment> joined =
      shm::attach(socket->get(), wire::Role::Observer, "slotring bench", deadline);
  if (!joined) return {};
  const shm::ControlSegment& segment = *joined->segment;
  std::vector<pid_t> pids;
  for (std::uint32_t seat = 0; seat < segment.geometry().max_workers; ++seat) {
    if (segment.seat_word(seat).state != layout::SeatState::kReady) return {};
    pids.push_back(segment.seat(seat).pid.load(std::memory_order_relaxed));
  }
  return pids;
}

void copy_reply(Bytes reply, Space space) {
  if (reply.size() != space.size()) {
    throw Exception(Error{ErrorCode::kBadFrame, "the reply has another size"});
  }
  std::memcpy(space.data(), reply.data(), reply.size());
}

class SlotringExchange : public Exchange {
 public:
  SlotringExchange(Client client, std::string method)
      : client_(std::move(client)), method_(std::move(method)) {}

  void call(Bytes request, Space space) override {
    const Result<Reply> reply = client_.call(method_, request);
    if (!reply) throw Exception(reply.error());
    copy_reply(reply->bytes(), space);
  }

 private:
  Client client_;
  std::string method_;
};

class InPlaceExchange : public Exchange {
 public:
  explicit InPlaceExchange(Client client) : client_(std::move(client)) {}

  void call(Bytes request, Space space) override {
    Lease lease = client_.claim().value();
    std::memcpy(lease.request(request.size()).value().data(), request.data(), request.size());
    lease.submit("echo", PayloadKind::kBytes, request.size()).value();
    copy_reply(lease.wait().value().bytes, space);
  }

 private:
  Client client_;
};

class StreamExchange : public Exchange {
 public:
  explicit StreamExchange(Client client) : client_(std::move(client)) {}

  void call(Bytes request, Space space) override {
    Stream stream = client_.stream("frames", request).value();
    std::uint64_t items = 0;
    for (const ReplyView& item : stream) {
      std::memcpy(space.data(), item.bytes.data(), std::min(space.size(), item.bytes.size()));
      ++items;
    }
    stream.status().value();
    if (items != kStreamFrames) throw Exception(Error{ErrorCode::kBadFrame, "frames are missing"});
  }

 private:
  Client client_;
};

}  // namespace

std::string find_supervisor(const std::string& wanted) {
  if (!wanted.empty()) {
    if (is_program(wanted)) return wanted;
    throw Exception(Error{ErrorCode::kInvalidArgument, "there is no program " + wanted});
  }
  std::error_code ignored;
  const auto here = std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
  std::vector<std::filesystem::path> places = {here, here.parent_path() / "supervisor",
                                               here.parent_path().parent_path() / "supervisor"};
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');) places.emplace_back(folder);
  for (const auto& place : places) {
    if (is_program(place / kProgram)) return place / kProgram;
  }
  throw Exception(Error{ErrorCode::kInvalidArgument,
                        "slotring-supervisor is neither beside this program nor on PATH; name it "
                        "with --supervisor"});
}

OwnSupervisor::OwnSupervisor(const std::string& program, const std::string& folder,
                             const std::vector<PoolShape>& pools)
    : folder_(folder) {
  std::ofstream(folder + "/bench_worker.py") << kBenchWorkerPy;
  const std::string config = folder + "/bench.toml";
  write_config(config, folder, pools);
  process_ = ChildProcess::start({program, "--config", config}, folder + "/supervisor.log");
}

std::string OwnSupervisor::socket_path(const std::string& pool) const {
  return folder_ + "/" + pool + ".sock";
}

std::vector<pid_t> OwnSupervisor::await_workers(const std::string& pool) {
  const auto deadline = std::chrono::steady_clock::now() + kStartTimeout;
  for (;;) {
    check_interrupted();
    if (std::vector<pid_t> pids = try_workers(socket_path(pool)); !pids.empty()) return pids;
    if (!process_.running() || std::chrono::steady_clock::now() > deadline) {
      throw Exception(Error{ErrorCode::kWorkerUnavailable,
                            "the workers did not become ready; the supervisor's log ends with:\n" +
                                end_of_log(folder_ + "/supervisor.log")});
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

SlotringTransport::SlotringTransport(OwnSupervisor& supervisor, const std::string& pool, Way way,
                                     const std::string& method)
    : supervisor_(supervisor),
      way_(way),
      method_(method),
      socket_(supervisor.socket_path(pool)),
      workers_(supervisor.await_workers(pool)) {}

std::unique_ptr<Exchange> SlotringTransport::connect(int client) {
  const std::string name = "bench-" + std::to_string(client);
  Client attached = Client::attach(socket_, {.name = name}).value();
  switch (way_) {
    case Way::kInPlace:
      return std::make_unique<InPlaceExchange>(std::move(attached));
    case Way::kStream:
      return std::make_unique<StreamExchange>(std::move(attached));
    case Way::kCall:
      break;
  }
  return std::make_unique<SlotringExchange>(std::move(attached), method_);
}

}  // namespace slotring::bench
