// slotring ping: does a worker of the pool answer, and how fast?

#include <chrono>
#include <iostream>
#include <memory>
#include <thread>

#include "tools/cli/command.h"
#include "tools/cli/pool_choice.h"
#include "tools/terminal/text_table.h"

namespace slotring::cli {

namespace {

using Clock = std::chrono::steady_clock;
using nlohmann::json;

struct PingOptions {
  std::string pool;
  double timeout_s = 5;
  double wait_s = 0;
  bool as_json = false;
};

Result<Client> attach_once(const PingOptions& options) {
  Result<std::string> pool = resolve_pool(options.pool);
  if (!pool) return std::move(pool).error();
  return Client::attach(*pool, {.name = "slotring ping"});
}

// Attaches, trying again for --wait seconds while nobody listens.
Result<Client> attach(const PingOptions& options) {
  const auto deadline = Clock::now() + std::chrono::duration<double>(options.wait_s);
  for (;;) {
    Result<Client> client = attach_once(options);
    if (client || client.error().code != ErrorCode::kPoolNotFound || Clock::now() >= deadline) {
      return client;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

// "slotring 0.1.0, python 3.11.2"
std::string versions_text(const json& answer) {
  std::string text;
  if (!answer.contains("versions") || !answer["versions"].is_object()) return text;
  for (const auto& [name, version] : answer["versions"].items()) {
    if (!text.empty()) text += ", ";
    text += terminal::printable(name) + " ";
    text += terminal::printable(version.is_string() ? version.get<std::string>() : version.dump());
  }
  return text;
}

// A worker of another version may answer something else, which is then shown as it is.
void print_answer(const std::string& pool, const json& answer, double round_trip_ns) {
  std::cout << "pool " << terminal::printable(pool) << ": ";
  try {
    const double uptime_ns = answer.at("uptime_s").get<double>() * 1e9;
    std::cout << terminal::printable(answer.at("status").get<std::string>()) << ", worker "
              << answer.at("worker") << " (pid " << answer.at("pid") << ", generation "
              << answer.at("generation") << "), up " << terminal::duration_text(uptime_ns) << "; "
              << versions_text(answer);
  } catch (const json::exception&) {
    std::cout << terminal::printable(answer.dump(-1, ' ', true, json::error_handler_t::replace));
  }
  std::cout << "; round trip " << terminal::duration_text(round_trip_ns) << "\n";
}

int ping(const PingOptions& options) {
  Client client = attach(options).value();
  const Clock::time_point sent = Clock::now();
  json answer = call_builtin(client, "ping", timeout_of(options.timeout_s)).value();
  const double round_trip_ns =
      std::chrono::duration<double, std::nano>(Clock::now() - sent).count();
  if (options.as_json) {
    std::cout << json_text({{"pool", client.pool()},
                            {"round_trip_us", round_trip_ns / 1000},
                            {"answer", std::move(answer)}})
              << "\n";
  } else {
    print_answer(client.pool(), answer, round_trip_ns);
  }
  return 0;
}

}  // namespace

void add_ping(CLI::App& root, Work& chosen) {
  const auto options = std::make_shared<PingOptions>();
  CLI::App* command = root.add_subcommand("ping", "Ask a worker of a pool whether it is well");
  add_pool_option(*command, options->pool, AlsoPositional::kYes);
  add_seconds_option(*command, "--timeout", options->timeout_s,
                     "For the answer, in seconds; 0 is none");
  add_seconds_option(*command, "--wait", options->wait_s,
                     "How many seconds to wait for the pool when it is not there yet");
  command->add_flag("--json", options->as_json, "The answer as JSON");
  command->footer(
      "Examples:\n"
      "  slotring ping\n"
      "  slotring ping digits --wait 10   # in a script, after starting the supervisor\n");
  command->callback([options, &chosen] { chosen = [options] { return ping(*options); }; });
}

}  // namespace slotring::cli
