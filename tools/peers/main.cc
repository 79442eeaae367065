// A place to try a peer until the runner is there: slotring-compare NAME [WORKERS CLIENTS BYTES].

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "slotring/client.h"
#include "tools/bench/child_process.h"
#include "tools/bench/turn.h"
#include "tools/peers/peer.h"

int main(int argc, char** argv) {
  using namespace slotring;
  const auto number = [&](int at, int otherwise) {
    return argc > at ? std::atoi(argv[at]) : otherwise;
  };
  char folder[] = "/tmp/sr-compare.XXXXXX";
  if (::mkdtemp(folder) == nullptr) return 1;
  int failed = 0;
  try {
    bench::remember_signals();
    bench::usable_cpus();
    for (const peers::Peer& peer : peers::all_peers()) {
      if (argc > 1 && peer.name != argv[1]) continue;
      if (!peer.why_missing.empty()) {
        std::printf("%s %s\n", peer.name.c_str(), peer.why_missing.c_str());
        continue;
      }
      const peers::PeerShape shape{.folder = folder,
                                   .name = peer.name,
                                   .workers = number(2, 1),
                                   .clients = number(3, 1),
                                   .payload_bytes = static_cast<std::size_t>(number(4, 64))};
      const auto transport = peer.make(shape);
      const bench::TurnResult turn =
          run_turn(*transport, {.clients = shape.clients, .payload_bytes = shape.payload_bytes});
      std::printf("%-12s p50 %.0f ns, p99 %.0f ns, %.0f calls/s, %.2f us CPU a call\n",
                  peer.name.c_str(), turn.p50_ns, turn.p99_ns, turn.calls_per_second,
                  turn.cpu_us_per_call);
    }
  } catch (const Exception& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    failed = 1;
  }
  std::filesystem::remove_all(folder);
  return failed;
}
