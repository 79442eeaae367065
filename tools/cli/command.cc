#include "tools/cli/command.h"

#include "tools/cli/json_value.h"
#include "tools/terminal/text_table.h"

namespace slotring::cli {

using nlohmann::json;
using terminal::printable;

int exit_code(const Error& error) { return 10 + static_cast<int>(error.category()); }

const char* exit_code_help() {
  return "Exit codes: 0 success, 1 unforeseen, 2 wrong usage; errors of a pool or a call by "
         "category:\n"
         "  11 invalid    12 not found   13 handler    14 resource\n"
         "  15 timeout    16 worker      17 protocol   18 internal\n"
         "  19 program    20 dependency  21 session";
}

std::string error_text(const Error& error) {
  std::string text = std::string(to_string(error.category())) + " error " +
                     std::string(to_string(error.code)) + (error.retryable ? " (retryable)" : "") +
                     ": ";
  if (!error.python_type.empty()) text += printable(error.python_type) + ": ";
  text += printable(error.message) + "\n";
  if (!error.traceback.empty()) {
    text += printable(error.traceback);
    if (text.back() != '\n') text += '\n';
  }
  return text;
}

json error_json(const Error& error) {
  json object = {{"category", to_string(error.category())},
                 {"code", to_string(error.code)},
                 {"number", static_cast<int>(error.code)},
                 {"message", error.message},
                 {"retryable", error.retryable}};
  if (!error.python_type.empty()) object["python_type"] = error.python_type;
  if (!error.traceback.empty()) object["traceback"] = error.traceback;
  return object;
}

std::string json_text(const json& value) {
  return value.dump(2, ' ', false, json::error_handler_t::replace);
}

Result<json> call_builtin(Client& client, const std::string& method,
                          std::chrono::nanoseconds timeout) {
  Result<Reply> reply = client.call(method, Payload(), {.timeout = timeout});
  if (!reply) return std::move(reply).error();
  return reply_to_json(*reply);
}

void add_seconds_option(CLI::App& command, const char* name, double& into, const char* what) {
  command.add_option(name, into, what)->capture_default_str()->check(CLI::NonNegativeNumber);
}

std::chrono::nanoseconds timeout_of(double seconds) {
  constexpr double kMostSeconds = 1e9;  // 30 years, and no overflow
  if (seconds <= 0 || seconds > kMostSeconds) return kNoTimeout;
  return std::chrono::nanoseconds(static_cast<std::int64_t>(seconds * 1e9));
}

}  // namespace slotring::cli
