// Where the Python package `slotring` is that workers run, independent of the user's own
// PYTHONPATH.

#ifndef SLOTRING_SUPERVISOR_PACKAGE_PATH_H_
#define SLOTRING_SUPERVISOR_PACKAGE_PATH_H_

#include <string>

#include "slotring/result.h"

namespace slotring::supervisor {

// The folder that holds `slotring/`: `configured` if it is not empty, else the environment's
// SLOTRING_PYTHON_DIR, else where this program's build or installation has put it.
// Errors: INVALID_ARGUMENT, naming the folders that were looked at.
Result<std::string> find_package_path(const std::string& configured);

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_PACKAGE_PATH_H_
