// What each worker of a pool answered, for a person or as JSON.

#ifndef SLOTRING_TOOLS_CLI_WORKER_REPORT_H_
#define SLOTRING_TOOLS_CLI_WORKER_REPORT_H_

#include "slotring/client.h"

namespace slotring::cli {

// Exit status of a command that asked every worker, when one of them failed.
inline constexpr int kExitWorkerFailed = 1;

// Prints it; returns the exit status.
int print_broadcast(const BroadcastReport& report, bool as_json);
int print_health(const std::string& pool, const PoolHealth& health, bool as_json);

}  // namespace slotring::cli

#endif  // SLOTRING_TOOLS_CLI_WORKER_REPORT_H_
