// Tools: functions of a C++ program that a Python handler may call while it serves that program's
// call.
//
//     client.add_tool("search", [&](const ToolCall& call) -> Result<ToolReply> {
//       return ToolReply(index.find(call.text()));        // Python: await
//       ctx.tools.search("digits")
//     });
//     auto reply = client.call("answer", question);       // its handler may search, any number of
//     times
//
// A tool runs on the thread that waits for the reply of the call that its handler serves (in
// call(), Lease::wait(), or a Stream's next(), write() and finish()), and so only while that thread
// waits; of one call, one at a time, in the order in which they were asked for. Those that one
// handler asks at once wait for each other, however many, also while one of them waits for a nested
// call; beyond 4096, or 256 MiB of arguments, they are answered with POOL_SATURATED. Tools of
// several calls run at the same time, each on its own thread.
//
// A tool may call the pool: Client::call() of the same client, made on the tool's thread and
// without a session, is *nested*. It goes to the worker that waits for the tool, in the same slot,
// and is run at once; it waits for no free slot, and so cannot deadlock however many callers there
// are. It has the outer call's deadline, or its own if that is earlier. Tools and nested calls may
// be kMaxToolDepth deep. Other calls from a tool (of a session, of another client, claim(),
// stream()) go the ordinary way, and may wait for a free slot.
//
// A client without tools pays nothing for them.

#ifndef SLOTRING_TOOLS_H_
#define SLOTRING_TOOLS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "slotring/payload.h"
#include "slotring/result.h"

namespace slotring {

namespace internal {
class ToolDesk;
}

// How many tools and nested calls may run within each other: one that a nested call's handler asks
// is one deeper than the tool that made that call. How many are asked at once does not matter.
inline constexpr std::uint32_t kMaxToolDepth = 16;

// What a handler asks of a tool. Valid while the tool runs.
class ToolCall {
 public:
  std::string_view name() const { return name_; }
  PayloadKind kind() const { return argument_->kind(); }
  // A private copy: no peer changes it.
  std::span<const std::byte> bytes() const { return argument_->data(); }
  std::string_view text() const {
    return {reinterpret_cast<const char*>(bytes().data()), bytes().size()};
  }
  // The same with its tensors, or its table's type: view().tensor(), read_table<T>(call.view(),
  // ...).
  ReplyView view() const;
  // A kValue argument, or the value beside tensors, verified, to be read by flexbuffers::GetRoot().
  // Errors: BAD_FRAME when it does not verify, INVALID_ARGUMENT when it is of another kind.
  Result<std::vector<std::uint8_t>> value() const;

  // Until the deadline of the call that the handler serves; kNoTimeout without one.
  std::chrono::nanoseconds remaining() const;
  // Whether nobody needs the result any more: that call was stopped, is late, or its worker died. A
  // tool that takes long looks now and then: its own caller waits for it all the same.
  bool cancelled() const;

 private:
  friend class internal::ToolDesk;
  ToolCall(std::string_view name, const OwnedPayload& argument, const std::function<bool()>& gone,
           std::uint64_t deadline_ns)
      : name_(name), argument_(&argument), gone_(&gone), deadline_ns_(deadline_ns) {}

  std::string_view name_;
  const OwnedPayload* argument_;
  const std::function<bool()>* gone_;
  std::uint64_t deadline_ns_;
};

// What a tool answers; owns its bytes.
class ToolReply {
 public:
  // Nothing; Python sees None.
  ToolReply() = default;
  // A copy of bytes, a text, a value (Payload::value()), tensors or a table.
  template <class Content>
  requires std::is_convertible_v<const Content&, Payload>
  explicit ToolReply(const Content& content) : payload_(Payload(content)) {}

  const OwnedPayload& payload() const { return payload_; }

 private:
  OwnedPayload payload_;
};

// May return an error, which the handler sees as it sees errors of slotring, and may throw: the
// handler then gets HANDLER_RAISED with the exception's type and text (the Error of a
// slotring::Exception as it is).
using Tool = std::function<Result<ToolReply>(const ToolCall&)>;

}  // namespace slotring

#endif  // SLOTRING_TOOLS_H_
