// What a client knows to be true: the programs whose creation was acknowledged and whose deletion
// was not, each session's data, and how each call of it ended. Kept in a file, for those who check
// it later.

#ifndef SLOTRING_EXAMPLES_PROGRAMS_LEDGER_H_
#define SLOTRING_EXAMPLES_PROGRAMS_LEDGER_H_

#include <array>
#include <cstdint>
#include <map>
#include <string>

namespace programs_demo {

struct SessionTruth {
  std::map<std::string, std::string> programs;  // name -> which function
  std::int64_t counter = 0;                     // in the session's data
};

struct Ledger {
  std::map<std::string, SessionTruth> sessions;
  // Method -> calls by slotring::ErrorCategory, of which 0 is a reply.
  std::map<std::string, std::array<std::uint64_t, 16>> calls;

  void add(const Ledger& other);  // its calls
  void write(const std::string& path) const;
  static Ledger read(const std::string& path);
};

}  // namespace programs_demo

#endif  // SLOTRING_EXAMPLES_PROGRAMS_LEDGER_H_
