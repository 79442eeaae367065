// What can go wrong, as a value. The same codes travel in frames (schemas/frame.fbs) and reach
// Python.

#ifndef SLOTRING_ERROR_H_
#define SLOTRING_ERROR_H_

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace slotring {

// Who is to blame, which decides what a caller can do about it.
enum class ErrorCategory : std::uint8_t {
  kNone = 0,
  kInvalid = 1,      // validation: the caller's input; mend it
  kNotFound = 2,     // no such method or pool
  kHandler = 3,      // the Python handler raised
  kResource = 4,     // saturated, or out of memory: try later
  kTimeout = 5,      // a deadline passed, or the call was cancelled
  kWorker = 6,       // the worker died, hung, or is not there
  kProtocol = 7,     // a frame or a segment that no correct peer writes
  kInternal = 8,     // a defect of Slotring
  kProgram = 9,      // a program failed in its own terms (slotring.programs)
  kDependency = 10,  // a Python package that the call needs is not there
  kSession = 11,     // the session's state is lost, elsewhere, or cannot be kept
};

// The hundreds digit is the category.
enum class ErrorCode : std::uint16_t {
  kOk = 0,
  kInvalidArgument = 100,
  kPayloadTooLarge = 101,
  kNotAttached = 102,
  kForked = 103,
  kBroadcastOnly = 104,
  kAlreadyExists = 105,
  kStreamRequired = 106,
  kTableInvalid = 107,
  kMethodNotFound = 200,
  kPoolNotFound = 201,
  kSessionNotFound = 202,
  kProgramNotFound = 203,
  kToolNotFound = 204,
  kHandlerRaised = 300,
  kReplyNotConvertible = 301,
  kViewEscaped = 302,
  kPoolSaturated = 400,
  kOutOfMemory = 401,
  kTooManyClients = 402,
  kSystemLimit = 403,
  kSessionLimit = 404,
  kDeadlineExceeded = 500,
  kCancelled = 501,
  kWorkerLost = 600,
  kWorkerUnavailable = 601,
  kPoolDraining = 602,
  kCircuitOpen = 603,
  kBadFrame = 700,
  kBadSegment = 701,
  kVersionMismatch = 702,
  kRefused = 703,
  kInternal = 800,
  kProgramFailed = 900,
  kDependencyMissing = 1000,
  kSessionLost = 1100,
  kSessionBusy = 1101,
  kSessionConflict = 1102,
  kSessionStateInvalid = 1103,
  kSessionStoreFailed = 1104,
};

constexpr ErrorCategory category_of(ErrorCode code) {
  return static_cast<ErrorCategory>(static_cast<std::uint16_t>(code) / 100);
}

// The name of a code in capitals, e.g. "POOL_SATURATED"; "UNKNOWN" for a number that is none.
std::string_view to_string(ErrorCode code);
// The name of a category in lower case, e.g. "resource".
std::string_view to_string(ErrorCategory category);

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message = {};
  // The qualified name of the Python exception and its traceback, when the handler raised.
  std::string python_type = {};
  std::string traceback = {};
  // Whether the same call, sent again, may succeed and cannot have run before.
  bool retryable = false;

  ErrorCategory category() const { return category_of(code); }
  // "HANDLER_RAISED: ValueError: no such digit"
  std::string to_string() const;
};

// Thrown by Result<T>::value(); the form that C++ users of exceptions expect.
class Exception : public std::runtime_error {
 public:
  explicit Exception(Error error);
  const Error& error() const { return error_; }

 private:
  Error error_;
};

}  // namespace slotring

#endif  // SLOTRING_ERROR_H_
