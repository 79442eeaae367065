// Peers whose clients are Python programs too: what the standard library has for the purpose.

#include "tools/peers/peer.h"

namespace slotring::peers {

namespace {

// Servers and clients are one program's, which runs during a turn only.
class PythonClientsTransport : public bench::Transport {
 public:
  PythonClientsTransport(const PeerShape& shape, const char* program)
      : start_{{kPython, python_program(program), std::string(to_string(shape.job)),
                std::to_string(shape.workers)},
               shape.folder + "/" + shape.name + ".log"} {}

  std::vector<pid_t> servers() const override { return {}; }
  std::unique_ptr<bench::Exchange> connect(int /*client*/) override { return nullptr; }
  bench::ProgramStart client_program() const override { return start_; }

 private:
  bench::ProgramStart start_;
};

Peer peer_of(std::string name, std::string description, const char* program) {
  return {std::move(name), std::move(description),
          [program](const PeerShape& shape) {
            return std::make_unique<PythonClientsTransport>(shape, program);
          },
          ""};
}

}  // namespace

Peer pipe_peer() {
  return peer_of("pipe", "multiprocessing.Pipe, Python both ends", "pipe_clients");
}

Peer executor_peer() {
  return peer_of("executor", "ProcessPoolExecutor, Python both ends", "executor_clients");
}

}  // namespace slotring::peers
