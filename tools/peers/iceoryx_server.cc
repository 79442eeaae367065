// An echo server by iceoryx' request-response: a UntypedServer in a WaitSet.
//
// Usage: slotring-iceoryx-server RUNTIME_NAME INSTANCE

#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "iceoryx_posh/popo/untyped_server.hpp"
#include "iceoryx_posh/popo/wait_set.hpp"
#include "iceoryx_posh/runtime/posh_runtime.hpp"
#include "tools/bench/child_process.h"
#include "tools/peers/iceoryx_service.h"

namespace {

using iox::cxx::TruncateToCapacity;
using iox::popo::RequestHeader;
using iox::popo::UntypedServer;

// The reply is written into a chunk of its own, as a server's that computes something would be.
void echo(UntypedServer& server, const void* request) {
  const std::uint32_t bytes = slotring::peers::payload_bytes(request);
  server.loan(RequestHeader::fromPayload(request), bytes, slotring::peers::kPayloadAlignment)
      .and_then([&](void*& reply) {
        std::memcpy(reply, request, bytes);
        server.send(reply).or_else([](auto&) { std::abort(); });
      })
      .or_else([](auto&) { std::abort(); });
  server.releaseRequest(request);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  iox::runtime::PoshRuntime::initRuntime({TruncateToCapacity, argv[1]});
  UntypedServer server(slotring::peers::iceoryx_service(argv[2]));
  iox::popo::WaitSet<> waiting;
  waiting.attachState(server, iox::popo::ServerState::HAS_REQUEST).or_else([](auto) {
    std::abort();
  });
  if (::write(slotring::bench::kInheritedFd, "r", 1) != 1) return 1;
  for (;;) {
    waiting.wait();
    while (server.take().and_then([&](const void*& request) { echo(server, request); })) {
    }
  }
}
