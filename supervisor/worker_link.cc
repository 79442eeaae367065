#include "supervisor/worker_link.h"

#include <string_view>
#include <vector>

#include "supervisor/log_lines.h"

namespace slotring::supervisor {

namespace {

std::string_view view(const flatbuffers::String* text) {
  return text != nullptr ? text->string_view() : std::string_view();
}

}  // namespace

Result<std::unique_ptr<WorkerLink>> WorkerLink::start(boost::asio::io_context& io,
                                                      shm::UniqueFd socket, const PoolSide& pool,
                                                      const Place& place, Log log, OnNews on_news) {
  std::unique_ptr<WorkerLink> link(new WorkerLink(pool, place, std::move(log), std::move(on_news)));
  Result<ReadableWatch> watch =
      ReadableWatch::start(io, std::move(socket), [self = link.get()] { self->on_readable(); });
  if (!watch) return std::move(watch).error();
  link->socket_ = *std::move(watch);
  return link;
}

void WorkerLink::on_readable() {
  Result<shm::Packet> packet = receive_now(socket_.fd());
  if (packet) return on_packet(*packet);
  if (packet.error().code == ErrorCode::kDeadlineExceeded) return;  // woken for nothing
  if (packet.error().code == ErrorCode::kBadFrame) return reject(packet.error());
  socket_.stop();
  end(News::kConnectionLost);
}

void WorkerLink::on_packet(const shm::Packet& packet) {
  if (stage_ == Stage::kExpectHello) {
    if (const auto* hello = packet.as<wire::Hello>()) return on_hello(*hello);
  } else if (stage_ == Stage::kExpectReady) {
    if (const auto* ready = packet.as<wire::Ready>()) return on_ready(*ready);
    if (const auto* failed = packet.as<wire::SetupFailed>()) return on_setup_failed(*failed);
  }
  if (packet.as<wire::Goodbye>() != nullptr) return;  // its exit follows
  if (stage_ != Stage::kEnded) reject({ErrorCode::kBadFrame, "a message out of turn"});
}

void WorkerLink::on_hello(const wire::Hello& hello) {
  if (std::optional<Error> mismatch = check_versions(hello)) return reject(*mismatch);
  if (hello.role() != wire::Role::Worker) {
    return reject({ErrorCode::kRefused, "it does not attach as a worker"});
  }
  const Status sent =
      send_welcome(socket_.fd(), wire::Role::Worker, pool_.name, pool_.memory, place_);
  if (!sent) return reject(sent.error());
  stage_ = Stage::kExpectReady;
}

void WorkerLink::on_ready(const wire::Ready& ready) {
  std::vector<MethodId> ids;
  if (ready.methods() != nullptr) {
    for (const flatbuffers::String* name : *ready.methods()) {
      Result<MethodId> id = pool_.methods.intern(view(name));
      if (!id) return reject(id.error());
      ids.push_back(*id);
    }
  }
  if (Status sent = send_published(socket_.fd(), ids); !sent) return reject(sent.error());
  log_->info("ready: {} methods, {}", ids.size(), printable(view(ready.runtime()).substr(0, 100)));
  stage_ = Stage::kPublished;
  on_news_(News::kReady);
}

void WorkerLink::on_setup_failed(const wire::SetupFailed& failed) {
  log_->error("set-up failed: {}: {}", printable(view(failed.python_type())),
              printable(view(failed.message())));
  // The worker has written the traceback to its stderr, which is logged as it came.
  log_->debug("traceback: {}", printable(view(failed.traceback())));
  end(News::kSetupFailed);
}

void WorkerLink::reject(const Error& why) {
  log_->error("its handshake failed: {}", why.to_string());
  (void)send_refused(socket_.fd(), why);
  end(News::kSetupFailed);
}

void WorkerLink::end(News news) {
  if (stage_ == Stage::kEnded && news != News::kConnectionLost) return;
  stage_ = Stage::kEnded;
  on_news_(news);
}

}  // namespace slotring::supervisor
