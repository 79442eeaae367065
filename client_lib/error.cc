#include "slotring/error.h"

namespace slotring {
namespace {

struct NamedCode {
  ErrorCode code;
  std::string_view name;
};

constexpr NamedCode kCodes[] = {
    {ErrorCode::kOk, "OK"},
    {ErrorCode::kInvalidArgument, "INVALID_ARGUMENT"},
    {ErrorCode::kPayloadTooLarge, "PAYLOAD_TOO_LARGE"},
    {ErrorCode::kNotAttached, "NOT_ATTACHED"},
    {ErrorCode::kForked, "FORKED"},
    {ErrorCode::kMethodNotFound, "METHOD_NOT_FOUND"},
    {ErrorCode::kPoolNotFound, "POOL_NOT_FOUND"},
    {ErrorCode::kHandlerRaised, "HANDLER_RAISED"},
    {ErrorCode::kReplyNotConvertible, "REPLY_NOT_CONVERTIBLE"},
    {ErrorCode::kViewEscaped, "VIEW_ESCAPED"},
    {ErrorCode::kPoolSaturated, "POOL_SATURATED"},
    {ErrorCode::kOutOfMemory, "OUT_OF_MEMORY"},
    {ErrorCode::kTooManyClients, "TOO_MANY_CLIENTS"},
    {ErrorCode::kSystemLimit, "SYSTEM_LIMIT"},
    {ErrorCode::kDeadlineExceeded, "DEADLINE_EXCEEDED"},
    {ErrorCode::kCancelled, "CANCELLED"},
    {ErrorCode::kWorkerLost, "WORKER_LOST"},
    {ErrorCode::kWorkerUnavailable, "WORKER_UNAVAILABLE"},
    {ErrorCode::kPoolDraining, "POOL_DRAINING"},
    {ErrorCode::kBadFrame, "BAD_FRAME"},
    {ErrorCode::kBadSegment, "BAD_SEGMENT"},
    {ErrorCode::kVersionMismatch, "VERSION_MISMATCH"},
    {ErrorCode::kRefused, "REFUSED"},
    {ErrorCode::kInternal, "INTERNAL"},
};

}  // namespace

std::string_view to_string(ErrorCode code) {
  for (const NamedCode& named : kCodes) {
    if (named.code == code) return named.name;
  }
  return "UNKNOWN";
}

std::string_view to_string(ErrorCategory category) {
  switch (category) {
    case ErrorCategory::kNone:
      return "none";
    case ErrorCategory::kInvalid:
      return "invalid";
    case ErrorCategory::kNotFound:
      return "not_found";
    case ErrorCategory::kHandler:
      return "handler";
    case ErrorCategory::kResource:
      return "resource";
    case ErrorCategory::kTimeout:
      return "timeout";
    case ErrorCategory::kWorker:
      return "worker";
    case ErrorCategory::kProtocol:
      return "protocol";
    case ErrorCategory::kInternal:
      return "internal";
  }
  return "unknown";
}

std::string Error::to_string() const {
  std::string text(slotring::to_string(code));
  text += ": ";
  if (!python_type.empty()) text += python_type + ": ";
  return text + message;
}

Exception::Exception(Error error)
    : std::runtime_error(error.to_string()), error_(std::move(error)) {}

}  // namespace slotring
