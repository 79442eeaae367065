#include "client_lib/shm/attachment.h"

#include "slotring/version.h"

namespace slotring::shm {

namespace {

Status send_hello(int socket, wire::Role role, std::string_view name) {
  flatbuffers::FlatBufferBuilder builder;
  const auto name_at = builder.CreateString(name.data(), name.size());
  const auto version_at = builder.CreateString(version());
  const auto hello = wire::CreateHello(builder, layout::kProtocolVersion, layout::kLayoutVersion,
                                       layout::layout_hash(), role, name_at, version_at);
  return send_packet(socket, builder, wire::Message::Hello, hello.Union());
}

// Receives the answer to Hello. A Refused becomes its error.
Result<Packet> receive_welcome(int socket, MonotonicNs deadline) {
  Result<Packet> answer = receive_packet(socket, deadline);
  if (!answer) return answer;
  if (const auto* refused = answer->as<wire::Refused>()) {
    return Error{static_cast<ErrorCode>(refused->code()),
                 refused->message() == nullptr ? "refused" : refused->message()->str()};
  }
  if (answer->as<wire::Welcome>() == nullptr) {
    return Error{ErrorCode::kBadFrame, "the supervisor answered Hello with something else"};
  }
  return answer;
}

Status open_data(Attachment& joined, Packet& packet, const Geometry& geometry, wire::Role role) {
  const bool worker = role == wire::Role::Worker;
  Result<DataMemory> requests = DataMemory::open(std::move(packet.descriptors[1]), geometry,
                                                 worker ? Access::kReadOnly : Access::kReadWrite);
  if (!requests) return std::move(requests).error();
  Result<DataMemory> replies = DataMemory::open(std::move(packet.descriptors[2]), geometry,
                                                worker ? Access::kReadWrite : Access::kReadOnly);
  if (!replies) return std::move(replies).error();
  joined.requests = std::make_shared<DataMemory>(*std::move(requests));
  joined.replies = std::make_shared<DataMemory>(*std::move(replies));
  return Done{};
}

}  // namespace

wire::PoolGeometry to_wire(const Geometry& g) {
  return {g.max_workers, g.slots_per_worker, g.max_clients, g.max_waiters,
          g.area_bytes,  g.warm_bytes,       g.kept_bytes,  g.max_sessions};
}

Geometry to_geometry(const wire::PoolGeometry& g) {
  return {g.max_workers(), g.slots_per_worker(), g.max_clients(), g.max_waiters(),
          g.area_bytes(),  g.warm_bytes(),       g.kept_bytes(),  g.max_sessions()};
}

Result<Attachment> attach(int socket, wire::Role role, std::string_view name,
                          MonotonicNs deadline) {
  const Status sent = send_hello(socket, role, name);
  // A supervisor that refuses whoever connects may have closed before Hello; its reason is there to
  // read.
  if (!sent && sent.error().code != ErrorCode::kWorkerUnavailable) return sent.error();
  Result<Packet> packet = receive_welcome(socket, deadline);
  if (!packet) return std::move(packet).error();
  const bool observer = role == wire::Role::Observer;
  if (packet->descriptors.size() != (observer ? 1u : 3u)) {
    return Error{ErrorCode::kBadFrame, "the supervisor's Welcome brought " +
                                           std::to_string(packet->descriptors.size()) +
                                           " descriptors"};
  }
  const wire::Welcome& welcome = *packet->as<wire::Welcome>();
  const Geometry geometry = to_geometry(*welcome.geometry());
  Result<ControlSegment> segment =
      ControlSegment::open(std::move(packet->descriptors[0]), geometry,
                           observer ? Access::kReadOnly : Access::kReadWrite);
  if (!segment) return std::move(segment).error();
  const std::uint32_t places =
      role == wire::Role::Worker ? geometry.max_workers : geometry.max_clients;
  if (!observer && welcome.index() >= places) {
    return Error{ErrorCode::kBadFrame, "the supervisor's Welcome gave a place that does not exist"};
  }
  Attachment joined;
  joined.pool = welcome.pool() == nullptr ? std::string() : welcome.pool()->str();
  joined.supervisor_pid = welcome.supervisor_pid();
  joined.index = welcome.index();
  joined.generation = welcome.generation();
  joined.instance = welcome.instance();
  joined.supervisor_epoch = welcome.supervisor_epoch();
  joined.segment = std::make_shared<ControlSegment>(*std::move(segment));
  if (!observer) {
    if (Status opened = open_data(joined, *packet, geometry, role); !opened) {
      return std::move(opened).error();
    }
  }
  return joined;
}

Status send_rejoin(int socket, const Attachment& joined) {
  flatbuffers::FlatBufferBuilder builder;
  const auto rejoin = wire::CreateRejoin(builder, layout::kProtocolVersion, layout::layout_hash(),
                                         joined.instance, joined.index, joined.generation);
  return send_packet(socket, builder, wire::Message::Rejoin, rejoin.Union());
}

}  // namespace slotring::shm
