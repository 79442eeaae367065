// What the subcommands of `slotring` have in common: how they are added, which pool they mean, and
// how they end.
//
// Exit codes: 0 success, 1 anything unforeseen, 2 wrong usage (arguments that cannot be used,
// before anything was called), and 10 + the category of the error that a pool or a call ended with
// (schemas/frame.fbs):
//
//     11 invalid    12 not found   13 handler    14 resource
//     15 timeout    16 worker      17 protocol   18 internal
//     19 program    20 dependency  21 session

#ifndef SLOTRING_TOOLS_CLI_COMMAND_H_
#define SLOTRING_TOOLS_CLI_COMMAND_H_

#include <functional>
#include <stdexcept>
#include <string>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "slotring/client.h"

namespace slotring::cli {

// Thrown for arguments that parse but cannot be used; main() shows it and ends with kExitUsage.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The work of the subcommand that was chosen; returns the exit code. It may throw UsageError and
// slotring::Exception, which main() shows.
using Work = std::function<int()>;

// Each adds one subcommand to `root`; when it is the one on the command line, parsing sets
// `chosen`.
void add_ping(CLI::App& root, Work& chosen);
void add_status(CLI::App& root, Work& chosen);
void add_stats(CLI::App& root, Work& chosen);
void add_sessions(CLI::App& root, Work& chosen);
void add_methods(CLI::App& root, Work& chosen);
void add_call(CLI::App& root, Work& chosen);
void add_health(CLI::App& root, Work& chosen);
void add_bench(CLI::App& root, Work& chosen);
void add_upgrade(CLI::App& root, Work& chosen);

inline constexpr int kExitUsage = 2;
int exit_code(const Error& error);
// For --help: the exit codes.
const char* exit_code_help();

// The error as a person reads it: category, code, message, and what Python said.
std::string error_text(const Error& error);
nlohmann::json error_json(const Error& error);
// JSON as text, whatever bytes its strings hold.
std::string json_text(const nlohmann::json& value);

// Calls one of a pool's built-in methods (ping, methods) and returns its reply as JSON.
Result<nlohmann::json> call_builtin(Client& client, const std::string& method,
                                    std::chrono::nanoseconds timeout);

// An option that takes seconds, from 0; its default is what `into` says now.
void add_seconds_option(CLI::App& command, const char* name, double& into, const char* what);
// Seconds on the command line, as a timeout; 0 means none.
std::chrono::nanoseconds timeout_of(double seconds);

}  // namespace slotring::cli

#endif  // SLOTRING_TOOLS_CLI_COMMAND_H_
