// What clients, observers and workers say to a supervisor: its reception and a worker's link, with
// their event loop, against packets and descriptors of a hostile peer. Whatever is answered
// verifies.
//
//     input: a list of {peer:8 | packet of packet_source.h, or an end of the connection}

#include <sys/un.h>

#include <array>
#include <cstdio>

#include <spdlog/sinks/null_sink.h>

#include "supervisor/reception.h"
#include "supervisor/worker_link.h"
#include "tests/fuzz/packet_source.h"
#include "tests/support/descriptors.h"

namespace slotring::fuzz {
namespace {

constexpr layout::Geometry kGeometry{
    2, 2, 2, 4, layout::kMinAreaBytes, layout::kPageBytes, layout::kPageBytes};
constexpr std::size_t kStrangers = 3;
constexpr std::size_t kMaxSteps = 16;

supervisor::Log silent_log() {
  static const auto log =
      std::make_shared<spdlog::logger>("fuzz", std::make_shared<spdlog::sinks::null_sink_mt>());
  return log;
}

// A socket without a name in the file system: the kernel chooses one.
shm::UniqueFd listen_somewhere(sockaddr_un& address, socklen_t& bytes) {
  shm::UniqueFd listening(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  address.sun_family = AF_UNIX;
  bytes = sizeof(sa_family_t);
  FUZZ_CHECK(::bind(listening.get(), reinterpret_cast<sockaddr*>(&address), bytes) == 0);
  FUZZ_CHECK(::listen(listening.get(), 8) == 0);
  bytes = sizeof(address);
  ::getsockname(listening.get(), reinterpret_cast<sockaddr*>(&address), &bytes);
  return listening;
}

class Door {
 public:
  explicit Door(const supervisor::PoolMemory& memory)
      : slots_(memory.segment()),
        methods_(memory.segment()),
        reception_(io_, silent_log(), name_, supervisor::AccessList({}, {}), memory, slots_) {
    sockaddr_un address{};
    socklen_t bytes = 0;
    FUZZ_CHECK(reception_.open(listen_somewhere(address, bytes)).ok());
    for (std::size_t i = 0; i < kStrangers; ++i) {
      peers_[i].reset(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
      FUZZ_CHECK(::connect(peers_[i].get(), reinterpret_cast<sockaddr*>(&address), bytes) == 0);
    }
    auto [ours, workers] = testing::socket_pair();
    link_ = supervisor::WorkerLink::start(io_, std::move(ours), {name_, memory, methods_}, {1, 3},
                                          silent_log(), [](supervisor::WorkerLink::News) {})
                .value();
    peers_[kStrangers] = std::move(workers);
    work();
  }

  int peer(std::size_t i) const { return peers_[i].get(); }
  void hang_up(std::size_t i) { peers_[i].reset(); }
  void ask_to_drain() { (void)link_->ask_to_drain().ok(); }

  void work() {
    io_.restart();
    io_.poll();
  }
  // Whatever a peer is told has to verify.
  void read_answers(std::size_t i) const {
    char byte;
    while (::recv(peer(i), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0) {
      const Result<shm::Packet> answer = shm::receive_packet(peer(i), shm::kNever);
      if (!answer) std::fprintf(stderr, "%s\n", answer.error().to_string().c_str());
      FUZZ_CHECK(answer.ok());
    }
  }

 private:
  const std::string name_ = "fuzzed";
  boost::asio::io_context io_{1};
  shm::SlotPool slots_;
  supervisor::MethodTable methods_;
  supervisor::Reception reception_;
  std::unique_ptr<supervisor::WorkerLink> link_;
  std::array<shm::UniqueFd, kStrangers + 1> peers_;  // the worker last
};

Input hello(wire::Role role, std::uint8_t peer) {
  Input input = {peer};
  append_packet(input, {}, wire::Message::Hello, [role](flatbuffers::FlatBufferBuilder& b) {
    return wire::CreateHelloDirect(b, layout::kProtocolVersion, layout::kLayoutVersion,
                                   layout::layout_hash(), role, "somebody", "0.1.0")
        .Union();
  });
  return input;
}

void append_goodbye(Input& input, std::uint8_t peer) {
  input.push_back(peer);
  append_packet(input, {0, 1, 2}, wire::Message::Goodbye,
                [](flatbuffers::FlatBufferBuilder& b) { return wire::CreateGoodbye(b).Union(); });
}

void run(const supervisor::PoolMemory& memory, const OddDescriptors& odd, const std::uint8_t* data,
         std::size_t size) {
  memory.segment().header().method_count.store(0);
  InputReader input(data, size);
  Door door(memory);
  for (std::size_t i = 0; i < kMaxSteps && !input.empty(); ++i) {
    const auto what = input.next<std::uint8_t>();
    const std::size_t peer = what % (kStrangers + 1);
    if (what == 0xFF) {
      door.ask_to_drain();
    } else if (what >= 0xF0) {
      door.hang_up(peer);
    } else {
      send_next_packet(door.peer(peer), input, odd);
    }
    door.work();
    door.read_answers(peer);
  }
}

}  // namespace

std::vector<Input> seeds() {
  constexpr std::uint8_t kWorker = kStrangers;
  Input client = hello(wire::Role::Client, 0);
  append_goodbye(client, 0);
  Input worker = hello(wire::Role::Worker, kWorker);
  worker.push_back(kWorker);
  append_packet(worker, {}, wire::Message::Ready, [](flatbuffers::FlatBufferBuilder& b) {
    return wire::CreateReady(b, b.CreateVectorOfStrings({"echo", "block"}),
                             b.CreateString("CPython 3.11"))
        .Union();
  });
  append_goodbye(worker, kWorker);
  Input failing = hello(wire::Role::Worker, kWorker);
  failing.push_back(kWorker);
  append_packet(failing, {}, wire::Message::SetupFailed, [](flatbuffers::FlatBufferBuilder& b) {
    return wire::CreateSetupFailedDirect(b, "ValueError", "no\n", "Traceback").Union();
  });
  const Input of_no_bytes = {0, 2, 0, 1, 0, 0};  // two descriptors beside nothing
  return {client,
          worker,
          failing,
          of_no_bytes,
          hello(wire::Role::Observer, 1),
          hello(wire::Role::Worker, 2)};
}

}  // namespace slotring::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace slotring;
  static const auto memory = supervisor::PoolMemory::create("fuzzed", fuzz::kGeometry).value();
  static const fuzz::OddDescriptors odd;
  const int before = fuzz::lowest_free_descriptor();
  fuzz::run(*memory, odd, data, size);
  FUZZ_CHECK(fuzz::lowest_free_descriptor() == before);
  return 0;
}
