// What a supervisor says to clients, observers and workers: attaching, being published and what
// follows, against packets and descriptors of a hostile supervisor. What can be attached to is used
// for a call.
//
//     input: {role:8 | a list of packets of packet_source.h}

#include <fcntl.h>

#include <cstdio>

#include "client_lib/client_core.h"
#include "client_lib/shm/attachment.h"
#include "client_lib/shm/supervisor_link.h"
#include "client_lib/shm/worker_seat.h"
#include "tests/fuzz/packet_source.h"
#include "tests/support/descriptors.h"
#include "tests/support/local_pool.h"

namespace slotring::fuzz {
namespace {

constexpr std::size_t kMaxPackets = 6;
constexpr layout::Geometry kGeometry{
    1, 2, 2, 2, layout::kMinAreaBytes, layout::kPageBytes, layout::kPageBytes};

// A pool whose memories a Welcome may bring, in their right places or in wrong ones.
struct Offered {
  Offered() {
    pool.publish_all();
    for (const shm::UniqueFd* memory :
         {&pool.segment().memory(), &pool.requests().memory(), &pool.replies().memory()}) {
      descriptors.add_borrowed(memory->get());
      read_only.push_back(shm::reopen_read_only(*memory).value());
    }
    for (const shm::UniqueFd& memory : read_only) descriptors.add_borrowed(memory.get());
  }

  testing::LocalPool pool{kGeometry};
  std::vector<shm::UniqueFd> read_only;
  OddDescriptors descriptors;
};

// There is nothing to wait for: a point that is past as soon as it is looked at a second time.
shm::MonotonicNs at_once() { return shm::monotonic_now() + 1'000; }

void use(std::unique_ptr<internal::ClientCore> client) {
  Result<Lease> lease = testing::submit(*client, "x", at_once());
  if (lease) (void)lease->wait().ok();
}

void be_worker(int socket, shm::Attachment joined) {
  Result<shm::WorkerSeat> seat = shm::WorkerSeat::sit_down(std::move(joined));
  if (!seat) return;
  const std::vector<std::string> methods = {"echo", "ping"};
  shm::SupervisorLink link(shm::UniqueFd(::fcntl(socket, F_DUPFD_CLOEXEC, 0)), shm::UniqueFd());
  const auto ids = link.publish(methods, "CPython", at_once());
  FUZZ_CHECK(!ids.ok() || ids->size() == methods.size());
  if (const auto call = seat->try_next()) testing::EchoWorker::echo(*seat, *call);
}

Input welcome(wire::Role role, const std::vector<std::uint8_t>& kinds) {
  Input input = {static_cast<std::uint8_t>(role)};
  append_packet(input, kinds, wire::Message::Welcome, [](flatbuffers::FlatBufferBuilder& b) {
    const wire::PoolGeometry geometry = shm::to_wire(kGeometry);
    return wire::CreateWelcomeDirect(b, "offered", 4711, 0, 1, &geometry).Union();
  });
  return input;
}

void run(const Offered& offered, const std::uint8_t* data, std::size_t size) {
  for (shm::SlotIndex slot = 0; slot < kGeometry.slots(); ++slot) {
    offered.pool.set_word(slot, {});  // what an earlier input left
  }
  InputReader input(data, size);
  const auto role = static_cast<wire::Role>(input.below(3));
  auto [ours, theirs] = testing::socket_pair();
  for (std::size_t i = 0; i < kMaxPackets && !input.empty(); ++i) {
    send_next_packet(theirs.get(), input, offered.descriptors);
  }
  Result<shm::Attachment> joined = shm::attach(ours.get(), role, "fuzzed", at_once());
  if (!joined) return;
  FUZZ_CHECK(layout::is_valid(joined->segment->geometry()));
  if (role == wire::Role::Worker) {
    be_worker(ours.get(), *std::move(joined));
  } else if (role == wire::Role::Client) {
    use(std::make_unique<internal::ClientCore>(std::move(ours), *std::move(joined)));
  }
}

}  // namespace

std::vector<Input> seeds() {
  const Offered offered;
  const auto kind = [&](std::size_t n) { return offered.descriptors.borrowed(n); };
  const Input client = welcome(wire::Role::Client, {kind(0), kind(1), kind(5)});
  const Input observer = welcome(wire::Role::Observer, {kind(3)});
  Input worker = welcome(wire::Role::Worker, {kind(0), kind(4), kind(2)});
  append_packet(worker, {}, wire::Message::Published, [](flatbuffers::FlatBufferBuilder& b) {
    const std::vector<std::uint16_t> ids = {1, 2};
    return wire::CreatePublishedDirect(b, &ids).Union();
  });
  append_packet(worker, {0}, wire::Message::Drain,
                [](flatbuffers::FlatBufferBuilder& b) { return wire::CreateDrain(b).Union(); });
  Input refused = {0};
  append_packet(refused, {}, wire::Message::Refused, [](flatbuffers::FlatBufferBuilder& b) {
    return wire::CreateRefusedDirect(b, 703, "not you").Union();
  });
  return {client,
          observer,
          worker,
          refused,
          welcome(wire::Role::Client, {kind(0), kind(4), kind(2)}),
          welcome(wire::Role::Client, {kind(1), 0, 1})};
}

}  // namespace slotring::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace slotring;
  static const fuzz::Offered offered;
  const int before = fuzz::lowest_free_descriptor();
  fuzz::run(offered, data, size);
  FUZZ_CHECK(fuzz::lowest_free_descriptor() == before);
  return 0;
}
