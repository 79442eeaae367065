#include "client_work.h"

#include <chrono>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <flatbuffers/flexbuffers.h>
#include <slotring/client.h>
#include <slotring/programs.h>

#include "demo_programs.h"

namespace programs_demo {

namespace {

using slotring::Error;
using slotring::ErrorCategory;
using slotring::ErrorCode;
using slotring::Programs;
using slotring::Result;
using slotring::Value;

flexbuffers::Map read(const Value& value) { return flexbuffers::GetRoot(value).AsMap(); }

// One session, as its client sees it. Every command is repeated until it is answered: a killed
// worker, a full pool, or a conflict with an attempt that still ran is no answer.
class SessionWork {
 public:
  SessionWork(slotring::Client& client, Ledger& ledger, std::string name)
      : programs_(client, name), ledger_(ledger), truth_(ledger.sessions[name]) {}

  void step(std::mt19937_64& random);
  void check_all();

 private:
  template <class T>
  Result<T> answer(const char* command, const std::function<Result<T>()>& attempt);
  template <class T>
  T result(const char* command, const std::function<Result<T>()>& attempt);
  template <class T>
  Error refusal(const char* command, ErrorCode code, const std::function<Result<T>()>& attempt);

  void create(std::mt19937_64& random);
  void execute(const std::string& name, const std::string& function, int number);
  void erase(const std::string& name);
  void list();
  void info(const std::string& name, const std::string& function);
  void count_up();
  void read_data();
  void ask_for_what_is_not_there();
  void ask_for_what_fails();

  Programs programs_;
  Ledger& ledger_;
  SessionTruth& truth_;
  bool repeated_ = false;  // whether the last command took more than one attempt
};

template <class T>
Result<T> SessionWork::answer(const char* command, const std::function<Result<T>()>& attempt) {
  const auto give_up = std::chrono::steady_clock::now() + kPatience;
  repeated_ = false;
  while (true) {
    Result<T> result = attempt();
    const ErrorCategory category = result ? ErrorCategory::kNone : result.error().category();
    ++ledger_.calls[command][static_cast<std::size_t>(category)];
    const bool answered =
        result || (!result.error().retryable && category != ErrorCategory::kWorker &&
                   category != ErrorCategory::kResource);
    if (answered) return result;
    expect(std::chrono::steady_clock::now() < give_up,
           std::string(command) + " got no answer: " + result.error().to_string());
    repeated_ = true;
    std::this_thread::yield();
  }
}

template <class T>
T SessionWork::result(const char* command, const std::function<Result<T>()>& attempt) {
  Result<T> result = answer<T>(command, attempt);
  expect(result.ok(),
         std::string(command) + " failed: " + (result ? "" : result.error().to_string()));
  return *std::move(result);
}

template <class T>
Error SessionWork::refusal(const char* command, ErrorCode code,
                           const std::function<Result<T>()>& attempt) {
  Result<T> result = answer<T>(command, attempt);
  expect(!result.ok(), std::string(command) + " succeeded where it had to be refused");
  expect(result.error().code == code && !result.error().message.empty(),
         std::string(command) + " ended with another error: " + result.error().to_string());
  return std::move(result).error();
}

void SessionWork::create(std::mt19937_64& random) {
  const char* functions[] = {"add", "shout", "split"};
  const std::string function = functions[random() % 3];
  const std::string name = "program-" + std::to_string(random() % 12);
  const auto known = truth_.programs.find(name);
  if (known != truth_.programs.end() && known->second != function) {
    refusal<bool>("create_program", ErrorCode::kAlreadyExists,
                  [&] { return programs_.create_program(definition_of(name, function)); });
    return;
  }
  const bool created = result<bool>(
      "create_program", [&] { return programs_.create_program(definition_of(name, function)); });
  // An attempt whose worker was killed may have stored it.
  expect(created == (known == truth_.programs.end()) || (repeated_ && !created),
         "create_program took a program for another");
  truth_.programs[name] = function;
}

void SessionWork::execute(const std::string& name, const std::string& function, int number) {
  const slotring::Execution done = result<slotring::Execution>("execute_program", [&] {
    return programs_.execute_program(name, inputs_of(function, number));
  });
  expect_outputs(function, number, done.outputs);
  expect(done.scope == slotring::ProgramScope::kSession, "execute_program took a global program");
  expect(done.execution_time >= std::chrono::nanoseconds(0) && done.execution_time < kPatience,
         "execution_time is no duration");
}

void SessionWork::erase(const std::string& name) {
  const bool deleted = result<bool>(
      "delete_program", [&] { return programs_.delete_program(name, /*missing_ok=*/true); });
  expect(deleted || repeated_, "delete_program did not find " + name);
  truth_.programs.erase(name);
}

void SessionWork::list() {
  using Summaries = std::vector<slotring::ProgramSummary>;
  const Summaries listed = result<Summaries>(
      "list_programs", [&] { return programs_.list_programs(slotring::ProgramScope::kSession); });
  std::map<std::string, std::string> found;
  for (const slotring::ProgramSummary& program : listed) {
    expect(program.type == "python" && program.scope == slotring::ProgramScope::kSession &&
               program.signature.find(" -> ") != std::string::npos,
           "list_programs tells a program that nobody created");
    found[program.name] = program.signature;
  }
  for (const auto& [name, function] : truth_.programs) {
    expect(found.erase(name) == 1, "the acknowledged program " + name + " is lost");
  }
  expect(found.empty(), "list_programs lists a deleted program");
}

void SessionWork::info(const std::string& name, const std::string& function) {
  const slotring::ProgramInfo info = result<slotring::ProgramInfo>(
      "get_program_info", [&] { return programs_.get_program_info(name); });
  const slotring::ProgramDefinition wanted = definition_of(name, function);
  expect(
      info.definition.name == name && info.definition.type == "python" &&
          info.definition.signature == wanted.signature &&
          read(info.definition.options)["callable"].AsString().str() == "demo_programs:" + function,
      "get_program_info tells another definition of " + name);
}

void SessionWork::count_up() {
  const std::int64_t next = truth_.counter + 1;
  const std::uint64_t keys = result<std::uint64_t>("update_session_data", [&] {
    return programs_.update_session_data(
        map_of([&](flexbuffers::Builder& b) { b.Int("counter", next); }), {"no such key"});
  });
  expect(keys == 1, "update_session_data counts wrongly");
  truth_.counter = next;
}

void SessionWork::read_data() {
  const Value data =
      result<Value>("get_session_data", [&] { return programs_.get_session_data(); });
  const flexbuffers::Map map = read(data);
  expect(map.size() == (truth_.counter == 0 ? 0U : 1U) &&
             (truth_.counter == 0 || map["counter"].AsInt64() == truth_.counter),
         "the session's data are not what was acknowledged");
}

void SessionWork::ask_for_what_is_not_there() {
  const std::string name = "nobody created this";
  refusal<slotring::Execution>("execute_program", ErrorCode::kProgramNotFound,
                               [&] { return programs_.execute_program(name, {}); });
  refusal<bool>("delete_program", ErrorCode::kProgramNotFound,
                [&] { return programs_.delete_program(name); });
  refusal<slotring::ProgramInfo>("get_program_info", ErrorCode::kProgramNotFound,
                                 [&] { return programs_.get_program_info(name); });
  refusal<Value>("get_session_data", ErrorCode::kInvalidArgument,
                 [&] { return programs_.get_session_data({"no such key"}); });
}

void SessionWork::ask_for_what_fails() {
  slotring::ProgramDefinition wrong = definition_of("wrong", "shout");
  wrong.signature.inputs = {"class: str"};
  refusal<bool>("create_program", ErrorCode::kInvalidArgument,
                [&] { return programs_.create_program(wrong); });

  for (const char* function : {"fail", "lie"}) {
    result<bool>("create_program",
                 [&] { return programs_.create_program(definition_of(function, function)); });
    const Error error = refusal<slotring::Execution>(
        "execute_program", ErrorCode::kProgramFailed,
        [&] { return programs_.execute_program(function, inputs_of(function, 1)); });
    const bool raised = function == std::string("fail");
    expect(!raised || (error.python_type == "LookupError" &&
                       error.traceback.find("demo_programs.py") != std::string::npos),
           "a program's failure has lost its type or its traceback");
    refusal<slotring::Execution>("execute_program", ErrorCode::kInvalidArgument, [&] {
      return programs_.execute_program(function, inputs_of("add", 1));
    });
    result<bool>("delete_program", [&] { return programs_.delete_program(function, true); });
  }
}

void SessionWork::step(std::mt19937_64& random) {
  const std::uint64_t what = random() % 12;
  if (what <= 2 || truth_.programs.empty()) return create(random);
  auto program = truth_.programs.begin();
  std::advance(program, static_cast<std::ptrdiff_t>(random() % truth_.programs.size()));
  const auto [name, function] = *program;
  if (what <= 5) return execute(name, function, static_cast<int>(random() % 1000));
  if (what == 6) return erase(name);
  if (what == 7) return list();
  if (what == 8) return info(name, function);
  if (what == 9) return count_up();
  if (what == 10) return read_data();
  return random() % 2 == 0 ? ask_for_what_is_not_there() : ask_for_what_fails();
}

void SessionWork::check_all() {
  list();
  for (const auto& [name, function] : truth_.programs) {
    info(name, function);
    execute(name, function, 7);
  }
  read_data();
}

}  // namespace

Ledger do_work(const ClientWork& plan, const std::function<void()>& acknowledged) {
  const std::string name = "client-" + std::to_string(plan.number);
  slotring::Client client = slotring::Client::attach(plan.socket, {.name = name}).value();
  Ledger ledger;
  std::vector<SessionWork> sessions;
  sessions.reserve(static_cast<std::size_t>(plan.sessions));
  for (int i = 0; i < plan.sessions; ++i) {
    sessions.emplace_back(client, ledger, name + "-" + std::to_string(i));
  }
  std::mt19937_64 random(plan.seed + static_cast<std::uint64_t>(plan.number));
  for (int step = 0; step < plan.steps; ++step) {
    sessions[random() % sessions.size()].step(random);
    acknowledged();
  }
  for (SessionWork& session : sessions) session.check_all();
  return ledger;
}

void check(const std::string& socket, const Ledger& ledger) {
  slotring::Client client =
      slotring::Client::attach(socket, {.name = "check", .timeout = kPatience}).value();
  Ledger copy = ledger;
  for (const auto& [name, truth] : ledger.sessions) SessionWork(client, copy, name).check_all();
}

}  // namespace programs_demo
