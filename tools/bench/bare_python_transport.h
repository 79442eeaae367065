// The least that a C++ client and a Python handler need to exchange a payload: the exchange of
// bare_transport.h, served by a Python process (python/bare_echo.py) whose extension
// (python/bare_exchange_module.cc) spins and calls a Python function for each message. What
// Slotring adds to that is its envelope, deadlines, slots and statistics.

#ifndef SLOTRING_TOOLS_BENCH_BARE_PYTHON_TRANSPORT_H_
#define SLOTRING_TOOLS_BENCH_BARE_PYTHON_TRANSPORT_H_

#include <string>

#include "client_lib/shm/memory.h"
#include "tools/bench/child_process.h"
#include "tools/bench/transport.h"

namespace slotring::bench {

// Why there can be no BarePythonTransport: its extension stays in the build tree. Empty when there
// can.
std::string why_no_bare_python();

class BarePythonTransport : public Transport {
 public:
  // Script and log lie in `folder`. `yields` as in BareTransport. `streams`: each call is a stream
  // of frames from a Python generator, as in BareStreamTransport.
  BarePythonTransport(const std::string& folder, std::size_t payload_bytes, bool yields,
                      bool streams);

  // Returns when the server serves. Throws when it does not come to that.
  void begin_turn() override;
  void end_turn() override;
  std::vector<pid_t> servers() const override { return {server_.pid()}; }
  std::unique_ptr<Exchange> connect(int client) override;

 private:
  std::string script_;
  std::string log_;
  std::size_t payload_bytes_;
  bool yields_;
  bool streams_;
  shm::UniqueFd memory_;
  shm::Mapping block_;
  ChildProcess server_;
};

}  // namespace slotring::bench

#endif  // SLOTRING_TOOLS_BENCH_BARE_PYTHON_TRANSPORT_H_
