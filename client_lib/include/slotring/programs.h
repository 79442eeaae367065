// Programs by name, in a pool that serves slotring.programs: the commands of docs/programs.md,
// typed.
//
//     Programs programs(client, "user-42");                   // of a session; without, global ones
//     programs.create_program({.name = "shout",
//                              .type = "python",
//                              .signature = {{"text: str"}, {"answer: str"}},
//                              .options = options}).value();  // {"callable": "module:function"}
//     Execution done = programs.execute_program("shout", inputs).value();
//     flexbuffers::GetRoot(done.outputs).AsMap()["answer"]
//
// Errors of all commands: those of Client::call() and Session::call(); BAD_FRAME for a reply that
// is not of the documented shape. What a command adds is said with it. Each can be repeated, so
// CallOptions::idempotent is safe with all of them but execute_program(), where it depends on the
// program, and shutdown().
//
// As thread-safe as the Client, which outlives it. Who uses it links FlatBuffers' own library, too
// (flatbuffers::flatbuffers), as for reading values.

#ifndef SLOTRING_PROGRAMS_H_
#define SLOTRING_PROGRAMS_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "slotring/broadcast.h"
#include "slotring/client.h"
#include "slotring/lease.h"
#include "slotring/result.h"

namespace slotring {

// A finished FlexBuffers buffer: what flexbuffers::Builder::GetBuffer() returns and
// flexbuffers::GetRoot() reads.
using Value = std::vector<std::uint8_t>;

enum class ProgramScope : std::uint8_t { kSession, kGlobal };

// Fields in their order, each "name: type"; docs/programs.md has the types.
struct ProgramSignature {
  std::vector<std::string> inputs = {};
  std::vector<std::string> outputs = {};
  std::string instructions = {};
  bool operator==(const ProgramSignature&) const = default;
};

struct ProgramDefinition {
  std::string name = {};
  std::string type = {};  // "python", "sklearn", "dspy", or one of the user's
  ProgramSignature signature = {};
  Value options = {};  // a map, of the type's; none when empty
  std::string description = {};
};

struct ProgramSummary {
  std::string name;
  std::string type;
  ProgramScope scope = ProgramScope::kSession;
  std::string signature;  // "text: str -> answer: str"
};

// Of the worker that was asked, since it started.
struct ProgramFigures {
  std::uint64_t executions = 0;
  std::uint64_t failures = 0;
  std::chrono::nanoseconds mean_execution_time{0};
};

struct ProgramInfo {
  ProgramDefinition definition;
  ProgramScope scope = ProgramScope::kSession;
  std::chrono::system_clock::time_point created_at;
  bool built = false;  // whether the worker that was asked has made it
  ProgramFigures figures;
};

struct Execution {
  Value outputs;  // a map
  ProgramScope scope = ProgramScope::kSession;
  std::chrono::nanoseconds execution_time{0};
};

struct LanguageModelOptions {
  std::string model = {};  // as DSPy names it: "openai/gpt-4o-mini"
  std::string api_base = {};
  std::string api_key = {};      // is kept in the pool's memory; what api_key_env names is not
  std::string api_key_env = {};  // the variable of the workers' environment that holds it
  std::string model_type = {};
  std::optional<double> temperature = {};
  std::optional<std::int64_t> max_tokens = {};
  std::optional<std::int64_t> num_retries = {};
  bool cache = true;
  Value options = {};  // a map: further keyword arguments of dspy.LM
};

struct ProgramStatistics {
  std::uint64_t session_programs = 0;
  std::uint64_t global_programs = 0;
  std::uint64_t built = 0;
  ProgramFigures figures;
  std::chrono::nanoseconds uptime{0};
  bool dspy_available = false;
  std::string model;  // of the last configure_lm, empty before one
  bool model_applied = false;
  std::string not_applied_because;
};

struct SessionCounts {
  std::uint64_t programs = 0;
  std::uint64_t data = 0;
};

struct ProgramsPing {
  std::uint32_t worker = 0;
  std::int64_t pid = 0;
  bool dspy_available = false;
};

class Programs {
 public:
  // Commands in the session of this name; in none when it is empty.
  explicit Programs(Client& client, std::string_view session = {})
      : client_(client), session_(session) {}

  // Whether it is new: the same definition once more changes nothing. Errors: INVALID_ARGUMENT,
  // ALREADY_EXISTS (with another definition, unless `replace`), DEPENDENCY_MISSING, PROGRAM_FAILED
  // (the user's code raised when the program was made).
  Result<bool> create_program(const ProgramDefinition& definition, bool replace = false,
                              const CallOptions& options = {});
  // `inputs` is a map; none when empty. Errors: PROGRAM_NOT_FOUND, INVALID_ARGUMENT (the inputs are
  // not those of the signature), PROGRAM_FAILED (with Python type and traceback),
  // DEPENDENCY_MISSING.
  Result<Execution> execute_program(std::string_view name, const Value& inputs,
                                    const CallOptions& options = {});
  // Those of the session first; of both scopes without one.
  Result<std::vector<ProgramSummary>> list_programs(std::optional<ProgramScope> scope = {},
                                                    const CallOptions& options = {});
  // Whether it was there. Errors: PROGRAM_NOT_FOUND, unless `missing_ok`.
  Result<bool> delete_program(std::string_view name, bool missing_ok = false,
                              const CallOptions& options = {});
  // Errors: PROGRAM_NOT_FOUND.
  Result<ProgramInfo> get_program_info(std::string_view name, const CallOptions& options = {});
  Result<ProgramStatistics> get_stats(const CallOptions& options = {});
  Result<ProgramsPing> ping(const CallOptions& options = {});
  // How many made programs one worker has dropped; they are made again when executed.
  Result<std::uint64_t> cleanup(const CallOptions& options = {});

  // Of the session, which there has to be. Errors: INVALID_ARGUMENT.
  Result<SessionCounts> reset_state(const CallOptions& options = {});
  Result<SessionCounts> cleanup_session(const CallOptions& options = {});
  // A map of all data, or of these keys. Errors: INVALID_ARGUMENT when one is not there.
  Result<Value> get_session_data(const std::vector<std::string>& keys = {},
                                 const CallOptions& options = {});
  // Sets the keys of the map `data`, then removes others. How many there are then.
  Result<std::uint64_t> update_session_data(const Value& data,
                                            const std::vector<std::string>& remove = {},
                                            const CallOptions& options = {});

  // Ends one worker after its reply, which has its pid; the supervisor starts another.
  Result<std::int64_t> shutdown(const CallOptions& options = {});

  // To every worker, and each later one. Errors: those of Client::broadcast(); what a worker says
  // is in the report.
  Result<BroadcastReport> configure_lm(const LanguageModelOptions& model,
                                       std::chrono::nanoseconds timeout = kDefaultTimeout);
  Result<BroadcastReport> create_global_program(const ProgramDefinition& definition,
                                                bool replace = false,
                                                std::chrono::nanoseconds timeout = kDefaultTimeout);
  Result<BroadcastReport> delete_global_program(std::string_view name,
                                                std::chrono::nanoseconds timeout = kDefaultTimeout);

 private:
  Result<Value> call(std::string_view command, const Value& request, CallOptions options);

  Client& client_;
  std::string session_;
};

}  // namespace slotring

#endif  // SLOTRING_PROGRAMS_H_
