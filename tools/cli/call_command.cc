// slotring call: one call from the shell.

#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>

#include "tools/cli/command.h"
#include "tools/cli/json_value.h"
#include "tools/cli/pool_choice.h"
#include "tools/cli/worker_report.h"
#include "tools/terminal/text_table.h"

namespace slotring::cli {

namespace {

using nlohmann::json;

struct CallArguments {
  std::string pool;
  std::string method;
  std::optional<std::string> json_argument;
  std::optional<std::string> bytes;
  std::optional<std::string> file;
  std::string session;
  SessionMode session_mode = SessionMode::kPoolDefault;
  double timeout_s = 30;
  bool as_json = false;
  bool raw = false;
  bool broadcast = false;
  bool retract = false;
  std::string key;
};

// What a call carries, with the memory behind it.
struct OwnedPayload {
  std::string bytes;
  std::vector<std::uint8_t> value;
  PayloadKind kind = PayloadKind::kEmpty;

  Payload view() const {
    if (kind == PayloadKind::kEmpty) return {};
    return kind == PayloadKind::kValue ? Payload::value(value) : Payload(std::string_view(bytes));
  }
};

std::string read_all(std::istream& stream) {
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

// A file's bytes; "-" is the standard input.
std::string read_file(const std::string& path) {
  if (path == "-") return read_all(std::cin);
  std::ifstream stream(path, std::ios::binary);
  std::string bytes = read_all(stream);
  if (!stream.is_open() || stream.bad() || (bytes.empty() && stream.peek() != EOF)) {
    throw UsageError("cannot read " + path);
  }
  return bytes;
}

OwnedPayload read_payload(const CallArguments& arguments) {
  OwnedPayload payload;
  if (arguments.bytes || arguments.file) {
    payload.kind = PayloadKind::kBytes;
    payload.bytes = arguments.bytes ? *arguments.bytes : read_file(*arguments.file);
    return payload;
  }
  if (!arguments.json_argument) return payload;
  const std::string& argument = *arguments.json_argument;
  Result<std::vector<std::uint8_t>> value =
      json_to_value(argument == "-" ? read_all(std::cin) : argument);
  if (!value) throw UsageError(value.error().message);
  payload.kind = PayloadKind::kValue;
  payload.value = *std::move(value);
  return payload;
}

void print_bytes(std::string_view bytes) {
  if (terminal::is_text(bytes)) {
    std::cout << bytes << (bytes.ends_with('\n') ? "" : "\n");
    return;
  }
  std::cout << hex_digits(bytes) << "\n";
  std::cerr << "(" << bytes.size() << (bytes.size() == 1 ? " byte that is" : " bytes that are")
            << " no text, in hexadecimal; --raw writes them as they are)\n";
}

json bytes_object(std::string_view bytes) {
  const bool text = terminal::is_text(bytes);
  return {{"ok", true},
          {"kind", "bytes"},
          {"size", bytes.size()},
          {text ? "text" : "hex", text ? std::string(bytes) : hex_digits(bytes)}};
}

void print_reply(const Reply& reply, const CallArguments& arguments) {
  if (arguments.raw) {
    std::cout.write(reply.text().data(), static_cast<std::streamsize>(reply.text().size()));
  } else if (reply.kind() == PayloadKind::kBytes && arguments.as_json) {
    std::cout << json_text(bytes_object(reply.text())) << "\n";
  } else if (reply.kind() == PayloadKind::kBytes) {
    print_bytes(reply.text());
  } else {
    json value = reply_to_json(reply).value();
    if (!arguments.as_json) {
      std::cout << json_text(value) << "\n";
      return;
    }
    const char* kind = reply.kind() == PayloadKind::kValue ? "value" : "empty";
    std::cout << json_text({{"ok", true}, {"kind", kind}, {"value", std::move(value)}}) << "\n";
  }
}

int broadcast(Client& client, const CallArguments& arguments, Payload payload) {
  const BroadcastReport report = client
                                     .broadcast(arguments.method, payload,
                                                {.key = arguments.key,
                                                 .retract = arguments.retract,
                                                 .timeout = timeout_of(arguments.timeout_s)})
                                     .value();
  return print_broadcast(report, arguments.as_json);
}

int run_call(const CallArguments& arguments) {
  const OwnedPayload payload = read_payload(arguments);
  const std::string pool = resolve_pool(arguments.pool).value();
  Client client = Client::attach(pool, {.name = "slotring call"}).value();
  if (arguments.broadcast) return broadcast(client, arguments, payload.view());
  const Result<Reply> reply = client.call(arguments.method, payload.view(),
                                          {.timeout = timeout_of(arguments.timeout_s),
                                           .session = arguments.session,
                                           .session_mode = arguments.session_mode});
  // The handler has not run: what is meant is what it is for.
  if (!reply && reply.error().code == ErrorCode::kBroadcastOnly) {
    return broadcast(client, arguments, payload.view());
  }
  if (!reply) throw Exception(reply.error());
  print_reply(*reply, arguments);
  return 0;
}

int call(const CallArguments& arguments) {
  if (!arguments.as_json) {
    return run_call(arguments);
  }
  try {
    return run_call(arguments);
  } catch (const Exception& failure) {
    std::cout << json_text({{"ok", false}, {"error", error_json(failure.error())}}) << "\n";
    return exit_code(failure.error());
  }
}

void add_session_options(CLI::App& command, CallArguments& arguments) {
  static const std::map<std::string, SessionMode> kModes = {
      {"hint", SessionMode::kHint}, {"queue", SessionMode::kQueue}, {"fail", SessionMode::kFail}};
  CLI::Option* session =
      command.add_option("--session", arguments.session, "The session that the call belongs to")
          ->type_name("NAME")
          ->check([](const std::string& name) {
            return name.empty() ? std::string("a session's name is empty") : std::string();
          });
  command
      .add_option_function<std::string>(
          "--session-mode",
          [&arguments](const std::string& mode) { arguments.session_mode = kModes.at(mode); },
          "When the session's worker is busy: hint (another one), queue (wait), fail; by default "
          "what the pool says")
      ->type_name("MODE")
      ->check(CLI::IsMember(&kModes))
      ->needs(session);
}

}  // namespace

void add_call(CLI::App& root, Work& chosen) {
  const auto arguments = std::make_shared<CallArguments>();
  CLI::App* command = root.add_subcommand("call", "Call a method, and print its reply");
  add_pool_option(*command, arguments->pool, AlsoPositional::kNo);
  command->add_option("METHOD", arguments->method, "The handler's name")->required();
  CLI::Option* value = command->add_option(
      "JSON", arguments->json_argument,
      "The request, as JSON, which the handler gets as Python objects; - reads it from the "
      "standard input. Without a request the handler gets None");
  CLI::Option* bytes =
      command->add_option("--bytes", arguments->bytes, "The request, as the bytes of this text")
          ->type_name("TEXT")
          ->excludes(value);
  command
      ->add_option("--file", arguments->file,
                   "The request, as a file's bytes; - is the standard input")
      ->type_name("FILE")
      ->excludes(value)
      ->excludes(bytes);
  add_session_options(*command, *arguments);
  add_seconds_option(*command, "--timeout", arguments->timeout_s,
                     "For the reply, in seconds; 0 is none");
  CLI::Option* as_json =
      command->add_flag("--json", arguments->as_json, "Reply or error as one JSON object");
  CLI::Option* raw = command->add_flag("--raw", arguments->raw, "The reply's bytes, as they are")
                         ->excludes(as_json);
  CLI::Option* broadcast =
      command
          ->add_flag("--broadcast", arguments->broadcast,
                     "Have every worker make the call, each later one too. What is marked "
                     "broadcast=True in Python is called so anyway")
          ->excludes(raw);
  command->add_option("--key", arguments->key, "What the broadcast is about; the method by default")
      ->needs(broadcast);
  command
      ->add_flag("--retract", arguments->retract,
                 "The last broadcast of its key: later workers do not make it")
      ->needs(broadcast);
  command->footer(
      "A value is printed as JSON, bytes as text, or in hexadecimal when they are none. An error "
      "goes\n"
      "to the standard error: its category, code and message, and Python's type and traceback.\n\n"
      "Examples:\n"
      "  slotring call add '{\"a\": 2, \"b\": 3}'\n"
      "  slotring call echo --bytes hello\n"
      "  slotring call add_to_cart '\"apple\"' --session user-42\n"
      "  slotring call -p vision resize --file cat.png --raw > small.png\n"
      "  slotring call --broadcast configure_lm '{\"model\": \"small\"}'\n\n"
      "A broadcast prints what came of it in each worker, and ends with 1 when one has failed.\n" +
      std::string(exit_code_help()) + "\n");
  command->callback([arguments, &chosen] { chosen = [arguments] { return call(*arguments); }; });
}

}  // namespace slotring::cli
