#include "slotring/programs.h"

#include <functional>
#include <span>

#include "client_lib/shm/value.h"
#include "client_lib/value_reader.h"

namespace slotring {

namespace {

using internal::copy_value;
using internal::MapReader;
using std::chrono::nanoseconds;

// An empty one without `members`.
Value map_of(const std::function<void(flexbuffers::Builder&)>& members) {
  flexbuffers::Builder builder;
  builder.Map([&] {
    if (members) members(builder);
  });
  builder.Finish();
  return builder.GetBuffer();
}

// What a caller gave for a map, which may be nothing. Errors: INVALID_ARGUMENT.
Status add_map(flexbuffers::Builder& builder, const char* key, const Value& value) {
  if (value.empty()) return Done{};
  const Result<Value> verified = shm::copy_verified_value(std::as_bytes(std::span(value)));
  if (!verified || !flexbuffers::GetRoot(*verified).IsMap()) {
    return Error{ErrorCode::kInvalidArgument,
                 "the '" + std::string(key) + "' are no finished FlexBuffers buffer with a map"};
  }
  builder.Key(key);
  copy_value(flexbuffers::GetRoot(*verified), builder);
  return Done{};
}

void add_texts(flexbuffers::Builder& builder, const char* key,
               const std::vector<std::string>& texts) {
  builder.Vector(key, [&] {
    for (const std::string& text : texts) builder.String(text);
  });
}

void add_text(flexbuffers::Builder& builder, const char* key, const std::string& text) {
  if (!text.empty()) builder.String(key, text);
}

const char* text_of(ProgramScope scope) {
  return scope == ProgramScope::kGlobal ? "global" : "session";
}

Result<Value> request_of(const ProgramDefinition& definition, ProgramScope scope, bool replace) {
  Status added = Done{};
  Value request = map_of([&](flexbuffers::Builder& builder) {
    builder.String("name", definition.name);
    builder.String("type", definition.type);
    builder.Map("signature", [&] {
      add_texts(builder, "inputs", definition.signature.inputs);
      add_texts(builder, "outputs", definition.signature.outputs);
      builder.String("instructions", definition.signature.instructions);
    });
    added = add_map(builder, "options", definition.options);
    builder.String("description", definition.description);
    builder.String("scope", text_of(scope));
    builder.Bool("replace", replace);
  });
  if (!added) return std::move(added).error();
  return request;
}

Value name_of(std::string_view name) {
  return map_of([&](flexbuffers::Builder& b) { b.String("name", std::string(name)); });
}

ProgramScope scope_of(MapReader& reply) {
  const std::string scope = reply.text("scope");
  if (scope != "session" && scope != "global") reply.note("scope", "'session' or 'global'");
  return scope == "global" ? ProgramScope::kGlobal : ProgramScope::kSession;
}

nanoseconds seconds_of(MapReader& reply, const char* key) {
  return std::chrono::duration_cast<nanoseconds>(std::chrono::duration<double>(reply.number(key)));
}

ProgramFigures figures_of(MapReader& reply) {
  ProgramFigures figures;
  figures.executions = reply.count("executions");
  figures.failures = reply.count("failures");
  figures.mean_execution_time = seconds_of(reply, "mean_execution_time");
  return figures;
}

// What was read, unless the reply was not of the shape that was read.
template <class T>
Result<T> checked(T read, std::initializer_list<const MapReader*> readers) {
  for (const MapReader* reader : readers) {
    if (Status status = reader->status(); !status) return std::move(status).error();
  }
  return read;
}

Result<SessionCounts> counts_of(std::string_view command, const Result<Value>& value) {
  if (!value) return value.error();
  MapReader reply(command, *value);
  SessionCounts counts{reply.count("programs"), reply.count("data")};
  return checked(counts, {&reply});
}

std::string key_of(std::string_view name) { return "program/" + std::string(name); }

}  // namespace

Result<Value> Programs::call(std::string_view command, const Value& request, CallOptions options) {
  if (!session_.empty()) options.session = session_;
  const Result<Reply> reply = client_.call(command, Payload::value(request), options);
  if (!reply) return reply.error();
  return reply->value();
}

Result<bool> Programs::create_program(const ProgramDefinition& definition, bool replace,
                                      const CallOptions& options) {
  const Result<Value> request = request_of(definition, ProgramScope::kSession, replace);
  if (!request) return request.error();
  const Result<Value> value = call("create_program", *request, options);
  if (!value) return value.error();
  MapReader reply("create_program", *value);
  return checked(reply.truth("created"), {&reply});
}

Result<Execution> Programs::execute_program(std::string_view name, const Value& inputs,
                                            const CallOptions& options) {
  Status added = Done{};
  const Value request = map_of([&](flexbuffers::Builder& builder) {
    builder.String("name", std::string(name));
    added = add_map(builder, "inputs", inputs);
  });
  if (!added) return std::move(added).error();
  const Result<Value> value = call("execute_program", request, options);
  if (!value) return value.error();
  MapReader reply("execute_program", *value);
  Execution execution;
  execution.outputs = copy_value(reply.map("outputs"));
  execution.scope = scope_of(reply);
  execution.execution_time = seconds_of(reply, "execution_time");
  return checked(std::move(execution), {&reply});
}

Result<std::vector<ProgramSummary>> Programs::list_programs(std::optional<ProgramScope> scope,
                                                            const CallOptions& options) {
  const Value request = map_of([&](flexbuffers::Builder& builder) {
    if (scope) builder.String("scope", text_of(*scope));
  });
  const Result<Value> value = call("list_programs", request, options);
  if (!value) return value.error();
  MapReader reply("list_programs", *value);
  std::vector<ProgramSummary> programs;
  const flexbuffers::Vector listed = reply.list("programs");
  for (std::size_t i = 0; i < listed.size(); ++i) {
    MapReader program = reply.element(listed, i);
    ProgramSummary summary;
    summary.name = program.text("name");
    summary.type = program.text("type");
    summary.scope = scope_of(program);
    summary.signature = program.text("signature");
    if (Status status = program.status(); !status) return std::move(status).error();
    programs.push_back(std::move(summary));
  }
  if (reply.count("count") != programs.size()) reply.note("count", "the number of programs");
  return checked(std::move(programs), {&reply});
}

Result<bool> Programs::delete_program(std::string_view name, bool missing_ok,
                                      const CallOptions& options) {
  const Value request = map_of([&](flexbuffers::Builder& builder) {
    builder.String("name", std::string(name));
    builder.Bool("missing_ok", missing_ok);
  });
  const Result<Value> value = call("delete_program", request, options);
  if (!value) return value.error();
  MapReader reply("delete_program", *value);
  return checked(reply.truth("deleted"), {&reply});
}

Result<ProgramInfo> Programs::get_program_info(std::string_view name, const CallOptions& options) {
  const Result<Value> value = call("get_program_info", name_of(name), options);
  if (!value) return value.error();
  MapReader reply("get_program_info", *value);
  ProgramInfo info;
  info.definition.name = reply.text("name");
  info.definition.type = reply.text("type");
  MapReader signature = reply.inner("signature");
  info.definition.signature = {signature.texts("inputs"), signature.texts("outputs"),
                               signature.text("instructions")};
  info.definition.options = copy_value(reply.map("options"));
  info.definition.description = reply.text("description");
  info.scope = scope_of(reply);
  info.created_at = std::chrono::system_clock::time_point(
      std::chrono::duration_cast<std::chrono::system_clock::duration>(
          seconds_of(reply, "created_at")));
  info.built = reply.truth("built");
  info.figures = figures_of(reply);
  return checked(std::move(info), {&reply, &signature});
}

Result<ProgramStatistics> Programs::get_stats(const CallOptions& options) {
  const Result<Value> value = call("get_stats", map_of({}), options);
  if (!value) return value.error();
  MapReader reply("get_stats", *value);
  MapReader programs = reply.inner("programs");
  MapReader model = reply.inner("language_model");
  ProgramStatistics statistics;
  statistics.session_programs = programs.count("session");
  statistics.global_programs = programs.count("global");
  statistics.built = reply.count("built");
  statistics.figures = figures_of(reply);
  statistics.uptime = seconds_of(reply, "uptime_s");
  statistics.dspy_available = reply.truth("dspy_available");
  statistics.model = model.text("model");
  statistics.model_applied = model.truth("applied");
  statistics.not_applied_because = model.text("reason");
  return checked(std::move(statistics), {&reply, &programs, &model});
}

Result<ProgramsPing> Programs::ping(const CallOptions& options) {
  const Result<Value> value = call("ping", map_of({}), options);
  if (!value) return value.error();
  MapReader reply("ping", *value);
  ProgramsPing ping;
  ping.worker = static_cast<std::uint32_t>(reply.count("worker"));
  ping.pid = reply.integer("pid");
  ping.dspy_available = reply.truth("dspy_available");
  return checked(ping, {&reply});
}

Result<std::uint64_t> Programs::cleanup(const CallOptions& options) {
  const Result<Value> value = call("cleanup", map_of({}), options);
  if (!value) return value.error();
  MapReader reply("cleanup", *value);
  return checked(reply.count("dropped"), {&reply});
}

Result<SessionCounts> Programs::reset_state(const CallOptions& options) {
  return counts_of("reset_state", call("reset_state", map_of({}), options));
}

Result<SessionCounts> Programs::cleanup_session(const CallOptions& options) {
  return counts_of("cleanup_session", call("cleanup_session", map_of({}), options));
}

Result<Value> Programs::get_session_data(const std::vector<std::string>& keys,
                                         const CallOptions& options) {
  const Value request =
      map_of([&](flexbuffers::Builder& builder) { add_texts(builder, "keys", keys); });
  const Result<Value> value = call("get_session_data", request, options);
  if (!value) return value.error();
  MapReader reply("get_session_data", *value);
  return checked(copy_value(reply.map("data")), {&reply});
}

Result<std::uint64_t> Programs::update_session_data(const Value& data,
                                                    const std::vector<std::string>& remove,
                                                    const CallOptions& options) {
  Status added = Done{};
  const Value request = map_of([&](flexbuffers::Builder& builder) {
    added = add_map(builder, "data", data);
    add_texts(builder, "remove", remove);
  });
  if (!added) return std::move(added).error();
  const Result<Value> value = call("update_session_data", request, options);
  if (!value) return value.error();
  MapReader reply("update_session_data", *value);
  return checked(reply.count("count"), {&reply});
}

Result<std::int64_t> Programs::shutdown(const CallOptions& options) {
  const Result<Value> value = call("shutdown", map_of({}), options);
  if (!value) return value.error();
  MapReader reply("shutdown", *value);
  return checked(reply.integer("pid"), {&reply});
}

Result<BroadcastReport> Programs::configure_lm(const LanguageModelOptions& model,
                                               nanoseconds timeout) {
  Status added = Done{};
  const Value request = map_of([&](flexbuffers::Builder& builder) {
    builder.String("model", model.model);
    add_text(builder, "api_base", model.api_base);
    add_text(builder, "api_key", model.api_key);
    add_text(builder, "api_key_env", model.api_key_env);
    add_text(builder, "model_type", model.model_type);
    if (model.temperature) builder.Double("temperature", *model.temperature);
    if (model.max_tokens) builder.Int("max_tokens", *model.max_tokens);
    if (model.num_retries) builder.Int("num_retries", *model.num_retries);
    builder.Bool("cache", model.cache);
    added = add_map(builder, "options", model.options);
  });
  if (!added) return std::move(added).error();
  return client_.broadcast("configure_lm", Payload::value(request), {.timeout = timeout});
}

Result<BroadcastReport> Programs::create_global_program(const ProgramDefinition& definition,
                                                        bool replace, nanoseconds timeout) {
  const Result<Value> request = request_of(definition, ProgramScope::kGlobal, replace);
  if (!request) return request.error();
  return client_.broadcast("create_program", Payload::value(*request),
                           {.key = key_of(definition.name), .timeout = timeout});
}

Result<BroadcastReport> Programs::delete_global_program(std::string_view name,
                                                        nanoseconds timeout) {
  const Value request = map_of([&](flexbuffers::Builder& builder) {
    builder.String("name", std::string(name));
    builder.String("scope", "global");
  });
  return client_.broadcast("delete_program", Payload::value(request),
                           {.key = key_of(name), .retract = true, .timeout = timeout});
}

}  // namespace slotring
