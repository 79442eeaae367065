// slotring sessions: which sessions a pool has, and the end of one.

#include <time.h>

#include <algorithm>
#include <iostream>
#include <memory>

#include "client_lib/session_list.h"
#include "tools/cli/command.h"
#include "tools/cli/observer.h"
#include "tools/cli/pool_choice.h"
#include "tools/terminal/text_table.h"

namespace slotring::cli {

namespace {

using nlohmann::json;
using terminal::Align;

struct SessionsOptions {
  std::string pool;
  std::string end;
  double timeout_s = 30;
  bool as_json = false;
};

// "2026-01-31T12:00:00Z"
std::string time_text(std::chrono::system_clock::time_point when) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(when);
  tm fields{};
  char text[32];
  if (::gmtime_r(&seconds, &fields) == nullptr) return "?";
  return {text, std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &fields)};
}

json session_json(const SessionInfo& session) {
  return {{"name", session.name},
          {"worker", session.worker ? json(*session.worker) : json(nullptr)},
          {"has_state", session.has_state},
          {"created", time_text(session.created)},
          {"unused_for_s", static_cast<double>(session.unused_for.count()) / 1e9},
          {"calls", session.calls},
          {"errors", session.errors}};
}

std::string session_table(const std::vector<SessionInfo>& sessions) {
  terminal::TextTable table({{"SESSION"},
                             {"WORKER", Align::kRight},
                             {"STATE"},
                             {"CREATED"},
                             {"UNUSED FOR", Align::kRight},
                             {"CALLS", Align::kRight},
                             {"ERRORS", Align::kRight}});
  for (const SessionInfo& session : sessions) {
    table.add_row({terminal::printable(session.name),
                   session.worker ? std::to_string(*session.worker) : "-",
                   session.has_state ? "in the worker" : "-", time_text(session.created),
                   terminal::duration_text(session.unused_for), std::to_string(session.calls),
                   std::to_string(session.errors)});
  }
  return table.to_string();
}

int list(const SessionsOptions& options, const std::string& pool) {
  const shm::Attachment joined = observe_pool(pool, "slotring sessions").value();
  std::vector<SessionInfo> sessions = internal::list_sessions(*joined.segment);
  std::sort(sessions.begin(), sessions.end(),
            [](const SessionInfo& a, const SessionInfo& b) { return a.name < b.name; });
  if (!options.as_json) {
    std::cout << session_table(sessions);
    return 0;
  }
  json shown = json::array();
  for (const SessionInfo& session : sessions) shown.push_back(session_json(session));
  std::cout << json_text({{"pool", joined.pool},
                          {"max_sessions", joined.segment->geometry().max_sessions},
                          {"sessions", std::move(shown)}})
            << "\n";
  return 0;
}

int end(const SessionsOptions& options, const std::string& pool) {
  Client client = Client::attach(pool, {.name = "slotring sessions"}).value();
  Session session = client.session(options.end);
  (void)session.end({.timeout = timeout_of(options.timeout_s)}).value();
  if (options.as_json) {
    std::cout << json_text({{"ended", options.end}}) << "\n";
  } else {
    std::cout << "ended session " << terminal::printable(options.end) << "\n";
  }
  return 0;
}

int sessions(const SessionsOptions& options) {
  const std::string pool = resolve_pool(options.pool).value();
  return options.end.empty() ? list(options, pool) : end(options, pool);
}

}  // namespace

void add_sessions(CLI::App& root, Work& chosen) {
  const auto options = std::make_shared<SessionsOptions>();
  CLI::App* command = root.add_subcommand("sessions", "List a pool's sessions, or end one");
  add_pool_option(*command, options->pool, AlsoPositional::kYes);
  command->add_option("--end", options->end, "End this session: its end hooks run")
      ->type_name("NAME");
  add_seconds_option(*command, "--timeout", options->timeout_s,
                     "For --end, in seconds: it waits for the session's worker; 0 is none");
  command->add_flag("--json", options->as_json, "As JSON");
  command->footer(
      "The list is read from the pool's shared memory; nothing is asked of the workers.\n\n"
      "Examples:\n"
      "  slotring sessions shop\n"
      "  slotring sessions shop --end user-42\n\n" +
      std::string(exit_code_help()) + "\n");
  command->callback([options, &chosen] { chosen = [options] { return sessions(*options); }; });
}

}  // namespace slotring::cli
