// The programs that the demo creates, of the functions in demo_programs.py: "add", "shout",
// "split", and two that fail. What does not hold is thrown.

#ifndef SLOTRING_EXAMPLES_PROGRAMS_DEMO_PROGRAMS_H_
#define SLOTRING_EXAMPLES_PROGRAMS_DEMO_PROGRAMS_H_

#include <chrono>
#include <functional>
#include <string>

#include <flatbuffers/flexbuffers.h>
#include <slotring/programs.h>

namespace programs_demo {

// How long anything is waited for.
constexpr std::chrono::seconds kPatience{120};

// Throws `what` when it does not hold.
void expect(bool holds, const std::string& what);

slotring::Value map_of(const std::function<void(flexbuffers::Builder&)>& members);

slotring::ProgramDefinition definition_of(const std::string& name, const std::string& function);
// Inputs that go with a number, and whether outputs are those of them.
slotring::Value inputs_of(const std::string& function, int number);
void expect_outputs(const std::string& function, int number, const slotring::Value& outputs);

}  // namespace programs_demo

#endif  // SLOTRING_EXAMPLES_PROGRAMS_DEMO_PROGRAMS_H_
