#include "supervisor/handshake.h"

#include <unistd.h>

#include <charconv>
#include <string_view>
#include <vector>

#include "client_lib/shm/attachment.h"
#include "slotring/version.h"
#include "supervisor/log_lines.h"

namespace slotring::supervisor {

namespace {

std::string hexadecimal(std::uint64_t number) {
  char digits[16];
  const auto [end, failed] = std::to_chars(std::begin(digits), std::end(digits), number, 16);
  (void)failed;  // 16 digits hold any
  return std::string(digits, end);
}

std::string_view view(const flatbuffers::String* text) {
  return text != nullptr ? text->string_view() : std::string_view();
}

struct Build {
  std::string_view version;
  std::uint32_t protocol;
  std::uint32_t layout_version;
  std::uint64_t layout_hash;

  std::string to_string() const {
    return "Slotring " + printable(version.substr(0, 32)) + " (protocol " +
           std::to_string(protocol) + ", layout " + std::to_string(layout_version) + ", hash " +
           hexadecimal(layout_hash) + ")";
  }
};

std::optional<Error> check_build(const Build& peer, const char* who) {
  const Build own{version(), layout::kProtocolVersion, layout::kLayoutVersion,
                  layout::layout_hash()};
  if (peer.protocol == own.protocol && peer.layout_version == own.layout_version &&
      peer.layout_hash == own.layout_hash) {
    return std::nullopt;
  }
  return Error{ErrorCode::kVersionMismatch, std::string(who) + " is " + peer.to_string() +
                                                ", the supervisor is " + own.to_string() +
                                                "; both must be of the same build"};
}

}  // namespace

std::optional<Error> check_versions(const wire::Hello& hello) {
  return check_build(
      {view(hello.version()), hello.protocol(), hello.layout_version(), hello.layout_hash()},
      "the peer");
}

std::optional<Error> check_versions(const wire::Resume& resume) {
  return check_build(
      {view(resume.version()), resume.protocol(), resume.layout_version(), resume.layout_hash()},
      "the running worker");
}

std::string peer_name(const wire::Hello& hello) {
  const std::string name = printable(view(hello.name()).substr(0, layout::kMaxNameBytes));
  return name.empty() ? "-" : name;
}

Result<shm::Packet> receive_now(int socket) {
  // A point in the future, so that the socket is looked at; it is readable, so nothing is waited
  // for.
  constexpr shm::MonotonicNs kMoment = 1'000'000;
  return shm::receive_packet(socket, shm::monotonic_now() + kMoment);
}

Status send_welcome(int socket, wire::Role role, const std::string& pool, const PoolMemory& memory,
                    const Place& place) {
  const wire::PoolGeometry geometry = shm::to_wire(memory.segment().geometry());
  flatbuffers::FlatBufferBuilder builder;
  const auto name = builder.CreateString(pool);
  const auto welcome = wire::CreateWelcome(
      builder, name, ::getpid(), place.index, place.generation, &geometry, memory.instance(),
      memory.segment().header().supervisor_epoch.load(std::memory_order_relaxed));
  return shm::send_packet(socket, builder, wire::Message::Welcome, welcome.Union(),
                          memory.descriptors_for(role));
}

Status send_refused(int socket, const Error& why) {
  flatbuffers::FlatBufferBuilder builder;
  const auto message = builder.CreateString(why.message);
  const auto refused = wire::CreateRefused(builder, static_cast<std::uint16_t>(why.code), message);
  return shm::send_packet(socket, builder, wire::Message::Refused, refused.Union());
}

Status send_published(int socket, std::span<const MethodId> ids) {
  flatbuffers::FlatBufferBuilder builder;
  const auto method_ids = builder.CreateVector(ids.data(), ids.size());
  const auto published = wire::CreatePublished(builder, method_ids);
  return shm::send_packet(socket, builder, wire::Message::Published, published.Union());
}

Status send_drain(int socket) {
  flatbuffers::FlatBufferBuilder builder;
  const auto drain = wire::CreateDrain(builder);
  return shm::send_packet(socket, builder, wire::Message::Drain, drain.Union());
}

Status send_rejoined(int socket) {
  flatbuffers::FlatBufferBuilder builder;
  const auto rejoined = wire::CreateRejoined(builder);
  return shm::send_packet(socket, builder, wire::Message::Rejoined, rejoined.Union());
}

Status send_resumed(int socket, int output, int error_output) {
  flatbuffers::FlatBufferBuilder builder;
  const auto resumed = wire::CreateResumed(builder, ::getpid());
  const int descriptors[] = {output, error_output};
  return shm::send_packet(socket, builder, wire::Message::Resumed, resumed.Union(), descriptors);
}

Status send_upgrading(int socket, const std::string& waits) {
  flatbuffers::FlatBufferBuilder builder;
  const auto waits_at = builder.CreateString(waits);
  const auto upgrading = wire::CreateUpgrading(builder, waits_at);
  return shm::send_packet(socket, builder, wire::Message::Upgrading, upgrading.Union());
}

Status send_broadcasted(int socket, std::uint32_t epoch) {
  flatbuffers::FlatBufferBuilder builder;
  const auto broadcasted = wire::CreateBroadcasted(builder, epoch);
  return shm::send_packet(socket, builder, wire::Message::Broadcasted, broadcasted.Union());
}

Status send_fork(int socket, const std::vector<std::string>& arguments,
                 std::span<const int> descriptors) {
  flatbuffers::FlatBufferBuilder builder;
  const auto arguments_at = builder.CreateVectorOfStrings(arguments);
  const auto fork = wire::CreateFork(builder, arguments_at);
  return shm::send_packet(socket, builder, wire::Message::Fork, fork.Union(), descriptors);
}

}  // namespace slotring::supervisor
