#include "demo_programs.h"

#include <stdexcept>

namespace programs_demo {

void expect(bool holds, const std::string& what) {
  if (!holds) throw std::runtime_error(what);
}

slotring::Value map_of(const std::function<void(flexbuffers::Builder&)>& members) {
  flexbuffers::Builder builder;
  builder.Map([&] { members(builder); });
  builder.Finish();
  return builder.GetBuffer();
}

slotring::ProgramDefinition definition_of(const std::string& name, const std::string& function) {
  slotring::ProgramDefinition definition;
  definition.name = name;
  definition.type = "python";
  if (function == "add") {
    definition.signature = {{"a: int", "b: int"}, {"sum: int"}, ""};
  } else if (function == "split") {
    definition.signature = {{"text: str"}, {"words: list[str]", "count: int"}, "Split it."};
  } else {
    definition.signature = {{"text: str"}, {"answer: str"}, ""};
  }
  definition.options =
      map_of([&](flexbuffers::Builder& b) { b.String("callable", "demo_programs:" + function); });
  return definition;
}

slotring::Value inputs_of(const std::string& function, int number) {
  return map_of([&](flexbuffers::Builder& b) {
    if (function == "add") {
      b.Int("a", number);
      b.Int("b", 1);
    } else {
      b.String("text", "words of " + std::to_string(number));
    }
  });
}

void expect_outputs(const std::string& function, int number, const slotring::Value& outputs) {
  const flexbuffers::Map map = flexbuffers::GetRoot(outputs).AsMap();
  if (function == "add") {
    expect(map.size() == 1 && map["sum"].AsInt64() == number + 1, "add gave a wrong sum");
  } else if (function == "split") {
    const flexbuffers::Vector words = map["words"].AsVector();
    expect(map.size() == 2 && map["count"].AsInt64() == 3 && words.size() == 3 &&
               words[2].AsString().str() == std::to_string(number),
           "split gave wrong words");
  } else {
    expect(
        map.size() == 1 && map["answer"].AsString().str() == "WORDS OF " + std::to_string(number),
        "shout gave a wrong answer");
  }
}

}  // namespace programs_demo
