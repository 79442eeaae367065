// Where a call's tools are asked for and answered, and where calls that tools make go out: the
// tools lanes of one slot, on the client's side.
//
// Several threads may wait for one call (the two ends of a stream). Whichever finds a frame attends
// to it, and the others leave the lanes alone meanwhile. Frames are handled in their order, but for
// questions (calls of tools) that come while a nested call is awaited and that its outcome cannot
// depend on: those of the handlers around it, which ask several tools at once. They wait for the
// tools that run, so that the stack grows with the depth of calls and not with their number.
//
// Nothing that comes from the worker is trusted: a frame that no correct worker sends ends the call
// with BAD_FRAME. Arguments are copied out of the lane, so that its room goes back before a tool
// runs, and tools within tools never wait for it.

#ifndef SLOTRING_CLIENT_LIB_TOOL_DESK_H_
#define SLOTRING_CLIENT_LIB_TOOL_DESK_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "client_lib/shm/adaptive_wait.h"
#include "client_lib/shm/call_lanes.h"
#include "client_lib/tool_table.h"
#include "slotring/lease.h"
#include "slotring/tools.h"

namespace slotring::internal {

class ClientCore;
class LanePayload;

// How many questions, and how many bytes of their arguments, may wait for a tool that runs; more
// are answered with POOL_SATURATED, for a worker that keeps no measure.
inline constexpr std::size_t kMaxWaitingQuestions = 4096;
inline constexpr std::size_t kMaxWaitingQuestionBytes = std::size_t{256} << 20;

class ToolDesk {
 public:
  // Both outlive this.
  ToolDesk(ClientCore& core, shm::CallLanes& lanes);

  // A new call, before it is sent.
  void begin(const ToolTable& tools);

  // Whether there is a frame that nobody attends to yet. Any thread.
  bool pending();
  // Attends to all frames that there are, unless another thread does. Errors: the call is to be
  // ended with error(). Any thread.
  Status attend(const Lease& lease);
  const Error& error() const { return *error_; }

  // The desk of this client whose tool runs on this thread, or null.
  static ToolDesk* serving_here(const ClientCore& core);
  // A call made by the tool that runs on this thread.
  Result<OwnedPayload> call_nested(std::string_view method, Payload payload,
                                   shm::MonotonicNs deadline, const std::stop_token& stop);

 private:
  // A tool that runs; the thread's innermost first.
  struct Running {
    const ClientCore* core;
    ToolDesk* desk;
    const Lease* lease;
    shm::MonotonicNs deadline;
    std::uint32_t depth;
    Running* outer;
  };
  // A nested call that waits for its reply.
  struct Nested {
    std::uint32_t id;
    std::optional<Result<OwnedPayload>> outcome;
    Nested* outer;
  };
  // What the worker asks of a tool.
  struct Question {
    layout::ToolCallId id;
    std::string tool;
    OwnedPayload argument;
    shm::MonotonicNs deadline;
  };
  static thread_local Running* innermost_;

  // Whether handle_next() has something to do.
  bool has_next() const { return lanes_->tools_in.ready() || has_due_question(); }
  bool has_due_question() const;
  std::optional<Question> take_due_question();
  // Whether nothing that is awaited now depends on its answer.
  bool can_wait(const Question& question) const;
  // Each error of these is one of the call, and is kept: see break_off().
  Status handle_next(const Lease& lease);
  Status take_question(const Lease& lease, const shm::LaneFrame& frame);
  Status answer(const Lease& lease, const Question& question);
  Status take_nested_reply(const Lease& lease, const shm::LaneFrame& frame);
  // REQUIRES: await_room().
  Status send(const Lease& lease, layout::LaneFrameKind kind, shm::FrameHead head,
              const LanePayload& payload, shm::RareHead rare);
  Status send_reply(const Lease& lease, std::uint64_t call_id, const Result<ToolReply>& reply);
  // From now on the call is to be ended with this error; the first of several counts, and is
  // returned. The other: a frame is one that no correct worker sends.
  Status break_off(Error error);
  Status break_rules(std::string what);

  Result<ToolReply> run(const Lease& lease, const Question& question);
  // Waits for room for a frame of `bytes` with an envelope. False: the call, or its time, is over.
  bool await_room(const Lease& lease, std::uint64_t bytes);
  Status await_nested(const Lease& lease, const Nested& nested, shm::MonotonicNs deadline,
                      const std::stop_token& stop);
  Error ended_error(const Lease& lease) const;

  ClientCore* core_;
  shm::CallLanes* lanes_;
  const ToolTable* tools_ = nullptr;
  std::mutex look_;        // guards attended_, and the lanes' reader while nobody attends
  bool attended_ = false;  // a thread attends: the lanes, and all below, are its alone
  std::optional<Error> error_;
  shm::AdaptiveWait waiting_;
  std::uint32_t nested_calls_ = 0;
  Nested* waiting_nested_ = nullptr;            // the innermost first
  std::vector<std::uint32_t> given_up_nested_;  // whose reply may come yet
  std::deque<Question> questions_;              // that wait, in order
  std::size_t question_bytes_ = 0;
};

}  // namespace slotring::internal

#endif  // SLOTRING_CLIENT_LIB_TOOL_DESK_H_
