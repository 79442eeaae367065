#include "tools/cli/observer.h"

namespace slotring::cli {

namespace {
constexpr shm::MonotonicNs kAttachTimeoutNs = 5'000'000'000;
}  // namespace

Result<shm::Attachment> observe_pool(const std::string& name_or_path, std::string_view name) {
  const shm::MonotonicNs deadline = shm::monotonic_now() + kAttachTimeoutNs;
  Result<shm::UniqueFd> socket = shm::connect_to(shm::socket_path(name_or_path), deadline);
  if (!socket) return std::move(socket).error();
  return shm::attach(socket->get(), wire::Role::Observer, name, deadline);
}

}  // namespace slotring::cli
