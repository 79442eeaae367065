#include "slotring/stream.h"

#include "client_lib/client_core.h"
#include "client_lib/stream_call.h"
#include "slotring/client.h"

namespace slotring {

using internal::ClientCore;
using internal::StreamCall;

namespace {

Result<Lease> send(ClientCore& core, std::string_view method, Payload payload,
                   const StreamOptions& options, std::uint8_t flags, shm::MonotonicNs started) {
  const internal::ClaimTerms terms{
      .started = started,
      .deadline = internal::deadline_after(options.call.timeout, started),
      .session = options.call.session,
      .session_mode = options.call.session_mode,
      .errors_count = false};
  for (;;) {
    Result<Lease> lease = core.claim(terms, options.call.stop);
    if (!lease) return lease;
    core.attend_to_stream(*lease, flags, options.window_bytes);
    Status sent = internal::send_request(*lease, method, payload);
    if (sent) return lease;
    // The worker left for good before it got the call: another may take it.
    const Error& error = sent.error();
    if (!internal::is_worth_another_slot(error)) return error;
    if (shm::has_passed(terms.deadline)) return error;
  }
}

}  // namespace

Result<std::unique_ptr<StreamCall>> internal::open_stream(ClientCore& core, std::string_view method,
                                                          Payload payload,
                                                          const StreamOptions& options,
                                                          std::uint8_t flags) {
  const shm::MonotonicNs started = shm::monotonic_now();
  Result<Lease> lease = send(core, method, payload, options, flags, started);
  if (!lease) {
    core.count_error(method, options.call.session, lease.error(), started);
    return std::move(lease).error();
  }
  core.count_errors_of(*lease);
  return std::make_unique<StreamCall>(core, *std::move(lease),
                                      (flags & internal::kWritesStream) != 0);
}

Stream::Stream(std::unique_ptr<StreamCall> call) : call_(std::move(call)) {}
Stream::Stream(Stream&&) noexcept = default;
Stream& Stream::operator=(Stream&&) noexcept = default;
Stream::~Stream() = default;

Result<std::optional<ReplyView>> Stream::next() { return call_->next(); }
Stream::Iterator Stream::begin() { return Iterator(this); }
Status Stream::status() const { return call_->status(); }
void Stream::cancel() { call_->cancel(); }
Status Stream::write(Payload item) { return call_->write(item); }
Result<std::span<std::byte>> Stream::space(std::size_t bytes) { return call_->space(bytes); }
Status Stream::commit(PayloadKind kind, std::size_t bytes) { return call_->commit(kind, bytes); }
Status Stream::finish_writing() { return call_->finish_writing(); }

Result<Reply> Stream::finish() {
  Result<std::pair<Lease, ReplyView>> outcome = call_->finish();
  if (!outcome) return std::move(outcome).error();
  return Reply(std::move(outcome->first), outcome->second);
}

void Stream::Iterator::advance() {
  Result<std::optional<ReplyView>> item = stream_->next();
  item_ = item ? *item : std::nullopt;
}

Result<Stream> Client::stream(std::string_view method, Payload payload,
                              const StreamOptions& options) {
  return stream(*core_, method, payload, options);
}

Result<Stream> Client::stream(ClientCore& core, std::string_view method, Payload payload,
                              const StreamOptions& options) {
  Result<std::unique_ptr<StreamCall>> call = internal::open_stream(
      core, method, payload, options, internal::kReadsStream | internal::kWritesStream);
  if (!call) return std::move(call).error();
  return Stream(*std::move(call));
}

Result<Reply> Client::stream(std::string_view method, Payload payload, const OnItem& on_item,
                             const StreamOptions& options) {
  Result<std::unique_ptr<StreamCall>> call =
      internal::open_stream(*core_, method, payload, options, internal::kReadsStream);
  if (!call) return std::move(call).error();
  Stream stream(*std::move(call));
  for (;;) {
    const Result<std::optional<ReplyView>> item = stream.next();
    if (!item) return item.error();
    if (!*item) return stream.finish();
    if (!on_item(**item)) return Reply(OwnedPayload());
  }
}

Status Client::add_tool(std::string_view name, Tool tool) {
  return core_->add_tool(name, std::move(tool));
}

Result<Reply> Client::call_nested(ClientCore& core, internal::ToolDesk& desk,
                                  std::string_view method, Payload payload,
                                  const CallOptions& options) {
  const shm::MonotonicNs started = shm::monotonic_now();
  Result<OwnedPayload> reply = desk.call_nested(
      method, payload, internal::deadline_after(options.timeout, started), options.stop);
  core.count_nested(method, reply ? ErrorCategory::kNone : reply.error().category(), started);
  if (!reply) return std::move(reply).error();
  return Reply(*std::move(reply));
}

}  // namespace slotring
