// What a chaos run is asked to do.

#ifndef SLOTRING_TESTS_CHAOS_OPTIONS_H_
#define SLOTRING_TESTS_CHAOS_OPTIONS_H_

#include <cstdint>
#include <string>

namespace slotring::chaos {

struct Options {
  double minutes = 1;
  std::uint64_t seed = 0;
  int clients = 4;
  int workers = 2;               // a pool
  std::string pool = "both";     // python, native, template, both (the first two)
  double events_per_second = 8;  // kills and stops
  bool supervisor_kills = true;
  bool json = false;
  std::string logs;    // folder where a failed run's log is kept; in the run's own when empty
  std::string canary;  // wrong-reply, lost-slot; empty for none
};

}  // namespace slotring::chaos

#endif  // SLOTRING_TESTS_CHAOS_OPTIONS_H_
