// The program that runs, and the one that lies at its place on disk now: an upgrade puts the second
// in the first's place, in the same process.
//
// Workers go on meanwhile and stay this process' children. Nothing is given up before the new
// program has said, in a process of its own, that it reads the configuration and lays memory out as
// this one does.

#ifndef SLOTRING_SUPERVISOR_PROGRAM_H_
#define SLOTRING_SUPERVISOR_PROGRAM_H_

#include <string>
#include <vector>

#include "slotring/result.h"

namespace slotring::supervisor {

class Program {
 public:
  // `arguments` is main()'s, and outlives this.
  Program(char** arguments, std::string config_file);

  // Asks the program on disk. Errors: INVALID_ARGUMENT (with what it said), SYSTEM_LIMIT,
  // DEADLINE_EXCEEDED.
  Status check_successor() const;
  // The answer of a program that is asked; `layout` as check_successor() gives it, empty for any.
  static Status check_layout(const std::string& layout);

  // Becomes the program on disk, with the same arguments. Returns only when that fails.
  Error replace() const;

 private:
  char** arguments_;
  std::string path_;
  std::string config_file_;
};

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_PROGRAM_H_
