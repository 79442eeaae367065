// The version of the library that a program was linked with.

#ifndef SLOTRING_VERSION_H_
#define SLOTRING_VERSION_H_

namespace slotring {

// "MAJOR.MINOR.PATCH"
const char* version();

}  // namespace slotring

#endif  // SLOTRING_VERSION_H_
