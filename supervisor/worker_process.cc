#include "supervisor/worker_process.h"

#include <utility>

namespace slotring::supervisor {

std::vector<std::string> worker_arguments(const PoolConfig& config, shm::SeatIndex seat) {
  const double orphan_timeout_s = static_cast<double>(config.orphan_timeout.count()) / 1000;
  std::vector<std::string> arguments = {
      "--socket-fd",
      kSocketPlace,
      "--seat-socket-fd",
      kSeatSocketPlace,
      "--module",
      config.module,
      "--pool",
      config.name,
      "--seat",
      std::to_string(seat),
      "--orphan-timeout-s",
      std::to_string(orphan_timeout_s),
      "--session-store",
      config.session_database.empty() ? "memory" : "sqlite:" + config.session_database,
      "--session-ttl-s",
      fmt::format("{:g}", std::chrono::duration<double>(config.session_ttl).count()),
      "--profile",
      config.profile};
  if (config.profile == "threads") {
    arguments.insert(arguments.end(), {"--threads", std::to_string(config.threads)});
  }
  return arguments;
}

LaunchOrder make_python_order(const PoolConfig& config, const std::string& package_path,
                              const std::string& module, std::vector<std::string> arguments) {
  LaunchOrder order;
  order.program = config.python;
  order.directory = config.directory;
  order.environment = config.env;
  // First the package, so that no user's module stands in for it. -P keeps the working directory
  // out.
  std::string path = package_path;
  for (const std::string& folder : config.python_path) path += ":" + folder;
  order.environment["PYTHONPATH"] = path;
  order.environment.emplace("PYTHONUNBUFFERED", "1");  // lines reach the log when they are printed
  order.arguments = std::move(arguments);
  order.arguments.insert(order.arguments.begin(), {"-P", "-m", module});
  return order;
}

layout::ProfileWord profile_word(const PoolConfig& config) {
  using layout::Profile;
  if (config.profile == "threads") {
    return {Profile::kThreads, static_cast<std::uint8_t>(config.threads)};
  }
  return {config.profile == "asyncio" ? Profile::kAsyncio : Profile::kSingle};
}

}  // namespace slotring::supervisor
