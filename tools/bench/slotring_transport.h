// Slotring itself: a supervisor of the benchmark's own, with a pool for each shape that is
// measured, and calls through the public client.

#ifndef SLOTRING_TOOLS_BENCH_SLOTRING_TRANSPORT_H_
#define SLOTRING_TOOLS_BENCH_SLOTRING_TRANSPORT_H_

#include <string>
#include <vector>

#include "tools/bench/child_process.h"
#include "tools/bench/transport.h"

namespace slotring::bench {

struct PoolShape {
  std::string name;
  int workers = 1;
  std::string module = "bench_worker";  // in `module_folder`; empty: where the config lies
  std::string module_folder = {};
  std::string job = {};   // for the module, in its environment
  std::string keys = {};  // more lines of its table
};

// The program slotring-supervisor: `wanted` if it is not empty, else beside this program, where the
// build tree has it, or on PATH. Throws when there is none.
std::string find_supervisor(const std::string& wanted);

// A running supervisor, with all its workers ready. Config, sockets and log lie in `folder`.
class OwnSupervisor {
 public:
  OwnSupervisor(const std::string& program, const std::string& folder,
                const std::vector<PoolShape>& pools);

  pid_t pid() const { return process_.pid(); }
  std::string socket_path(const std::string& pool) const;
  // The workers of a pool, which must be ready. Throws, with the log's end, when they do not become
  // so.
  std::vector<pid_t> await_workers(const std::string& pool);

 private:
  std::string folder_;
  ChildProcess process_;
};

class SlotringTransport : public Transport {
 public:
  // kInPlace: the request is written into the slot, and the reply read there. kStream: a call is a
  // stream of kStreamFrames items.
  enum class Way { kCall, kInPlace, kStream };
  // `supervisor` outlives this. `method` is what kCall calls.
  SlotringTransport(OwnSupervisor& supervisor, const std::string& pool, Way way,
                    const std::string& method = "echo");

  std::vector<pid_t> servers() const override { return workers_; }
  std::vector<pid_t> bystanders() const override { return {supervisor_.pid()}; }
  std::unique_ptr<Exchange> connect(int client) override;

 private:
  OwnSupervisor& supervisor_;
  Way way_;
  std::string method_;
  std::string socket_;
  std::vector<pid_t> workers_;
};

}  // namespace slotring::bench

#endif  // SLOTRING_TOOLS_BENCH_SLOTRING_TRANSPORT_H_
