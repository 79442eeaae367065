// The tools that a client has, by name, and how one is called.

#ifndef SLOTRING_CLIENT_LIB_TOOL_TABLE_H_
#define SLOTRING_CLIENT_LIB_TOOL_TABLE_H_

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "slotring/tools.h"

namespace slotring::internal {

// Never changed once it is in use.
class ToolTable {
 public:
  // False: there is one of that name.
  [[nodiscard]] bool try_add(std::string_view name, Tool tool) {
    return tools_.try_emplace(std::string(name), std::move(tool)).second;
  }
  // Null for none.
  const Tool* find(std::string_view name) const {
    const auto at = tools_.find(name);
    return at == tools_.end() ? nullptr : &at->second;
  }
  // "a, b"
  std::string names() const;

 private:
  std::map<std::string, Tool, std::less<>> tools_;
};

// What it throws is an error: that of an Exception, HANDLER_RAISED for all else.
Result<ToolReply> call_tool(const Tool& tool, const ToolCall& call);

}  // namespace slotring::internal

#endif  // SLOTRING_CLIENT_LIB_TOOL_TABLE_H_
