#include "slotring/version.h"

namespace slotring {

const char* version() { return SLOTRING_VERSION; }

}  // namespace slotring
