#include "tests/kill_points/stream_stage.h"

#include <signal.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <thread>

#include "client_lib/stream_call.h"
#include "client_lib/tool_desk.h"
#include "tests/kill_points/stepped_process.h"
#include "tests/support/effort.h"
#include "tests/support/local_pool.h"
#include "tests/support/seat_lanes.h"

namespace slotring::testing {

using internal::ClientCore;
using internal::ToolDesk;
using layout::SeatState;
using shm::SlotIndex;
using shm::SlotState;

namespace {

constexpr std::uint16_t kTalker = 1;
constexpr std::uint16_t kBystander = 2;
constexpr std::uint16_t kNewcomer = 3;
constexpr std::uint32_t kSlots = 3;
constexpr int kItems = 3;
constexpr std::string_view kTalk = "talk";

// Short: copying one takes a step a byte where it is traced.
std::string item_text(int i) { return "item " + std::to_string(i); }

// What the victim passes before each of its steps. Never inlined: its address is the mark.
[[gnu::noinline, gnu::noclone]] void mark() { asm volatile("# mark" ::: "memory"); }

// What one side of the talk has seen.
class Record {
 public:
  void expect(bool holds, std::string_view what) {
    if (holds) return;
    if (!damage_.empty()) damage_ += "; ";
    damage_ += what;
  }
  const std::string& damage() const { return damage_; }

 private:
  std::string damage_;
};

// The client's side, until its one outcome.
void talk(ClientCore& core, Record& record) {
  int questions = 0;
  const Tool up = [&](const ToolCall& call) -> Result<ToolReply> {
    record.expect(call.text() == std::to_string(questions++),
                  "a tool was asked twice, or out of order");
    mark();
    Result<OwnedPayload> nested =
        ToolDesk::serving_here(core)->call_nested("down", call.text(), shm::kNever, {});
    if (!nested) return nested.error();
    mark();
    return ToolReply(nested->payload());
  };
  (void)core.add_tool("up", up).ok();
  mark();
  const auto opened = internal::open_stream(
      core, kTalk, "", {.call = {.timeout = kNoTimeout}, .window_bytes = shm::kMinWindowBytes},
      internal::kReadsStream | internal::kWritesStream);
  if (!opened) {
    return record.expect(false, "the stream was not opened: " + opened.error().to_string());
  }
  internal::StreamCall& stream = **opened;
  int items = 0;
  Result<std::optional<ReplyView>> item = std::optional<ReplyView>();
  for (; items < kItems; ++items) {
    mark();
    if (!stream.write(item_text(items))) break;
    mark();
    item = stream.next();
    if (!item || !*item) break;
    record.expect(text_of(**item) == item_text(items),
                  "a caller got an item twice, or a wrong one");
  }
  mark();
  (void)stream.finish_writing().ok();
  while (item && *item) item = stream.next();
  mark();
  const Result<std::pair<Lease, ReplyView>> end = stream.finish();
  if (end) {
    record.expect(text_of(end->second) == "done" && items == kItems && questions == kItems,
                  "a caller got a reply before all items");
  } else {
    record.expect(end.error().code == ErrorCode::kWorkerLost,
                  "a caller got " + end.error().to_string());
    record.expect(stream.finish().error().code == ErrorCode::kWorkerLost, "a second outcome");
  }
  mark();
}

// The worker's side of one call.
void answer_talk(shm::WorkerSeat& seat, const RunningCall& call, Record& record,
                 bool repeats_items) {
  for (int i = 0;; ++i) {
    mark();
    const std::optional<std::string> item = read_item(seat, call);
    if (!item) break;
    record.expect(*item == item_text(i), "a worker got an item twice, or a wrong one");
    mark();
    const std::string number = std::to_string(i);
    const std::string answer =
        call_tool(seat, call, "up", number, {0, static_cast<std::uint32_t>(i)},
                  [&](const std::string& nested, auto /*id*/) {
                    record.expect(nested == number, "a wrong nested call");
                    mark();
                    return "down " + nested;
                  });
    if (answer == "gone") break;
    record.expect(answer == "down " + number, "a worker got the answer: " + answer);
    mark();
    if (!send_item(seat, call, *item)) break;
    if (repeats_items && !send_item(seat, call, *item)) break;
  }
  mark();
  reply_text(seat, call, "done");
  mark();
}

// A worker until `over` of the calls that it served, which is looked at when nothing is requested.
void serve(shm::WorkerSeat& seat, Record& record, bool repeats_items,
           const std::function<bool(int)>& over) {
  for (int served = 0;;) {
    while (const auto call = seat.try_next()) {
      ++served;
      if (call->method_name == kTalk) {
        answer_talk(seat, *call, record, repeats_items);
      } else {
        EchoWorker::echo(seat, *call);
      }
    }
    if (over(served)) return;
    seat.wait(shm::kNever);
  }
}

// A thread that must come to its end, or all ends here.
class Survivor {
 public:
  explicit Survivor(const std::function<void(Record&)>& part)
      : thread_([this, part] {
          // Whoever waits for the victim's stops is to be interrupted, not this one.
          sigset_t looking_up;
          sigemptyset(&looking_up);
          sigaddset(&looking_up, SIGUSR2);
          ::pthread_sigmask(SIG_BLOCK, &looking_up, nullptr);
          try {
            part(record_);
          } catch (const std::exception& failure) {
            record_.expect(false, failure.what());
          }
          ended_.store(true);
        }) {}
  ~Survivor() { (void)join(); }

  // What it has seen that was wrong.
  std::string join() {
    if (!thread_.joinable()) return record_.damage();
    if (!eventually([&] { return ended_.load(); })) {
      std::printf("FAILED: who lives waits for ever\n");
      std::fflush(stdout);
      std::_Exit(1);
    }
    thread_.join();
    return record_.damage();
  }

 private:
  Record record_;
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

class StreamStage {
 public:
  explicit StreamStage(const StreamExperiment& experiment)
      : experiment_(experiment),
        pool_(small_geometry(1, kSlots)),
        bystander_(pool_.client(kBystander)) {
    pool_.publish(0);
    lease_.emplace(submit(*bystander_, "hello").value());
  }

  // In the child.
  bool perform() {
    Record record;
    if (experiment_.victim == Victim::kClient) {
      const auto core = pool_.client(kTalker);
      SteppedProcess::begin();
      talk(*core, record);
      SteppedProcess::end();
    } else {
      shm::WorkerSeat seat = pool_.worker(0);
      SteppedProcess::begin();
      // The bystander's call, and the talk.
      serve(seat, record, experiment_.repeats_items, [](int served) { return served == 2; });
      SteppedProcess::end();
    }
    return record.damage().empty();
  }

  // Here, while the child runs.
  void start_survivor() {
    if (experiment_.victim == Victim::kClient) return start_worker();
    talker_ = pool_.client(kTalker);
    client_.emplace([this](Record& record) { talk(*talker_, record); });
  }
  void mourn() {
    if (experiment_.victim == Victim::kClient) {
      shm::reclaim_client(pool_.pool(), kTalker);
      return;
    }
    pool_.set_seat(0, SeatState::kLost);
    shm::write_obituary(pool_.segment(), 0, 1, 4242, SIGKILL, "");
    shm::reclaim_worker(pool_.pool(), 0, 1, /*retired=*/false);
    start_worker();
    pool_.publish(0, 2);
  }
  std::string see_it_through() {
    Record record;
    if (client_) record.expect(client_->join().empty(), client_->join());
    const Result<ReplyView> reply = lease_->wait();
    record.expect(reply ? text_of(*reply) == "hello" : may_be_lost(reply.error()),
                  "a bystander has not its own outcome");
    lease_.reset();
    record.expect(eventually([&] { return pool_.segment().busy_slots(0) == 0; }),
                  "slots did not come back");
    stop_worker(record);  // it may have freed a slot, and not yet offered the hint
    if (!record.damage().empty()) return record.damage();
    check_hints(record);
    serve_on_seat();
    check_calls(record);
    stop_worker(record);
    return record.damage();
  }

 private:
  void start_worker() {
    seat_.emplace(pool_.worker(0));
    serve_on_seat();
  }
  void serve_on_seat() {
    stop_.store(false);
    worker_.emplace([this](Record& record) {
      serve(*seat_, record, experiment_.repeats_items, [this](int) { return stop_.load(); });
    });
  }
  void stop_worker(Record& record) {
    stop_.store(true);
    seat_->interrupt();
    record.expect(worker_->join().empty(), worker_->join());
  }
  bool may_be_lost(const Error& error) const {
    return experiment_.victim == Victim::kWorker && error.code == ErrorCode::kWorkerLost;
  }
  void check_hints(Record& record) {
    std::vector<shm::Claim> claims;
    while (const auto claim = pool_.pool().try_claim(kNewcomer)) claims.push_back(*claim);
    record.expect(claims.size() == kSlots, std::to_string(claims.size()) + " of " +
                                               std::to_string(kSlots) +
                                               " slots are found by their hints");
    for (const shm::Claim& claim : claims) {
      record.expect(pool_.pool().try_release(claim.slot, claim.word, shm::Actor::kClient),
                    "a claimed slot has another owner");
    }
  }
  void check_calls(Record& record) {
    std::vector<Lease> leases;
    for (std::uint32_t i = 0; i < kSlots; ++i) {
      leases.push_back(submit(*bystander_, std::to_string(i)).value());
    }
    for (std::uint32_t i = 0; i < kSlots; ++i) {
      const Result<ReplyView> reply = leases[i].wait();
      record.expect(reply && text_of(*reply) == std::to_string(i), "a call has not its own reply");
    }
  }

  const StreamExperiment experiment_;
  LocalPool pool_;
  std::unique_ptr<ClientCore> bystander_;
  std::optional<Lease> lease_;  // the bystander's call
  std::unique_ptr<ClientCore> talker_;
  std::optional<shm::WorkerSeat> seat_;
  std::atomic<bool> stop_{false};
  std::optional<Survivor> client_, worker_;
};

CodeAddress address_of_mark() { return reinterpret_cast<CodeAddress>(&mark); }

}  // namespace

std::vector<std::uint32_t> marks_of(const StreamExperiment& experiment) {
  StreamStage stage(experiment);
  std::vector<std::uint32_t> marks{0};
  {
    SteppedProcess child([&] { return stage.perform(); });
    bool on = child.reach_begin();
    stage.start_survivor();
    while (on && !child.at_end()) {
      if (child.instruction() == address_of_mark()) marks.push_back(0);
      ++marks.back();
      on = child.step();
    }
  }
  stage.mourn();
  (void)stage.see_it_through();
  return marks;
}

std::string damage_of_kill(const StreamExperiment& experiment, const StreamPoint& point) {
  StreamStage stage(experiment);
  std::string damage;
  try {
    SteppedProcess child([&] { return stage.perform(); });
    const bool begun = child.reach_begin();
    stage.start_survivor();
    if (!begun || !child.reach({address_of_mark(), point.mark, point.instructions})) {
      if (child.ended() && !child.succeeded()) damage = "the victim failed by itself";
    }
    child.kill();
  } catch (const std::exception& failure) {
    damage = failure.what();
  }
  stage.mourn();
  const std::string seen = stage.see_it_through();
  return damage.empty() ? seen : damage + "; " + seen;
}

std::vector<StreamPoint> spread(const std::vector<std::uint32_t>& marks, std::uint32_t points,
                                double offset) {
  std::uint64_t all = 0;
  for (const std::uint32_t instructions : marks) all += instructions;
  std::vector<StreamPoint> found;
  for (std::uint32_t i = 0; i < points; ++i) {
    auto at = static_cast<std::uint64_t>((i + offset) * static_cast<double>(all) / points);
    std::uint32_t mark = 0;
    while (mark + 1 < marks.size() && at >= marks[mark]) at -= marks[mark++];
    found.push_back({mark, static_cast<std::uint32_t>(at)});
  }
  return found;
}

}  // namespace slotring::testing
