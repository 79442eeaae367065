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
    {ErrorCode::kBroadcastOnly, "BROADCAST_ONLY"},
    {ErrorCode::kAlreadyExists, "ALREADY_EXISTS"},
    {ErrorCode::kStreamRequired, "STREAM_REQUIRED"},
    {ErrorCode::kTableInvalid, "TABLE_INVALID"},
    {ErrorCode::kMethodNotFound, "METHOD_NOT_FOUND"},
    {ErrorCode::kPoolNotFound, "POOL_NOT_FOUND"},
    {ErrorCode::kSessionNotFound, "SESSION_NOT_FOUND"},
    {ErrorCode::kProgramNotFound, "PROGRAM_NOT_FOUND"},
    {ErrorCode::kToolNotFound, "TOOL_NOT_FOUND"},
    {ErrorCode::kHandlerRaised, "HANDLER_RAISED"},
    {ErrorCode::kReplyNotConvertible, "REPLY_NOT_CONVERTIBLE"},
    {ErrorCode::kViewEscaped, "VIEW_ESCAPED"},
    {ErrorCode::kPoolSaturated, "POOL_SATURATED"},
    {ErrorCode::kOutOfMemory, "OUT_OF_MEMORY"},
    {ErrorCode::kTooManyClients, "TOO_MANY_CLIENTS"},
    {ErrorCode::kSystemLimit, "SYSTEM_LIMIT"},
    {ErrorCode::kSessionLimit, "SESSION_LIMIT"},
    {ErrorCode::kDeadlineExceeded, "DEADLINE_EXCEEDED"},
    {ErrorCode::kCancelled, "CANCELLED"},
    {ErrorCode::kWorkerLost, "WORKER_LOST"},
    {ErrorCode::kWorkerUnavailable, "WORKER_UNAVAILABLE"},
    {ErrorCode::kPoolDraining, "POOL_DRAINING"},
    {ErrorCode::kCircuitOpen, "CIRCUIT_OPEN"},
    {ErrorCode::kBadFrame, "BAD_FRAME"},
    {ErrorCode::kBadSegment, "BAD_SEGMENT"},
    {ErrorCode::kVersionMismatch, "VERSION_MISMATCH"},
    {ErrorCode::kRefused, "REFUSED"},
    {ErrorCode::kInternal, "INTERNAL"},
    {ErrorCode::kProgramFailed, "PROGRAM_FAILED"},
    {ErrorCode::kDependencyMissing, "DEPENDENCY_MISSING"},
    {ErrorCode::kSessionLost, "SESSION_LOST"},
    {ErrorCode::kSessionBusy, "SESSION_BUSY"},
    {ErrorCode::kSessionConflict, "SESSION_CONFLICT"},
    {ErrorCode::kSessionStateInvalid, "SESSION_STATE_INVALID"},
    {ErrorCode::kSessionStoreFailed, "SESSION_STORE_FAILED"},
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
    case ErrorCategory::kProgram:
      return "program";
    case ErrorCategory::kDependency:
      return "dependency";
    case ErrorCategory::kSession:
      return "session";
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
