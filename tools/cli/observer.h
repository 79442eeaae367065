// Looking at a pool's control segment, which is mapped read-only.

#ifndef SLOTRING_TOOLS_CLI_OBSERVER_H_
#define SLOTRING_TOOLS_CLI_OBSERVER_H_

#include <string>
#include <string_view>

#include "client_lib/shm/attachment.h"
#include "slotring/result.h"

namespace slotring::cli {

// Attaches as an observer, which the supervisor knows by `name`. Errors: those of attaching.
Result<shm::Attachment> observe_pool(const std::string& name_or_path, std::string_view name);

}  // namespace slotring::cli

#endif  // SLOTRING_TOOLS_CLI_OBSERVER_H_
