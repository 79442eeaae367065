#include <filesystem>

#include "tools/bench/slotring_transport.h"
#include "tools/peers/peer.h"

namespace slotring::peers {

namespace {

// A supervisor of its own, with one pool.
class SlotringPeerTransport : public bench::Transport {
 public:
  explicit SlotringPeerTransport(const PeerShape& shape)
      : supervisor_(bench::find_supervisor(""), own_folder(shape), {pool_of(shape)}),
        transport_(supervisor_, shape.name, bench::SlotringTransport::Way::kCall, "work") {}

  std::vector<pid_t> servers() const override { return transport_.servers(); }
  std::vector<pid_t> bystanders() const override { return transport_.bystanders(); }
  std::unique_ptr<bench::Exchange> connect(int client) override {
    return transport_.connect(client);
  }

 private:
  static std::string own_folder(const PeerShape& shape) {
    const std::string folder = shape.folder + "/" + shape.name;
    std::filesystem::create_directory(folder);
    return folder;
  }
  static bench::PoolShape pool_of(const PeerShape& shape) {
    return {.name = shape.name,
            .workers = shape.workers,
            .module = "slotring_worker",
            .module_folder = SLOTRING_PEERS_PYTHON,
            .job = std::string(to_string(shape.job))};
  }

  bench::OwnSupervisor supervisor_;
  bench::SlotringTransport transport_;
};

}  // namespace

Peer slotring_peer() {
  return {"slotring", "Slotring: calls by its C++ client, a Python handler",
          [](const PeerShape& shape) { return std::make_unique<SlotringPeerTransport>(shape); },
          ""};
}

}  // namespace slotring::peers
