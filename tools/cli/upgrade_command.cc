// slotring upgrade: puts the supervisor's program that is on disk now in the place of the running
// one. Workers, clients and their calls go on.

#include <chrono>
#include <iostream>
#include <memory>
#include <thread>

#include "client_lib/shm/attachment.h"
#include "client_lib/shm/peer_socket.h"
#include "tools/cli/command.h"
#include "tools/cli/pool_choice.h"
#include "tools/cli/pool_view.h"
#include "tools/terminal/text_table.h"

namespace slotring::cli {

namespace {

using Clock = std::chrono::steady_clock;

struct UpgradeOptions {
  std::string pool;
  double timeout_s = 30;
};

struct Observer {
  shm::UniqueFd socket;
  shm::Attachment joined;
};

Result<Observer> observe(const std::string& path, shm::MonotonicNs deadline) {
  Result<shm::UniqueFd> socket = shm::connect_to(path, deadline);
  if (!socket) return std::move(socket).error();
  Result<shm::Attachment> joined =
      shm::attach(socket->get(), wire::Role::Observer, "slotring upgrade", deadline);
  if (!joined) return std::move(joined).error();
  return Observer{*std::move(socket), *std::move(joined)};
}

// Asks the supervisor, which answers after the program on disk has said that it is able. Returns
// what of the configuration has to wait for a restart all the same.
Result<std::string> ask(const Observer& observer, shm::MonotonicNs deadline) {
  flatbuffers::FlatBufferBuilder builder;
  const auto upgrade = wire::CreateUpgrade(builder);
  const int socket = observer.socket.get();
  Status sent = shm::send_packet(socket, builder, wire::Message::Upgrade, upgrade.Union());
  if (!sent) return std::move(sent).error();
  Result<shm::Packet> answer = shm::receive_packet(socket, deadline);
  if (!answer) return std::move(answer).error();
  if (const auto* refused = answer->as<wire::Refused>()) {
    return Error{static_cast<ErrorCode>(refused->code()),
                 refused->message() == nullptr ? "refused" : refused->message()->str()};
  }
  if (const auto* upgrading = answer->as<wire::Upgrading>()) {
    return upgrading->waits() == nullptr ? std::string() : upgrading->waits()->str();
  }
  return Error{ErrorCode::kBadFrame, "the supervisor answered with something else"};
}

// Waits for the supervisor that follows `before`.
Result<Observer> await_successor(const std::string& path, const shm::Attachment& before,
                                 shm::MonotonicNs deadline) {
  for (;;) {
    Result<Observer> now = observe(path, deadline);
    if (now && (now->joined.supervisor_epoch != before.supervisor_epoch ||
                now->joined.instance != before.instance)) {
      return now;
    }
    if (shm::monotonic_now() >= deadline) {
      return Error{ErrorCode::kDeadlineExceeded,
                   "the new supervisor did not take over in time; its log tells more"};
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

int upgrade(const UpgradeOptions& options) {
  const std::string path = shm::socket_path(resolve_pool(options.pool).value());
  const auto deadline =
      shm::monotonic_now() + static_cast<std::uint64_t>(options.timeout_s * 1'000'000'000);
  Observer before = observe(path, deadline).value();
  const Clock::time_point asked = Clock::now();
  const std::string waits = ask(before, deadline).value();
  before.socket.reset();
  const Observer after = await_successor(path, before.joined, deadline).value();
  const std::chrono::duration<double, std::nano> took = Clock::now() - asked;
  if (after.joined.instance != before.joined.instance) {
    throw Exception({ErrorCode::kInternal, "the new supervisor started the pool anew"});
  }
  std::cout << "pool " << terminal::printable(after.joined.pool) << ": the supervisor, pid "
            << after.joined.supervisor_pid << ", has taken over in "
            << terminal::duration_text(took.count()) << "\n";
  if (!waits.empty()) {
    std::cout << "not before the supervisor is stopped and started: " << terminal::printable(waits)
              << "\n";
  }
  return EXIT_SUCCESS;
}

}  // namespace

void add_upgrade(CLI::App& root, Work& chosen) {
  auto options = std::make_shared<UpgradeOptions>();
  CLI::App* command = root.add_subcommand(
      "upgrade", "Replaces the running supervisor by the program on disk; workers go on");
  add_pool_option(*command, options->pool, AlsoPositional::kYes);
  command->add_option("--timeout", options->timeout_s, "Seconds to wait for the new one")
      ->capture_default_str()
      ->check(CLI::Range(0.1, 3600.0));
  command->callback([options, &chosen] { chosen = [options] { return upgrade(*options); }; });
}

}  // namespace slotring::cli
