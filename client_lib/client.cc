#include "slotring/client.h"

#include <errno.h>

#include "client_lib/client_core.h"
#include "client_lib/session_list.h"
#include "client_lib/shm/peer_socket.h"

namespace slotring {

using internal::ClientCore;
using internal::deadline_after;
using layout::WaitingMode;

static_assert(static_cast<WaitingMode>(Waiting::kBalanced) == WaitingMode::kBalanced);
static_assert(static_cast<WaitingMode>(Waiting::kLatency) == WaitingMode::kLatency);
static_assert(static_cast<WaitingMode>(Waiting::kFrugal) == WaitingMode::kFrugal);

Lease& Lease::operator=(Lease&& other) noexcept {
  if (this == &other) return *this;
  release();
  core_ = std::exchange(other.core_, nullptr);
  slot_ = other.slot_;
  generation_ = other.generation_;
  deadline_ns_ = other.deadline_ns_;
  granted_bytes_ = other.granted_bytes_;
  flags_ = other.flags_;
  submit_flags_ = other.submit_flags_;
  phase_ = other.phase_;
  stop_ = std::move(other.stop_);
  return *this;
}

namespace {
// Of every worker.
constexpr char kEndMethod[] = "end_session";

Error void_lease() { return Error{ErrorCode::kInvalidArgument, "the lease holds no slot"}; }
Error nameless() {
  return Error{ErrorCode::kInvalidArgument, "a session's name has 1 to 63 bytes"};
}
}  // namespace

Result<std::span<std::byte>> Lease::request(std::size_t bytes) {
  return core_ == nullptr ? void_lease() : core_->request(*this, bytes);
}

Status Lease::submit(std::string_view method, PayloadKind kind, std::size_t bytes,
                     std::string_view table_type) {
  return core_ == nullptr ? void_lease()
                          : core_->submit(*this, method, kind, bytes, {.table_type = table_type});
}

Result<MutableTensor> Lease::empty(DType dtype, const Shape& shape, std::string_view name) {
  return core_ == nullptr ? void_lease() : core_->empty(*this, dtype, shape, name);
}

Status Lease::put_value(std::span<const std::uint8_t> value) {
  return core_ == nullptr ? void_lease() : core_->put_value(*this, std::as_bytes(value));
}

Status Lease::submit(std::string_view method) {
  return core_ == nullptr ? void_lease() : core_->submit_tensors(*this, method);
}

Result<ReplyView> Lease::wait() { return core_ == nullptr ? void_lease() : core_->wait(*this); }

void Lease::release() {
  if (core_ != nullptr) core_->release(*this);
}

Client::Client(std::shared_ptr<ClientCore> core) : core_(std::move(core)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&& other) noexcept {
  if (this == &other) return *this;
  if (core_) core_->end_async();
  core_ = std::move(other.core_);
  return *this;
}
Client::~Client() {
  if (core_) core_->end_async();
}

Result<Client> Client::attach(std::string_view name_or_path, const AttachOptions& options) {
  const shm::MonotonicNs deadline = deadline_after(options.timeout);
  const std::string path = shm::socket_path(name_or_path);
  Result<shm::UniqueFd> socket = shm::connect_to(path, deadline);
  if (!socket) return std::move(socket).error();
  const std::string name = options.name.empty() ? program_invocation_short_name : options.name;
  Result<shm::Attachment> joined = shm::attach(socket->get(), wire::Role::Client, name, deadline);
  if (!joined) return std::move(joined).error();
  std::optional<WaitingMode> waiting;
  if (options.waiting) waiting = static_cast<WaitingMode>(*options.waiting);
  auto core = std::make_shared<ClientCore>(*std::move(socket), *std::move(joined), path, waiting);
  if (Status usable = core->check_process(); !usable) return std::move(usable).error();
  if (options.breaker) core->set_breaker(*options.breaker);
  return Client(std::move(core));
}

const std::string& Client::pool() const { return core_->pool_name(); }

Result<Lease> Client::claim(const CallOptions& options) { return claim(*core_, options); }

Result<Lease> Client::claim(ClientCore& core, const CallOptions& options) {
  const shm::MonotonicNs started = shm::monotonic_now();
  Result<Lease> lease = core.claim({.started = started,
                                    .deadline = deadline_after(options.timeout, started),
                                    .session = options.session,
                                    .session_mode = options.session_mode},
                                   options.stop);
  if (!lease) core.count_error("", options.session, lease.error(), started);
  return lease;
}

Result<Reply> Client::call(std::string_view method, Payload payload, const CallOptions& options) {
  return call(*core_, method, payload, options);
}

Result<Reply> Client::call(ClientCore& core, std::string_view method, Payload payload,
                           const CallOptions& options) {
  if (core.has_tools() && options.session.empty()) [[unlikely]] {
    if (internal::ToolDesk* desk = internal::ToolDesk::serving_here(core)) {
      return call_nested(core, *desk, method, payload, options);
    }
  }
  const bool guarded = core.breaker() != nullptr || options.retry;
  return guarded ? call_guarded(core, method, payload, options)
                 : call_once(core, method, payload, options);
}

Result<Reply> Client::call_once(ClientCore& core, std::string_view method, Payload payload,
                                const CallOptions& options) {
  const shm::MonotonicNs started = shm::monotonic_now();
  Result<Reply> reply = call_uncounted(core, method, payload, options, started);
  if (!reply) core.count_error(method, options.session, reply.error(), started);
  return reply;  // which its lease has counted
}

Result<Reply> Client::call_uncounted(ClientCore& core, std::string_view method, Payload payload,
                                     const CallOptions& options, std::uint64_t started) {
  const internal::ClaimTerms terms{.started = started,
                                   .deadline = deadline_after(options.timeout, started),
                                   .session = options.session,
                                   .session_mode = options.session_mode,
                                   .errors_count = false};
  for (;;) {
    Result<Lease> lease = core.claim(terms, options.stop);
    if (!lease) return std::move(lease).error();
    Result<ReplyView> reply = internal::exchange(*lease, method, payload);
    if (reply) return Reply(*std::move(lease), *reply);
    // A worker that left before it started the call: nothing ran, another may. claim() ends this
    // when there is no other.
    const Error& error = reply.error();
    if (!internal::is_worth_another_slot(error)) return error;
    // A session's home would be the same dead worker again.
    if (error.code == ErrorCode::kWorkerLost && !options.session.empty()) return error;
    // A peer that breaks the rules could say so for ever.
    if (shm::has_passed(terms.deadline)) return error;
  }
}

Session Client::session(std::string_view name, const SessionOptions& options) {
  return Session(core_.get(), name, options);
}

std::vector<SessionInfo> Client::sessions() const {
  return internal::list_sessions(core_->segment());
}

PoolStatistics Client::statistics() const { return internal::read_statistics(core_->segment()); }

CallOptions Session::in_session(const CallOptions& options) const {
  CallOptions own = options;
  own.session = name_;
  if (own.session_mode == SessionMode::kPoolDefault) own.session_mode = options_.mode;
  return own;
}

Result<Reply> Session::call(std::string_view method, Payload payload, const CallOptions& options) {
  if (name_.empty()) return nameless();
  return Client::call(*core_, method, payload, in_session(options));
}

Result<Lease> Session::claim(const CallOptions& options) {
  if (name_.empty()) return nameless();
  return Client::claim(*core_, in_session(options));
}

Result<Stream> Session::stream(std::string_view method, Payload payload,
                               const StreamOptions& options) {
  if (name_.empty()) return nameless();
  StreamOptions own = options;
  own.call = in_session(options.call);
  return Client::stream(*core_, method, payload, own);
}

Status Session::end(const CallOptions& options) {
  if (Status usable = core_->check_process(); !usable) return usable;
  CallOptions queued = options;
  queued.session_mode = SessionMode::kQueue;
  const shm::MonotonicNs deadline = deadline_after(options.timeout);
  // A store may have a session that no call has named since the pool was started.
  const bool in_store = !core_->router().keeps_state_in_workers();
  for (;;) {
    if (Result<SessionInfo> present = info(); !present && !in_store) {
      return std::move(present).error();
    }
    const Result<Reply> ended = call(kEndMethod, {}, queued);
    if (ended) return Done{};
    if (ended.error().code == ErrorCode::kSessionNotFound) core_->drop_session(name_);
    // Told of state that this would have dropped anyway; the session itself is there still.
    if (ended.error().code != ErrorCode::kSessionLost) return ended.error();
    if (shm::has_passed(deadline)) return ended.error();
  }
}

Result<SessionInfo> Session::info() const {
  if (Status usable = core_->check_process(); !usable) return std::move(usable).error();
  return internal::describe_session(core_->segment(), name_);
}

}  // namespace slotring
