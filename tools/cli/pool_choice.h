// Which pool a command is about: the one that was named, or the only one that runs.

#ifndef SLOTRING_TOOLS_CLI_POOL_CHOICE_H_
#define SLOTRING_TOOLS_CLI_POOL_CHOICE_H_

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "slotring/result.h"

namespace slotring::cli {

// Whether the pool may also be given without -p, as the first argument.
enum class AlsoPositional { kNo, kYes };

// Adds the option -p/--pool (environment: SLOTRING_POOL), which is empty when none was given.
void add_pool_option(CLI::App& command, std::string& pool, AlsoPositional positional);

// The sockets in the runtime folder, sorted; whether anybody listens at them is not known.
std::vector<std::string> socket_files();

// The pool to use: `given` as it is, or else the socket of the only pool that runs.
// Errors: POOL_NOT_FOUND, when none runs. Throws UsageError, when several do, naming them.
Result<std::string> resolve_pool(const std::string& given);

}  // namespace slotring::cli

#endif  // SLOTRING_TOOLS_CLI_POOL_CHOICE_H_
