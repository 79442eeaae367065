#include "client_lib/tool_table.h"

#include <cxxabi.h>

#include <cstdlib>
#include <exception>
#include <memory>
#include <typeinfo>
#include <utility>

namespace slotring::internal {

namespace {

std::string type_of_current_exception() {
  const std::type_info* type = abi::__cxa_current_exception_type();
  if (type == nullptr) return {};
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> readable(
      abi::__cxa_demangle(type->name(), nullptr, nullptr, &status), std::free);
  return readable ? readable.get() : type->name();
}

Error raised(std::string message) {
  return Error{.code = ErrorCode::kHandlerRaised,
               .message = std::move(message),
               .python_type = type_of_current_exception()};
}

}  // namespace

Result<ToolReply> call_tool(const Tool& tool, const ToolCall& call) {
  try {
    return tool(call);
  } catch (const Exception& exception) {
    return exception.error();
  } catch (const std::exception& exception) {
    return raised(exception.what());
  } catch (const abi::__forced_unwind&) {
    throw;  // the thread is being cancelled
  } catch (...) {
    return raised("the tool threw something that is no std::exception");
  }
}

std::string ToolTable::names() const {
  std::string names;
  for (const auto& [name, tool] : tools_) names += (names.empty() ? "" : ", ") + name;
  return names;
}

}  // namespace slotring::internal
