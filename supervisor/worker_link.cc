#include "supervisor/worker_link.h"

#include <string_view>
#include <vector>

#include "client_lib/shm/memory.h"
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

Result<std::unique_ptr<WorkerLink>> WorkerLink::start_resuming(boost::asio::io_context& io,
                                                               shm::UniqueFd socket,
                                                               const PoolSide& pool,
                                                               const Place& place, Outputs outputs,
                                                               Log log, OnNews on_news) {
  Result<std::unique_ptr<WorkerLink>> link =
      start(io, std::move(socket), pool, place, std::move(log), std::move(on_news));
  if (!link) return link;
  (*link)->stage_ = Stage::kExpectResume;
  (*link)->outputs_ = std::move(outputs);
  return link;
}

void WorkerLink::on_readable() {
  Result<shm::Packet> packet = receive_now(socket_.fd());
  if (packet) return on_packet(*packet);
  if (packet.error().code == ErrorCode::kDeadlineExceeded) return;  // woken for nothing
  if (packet.error().code == ErrorCode::kBadFrame) return reject(packet.error());
  if (stage_ == Stage::kExpectResume && packet.error().category() == ErrorCategory::kResource) {
    return miss_resume(packet.error());
  }
  socket_.stop();
  end(News::kConnectionLost);
}

// A shortage of the supervisor's is no reason to end a worker that serves.
void WorkerLink::miss_resume(const Error& why) {
  log_->warn("its answer was lost, and is asked for again: {}", why.to_string());
  socket_.stop();
  on_news_(News::kNotHeard);
}

Status WorkerLink::resume_on(boost::asio::io_context& io, shm::UniqueFd socket) {
  Result<ReadableWatch> watch =
      ReadableWatch::start(io, std::move(socket), [this] { on_readable(); });
  if (!watch) return std::move(watch).error();
  socket_ = *std::move(watch);
  return Done{};
}

void WorkerLink::on_packet(const shm::Packet& packet) {
  if (stage_ == Stage::kExpectHello) {
    if (const auto* hello = packet.as<wire::Hello>()) return on_hello(*hello);
  } else if (stage_ == Stage::kExpectReady) {
    if (const auto* ready = packet.as<wire::Ready>()) return on_ready(*ready);
    if (const auto* failed = packet.as<wire::SetupFailed>()) return on_setup_failed(*failed);
  }
  if (stage_ == Stage::kExpectResume) {
    if (const auto* resume = packet.as<wire::Resume>()) return on_resume(packet, *resume);
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
  log_->info("ready: {}, {}", counted(ids.size(), "method"),
             printable(view(ready.runtime()).substr(0, 100)));
  stage_ = Stage::kPublished;
  published_ = true;
  on_news_(News::kReady);
}

void WorkerLink::on_resume(const shm::Packet& packet, const wire::Resume& resume) {
  if (Status checked = check_resume(packet, resume); !checked) return reject(checked.error());
  const Status sent =
      send_resumed(socket_.fd(), outputs_.output.get(), outputs_.error_output.get());
  if (!sent && sent.error().category() == ErrorCategory::kResource) {
    return miss_resume(sent.error());
  }
  outputs_ = {};
  if (!sent) return reject(sent.error());
  place_.generation = resume.generation();
  stage_ = Stage::kPublished;
  published_ = true;
  log_->info("taken over, generation {}{}", place_.generation,
             resume.draining() ? "; it is leaving" : "");
  on_news_(resume.draining() ? News::kResumedLeaving : News::kResumed);
}

Status WorkerLink::check_resume(const shm::Packet& packet, const wire::Resume& resume) {
  if (std::optional<Error> mismatch = check_versions(resume)) return *std::move(mismatch);
  if (resume.instance() != pool_.memory.instance() || packet.descriptors.empty() ||
      !shm::is_same_memory(packet.descriptors[0], pool_.memory.segment().memory())) {
    return Error{ErrorCode::kBadSegment, "it works on other memory than the pool's"};
  }
  if (resume.seat() != place_.index) {
    return Error{ErrorCode::kBadFrame, "it answers for another seat"};
  }
  const auto* names = resume.methods();
  const auto* ids = resume.method_ids();
  if (names == nullptr || ids == nullptr || ids->size() == 0 || names->size() != ids->size()) {
    return Error{ErrorCode::kBadFrame, "it was never published"};
  }
  for (flatbuffers::uoffset_t i = 0; i < names->size(); ++i) {
    Status restored = pool_.methods.restore(view(names->Get(i)), ids->Get(i));
    if (!restored) return restored;
  }
  return Done{};
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
