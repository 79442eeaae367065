// What `tools/compare` compares: Slotring, and what a user would otherwise take.
//
// A peer is written as its own documentation advises. Its servers do the jobs of python/jobs.py.

#ifndef SLOTRING_TOOLS_PEERS_PEER_H_
#define SLOTRING_TOOLS_PEERS_PEER_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tools/bench/job.h"
#include "tools/bench/transport.h"

namespace slotring::peers {

// What a transport is made for.
struct PeerShape {
  std::string folder;  // for sockets and logs; its path is short
  std::string name;    // of this transport alone: what the names of its files begin with
  int workers = 1;
  int clients = 1;                 // that call at once; a multiple of `workers`
  std::size_t payload_bytes = 64;  // the largest there will be
  bench::Job job = bench::Job::kEcho;
  bool shares_a_cpu = false;  // what spins must give the CPU away then
};

struct Peer {
  std::string name;         // for --only: lower case, hyphens
  std::string description;  // for a table
  // Returns when its servers serve; they sleep between turns. Throws slotring::Exception.
  std::function<std::unique_ptr<bench::Transport>(const PeerShape&)> make;
  std::string why_missing;  // empty when it can be made here
  // What it can be made for; without, for all shapes.
  std::function<bool(const PeerShape&)> fits = {};
  // Each call takes as long as one of the largest payload, so each size needs a transport.
  bool one_size = false;
};

// All there are, whether they can be made here or not.
std::vector<Peer> all_peers();

// --- one function a peer; those of absent packages are not built, see registry.cc ---

Peer slotring_peer();
Peer bare_peer();
Peer socket_peer();
Peer packet_json_peer();
Peer pipe_peer();
Peer executor_peer();
Peer boost_queue_peer();
Peer zeromq_peer();
Peer grpc_unary_peer();
Peer grpc_stream_peer();
Peer iceoryx_peer();
Peer nats_peer();

// --- Python programs of peers ---

inline constexpr char kPython[] = "/usr/bin/python3";

// The path of tools/peers/python/`name`.py.
std::string python_program(std::string_view name);

// "there is no Python module zmq (python3-zmq)", or nothing when kPython can import it.
std::string why_no_module(const std::string& module, const std::string& package);

}  // namespace slotring::peers

#endif  // SLOTRING_TOOLS_PEERS_PEER_H_
