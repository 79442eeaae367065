#include "supervisor/handshake.h"

#include <unistd.h>

#include <charconv>
#include <string_view>
#include <vector>

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

}  // namespace

std::optional<Error> check_versions(const wire::Hello& hello) {
  if (hello.protocol() == layout::kProtocolVersion &&
      hello.layout_version() == layout::kLayoutVersion &&
      hello.layout_hash() == layout::layout_hash()) {
    return std::nullopt;
  }
  const auto describe = [](std::string_view version, std::uint32_t protocol,
                           std::uint32_t layout_version, std::uint64_t hash) {
    return "Slotring " + printable(version.substr(0, 32)) + " (protocol " +
           std::to_string(protocol) + ", layout " + std::to_string(layout_version) + ", hash " +
           hexadecimal(hash) + ")";
  };
  return Error{ErrorCode::kVersionMismatch,
               "the peer is " +
                   describe(view(hello.version()), hello.protocol(), hello.layout_version(),
                            hello.layout_hash()) +
                   ", the supervisor is " +
                   describe(version(), layout::kProtocolVersion, layout::kLayoutVersion,
                            layout::layout_hash()) +
                   "; both must be of the same build"};
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
  const layout::Geometry& g = memory.segment().geometry();
  const wire::PoolGeometry geometry(g.max_workers, g.slots_per_worker, g.max_clients, g.max_waiters,
                                    g.area_bytes, g.warm_bytes);
  flatbuffers::FlatBufferBuilder builder;
  const auto name = builder.CreateString(pool);
  const auto welcome =
      wire::CreateWelcome(builder, name, ::getpid(), place.index, place.generation, &geometry);
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

}  // namespace slotring::supervisor
