#include "tools/peers/results.h"

#include <sys/utsname.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>

#include "slotring/version.h"
#include "tools/bench/bench_report.h"

namespace slotring::peers {

using nlohmann::json;

namespace {

// What peers are made of, and what compiled them.
constexpr char kPackages[] =
    "g++ python3 python3-sklearn python3-numpy libboost-dev libzmq5 cppzmq-dev python3-zmq "
    "libgrpc++1.51 python3-grpcio libnats3.4 nats-server libiceoryx-posh2";

json calibration_json(const bench::Calibration& calibration) {
  return {{"exchange_ns", calibration.exchange_ns}, {"work_ns", calibration.work_ns}};
}

json point_json(const PointResult& result) {
  json samples = json::array();
  for (const Sample& sample : result.samples) {
    samples.push_back({{"before", calibration_json(sample.before)},
                       {"after", calibration_json(sample.after)},
                       {"refused", sample.refused},
                       {"turn", bench::turn_json(sample.turn)}});
  }
  const Point& point = result.point;
  return {{"section", result.section},
          {"point", point.name},
          {"peer", result.peer},
          {"workers", point.workers},
          {"clients", point.clients},
          {"payload_bytes", point.payload_bytes},
          {"placement", to_string(point.placement)},
          {"job", to_string(point.job)},
          {"gap_us", point.gap_us},
          {"busy_processes", point.busy_processes},
          {"seconds", point.seconds},
          {"failed", result.failed},
          {"samples", std::move(samples)}};
}

// The first value of a field of a file such as /proc/cpuinfo.
std::string field_of(const char* path, const std::string& field) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(':');
    if (colon != std::string::npos && line.starts_with(field)) {
      return line.substr(line.find_first_not_of(" \t", colon + 1));
    }
  }
  return "unknown";
}

json packages() {
  const std::string query = "dpkg-query --show --showformat='${Package} ${Version}\\n' " +
                            std::string(kPackages) + " 2>/dev/null";
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> output(::popen(query.c_str(), "r"),
                                                               ::pclose);
  json versions = json::object();
  std::array<char, 256> name;
  std::array<char, 256> version;
  while (output && std::fscanf(output.get(), "%255s %255s", name.data(), version.data()) == 2) {
    versions[name.data()] = version.data();
  }
  return versions;
}

json machine() {
  utsname system{};
  ::uname(&system);
  return {{"cpu", field_of("/proc/cpuinfo", "model name")},
          {"cpus", bench::usable_cpus().size()},
          {"memory", field_of("/proc/meminfo", "MemTotal")},
          {"kernel", std::string(system.sysname) + " " + system.release + " " + system.machine},
          {"packages", packages()}};
}

const char* name_of(Depth depth) {
  return depth == Depth::kQuick ? "--quick" : depth == Depth::kFull ? "--full" : "";
}

}  // namespace

json results_json(const Comparison& comparison) {
  json peers = json::array();
  for (const Peer& peer : comparison.peers) {
    peers.push_back(
        {{"name", peer.name}, {"description", peer.description}, {"missing", peer.why_missing}});
  }
  json points = json::array();
  for (const PointResult& point : comparison.points) points.push_back(point_json(point));
  return {{"format", 1},
          {"version", version()},
          {"depth", name_of(comparison.options.depth)},
          {"seed", comparison.options.seed},
          {"clock_ns", bench::clock_cost_ns()},
          {"calibration_bound", bench::kCalibrationBound},
          {"others_bound", bench::kOthersBound},
          {"machine", machine()},
          {"peers", std::move(peers)},
          {"points", std::move(points)}};
}

}  // namespace slotring::peers
