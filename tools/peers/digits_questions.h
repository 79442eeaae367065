// The images of the digits job, with what the classifier says to each.

#ifndef SLOTRING_TOOLS_PEERS_DIGITS_QUESTIONS_H_
#define SLOTRING_TOOLS_PEERS_DIGITS_QUESTIONS_H_

#include <string>

#include "tools/bench/questions.h"

namespace slotring::peers {

// Asks python/jobs.py, through a file in `folder`. Throws slotring::Exception.
bench::Questions digits_questions(const std::string& folder);

}  // namespace slotring::peers

#endif  // SLOTRING_TOOLS_PEERS_DIGITS_QUESTIONS_H_
