#include "tests/budget/hot_calls.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <stdexcept>

#include "slotring/client.h"
#include "tests/budget/python_worker.h"
#include "tests/support/effort.h"
#include "tests/support/local_supervisor.h"

namespace slotring::testing {
namespace {

using Request = std::array<std::byte, 64>;

// The first calls map memory, and learn how to wait.
constexpr int kWarmUps = 4;
constexpr int kCalls = 5;
// CPython specializes code that has run often, and the slots' hints settle.
constexpr int kPythonWarmUps = 400;

// --- what runs in the stepped child ---

template <class Part>
void mark(Part part) {
  SteppedProcess::begin();
  part();
  SteppedProcess::end();
}

[[gnu::noinline]] void waste_some(Waste waste) {
  if (waste == Waste::kInstructions) {
    asm volatile(".rept %c0\n\tnop\n\t.endr" ::"i"(kWastedInstructions));
  }
  if (waste == Waste::kSystemCall) ::syscall(SYS_getppid);
  if (waste == Waste::kAllocation) {
    void* volatile memory = std::malloc(64);
    std::free(memory);
  }
}

// Marks the parts of calls, in the order of measure_client().
bool call_often(const std::string& pool, Waste waste) {
  Client client = Client::attach(pool).value();
  const Request request{};
  bool good = true;
  for (int i = 0; i < kWarmUps + kCalls; ++i) {
    mark([] {});
    mark([&] {
      const Result<Reply> reply = client.call("echo", Payload(request));
      good = good && reply.ok();
      if (waste != Waste::kNone) waste_some(waste);
    });
    if (waste != Waste::kNone) continue;
    std::optional<Lease> lease;
    mark([&] { lease.emplace(client.claim().value()); });
    mark([&] {
      const std::span<std::byte> space = lease->request(request.size()).value();
      std::memcpy(space.data(), request.data(), request.size());
    });
    mark([&] { good = lease->submit("echo", PayloadKind::kBytes, request.size()).ok() && good; });
    mark([&] { good = lease->wait().ok() && good; });
    mark([&] { lease.reset(); });
  }
  return good;
}

bool serve_often(const LocalPool& pool) {
  shm::WorkerSeat seat = pool.worker();
  bool good = true;
  for (int i = 0; i < kWarmUps + kCalls; ++i) {
    mark([] {});
    mark([&] {
      const std::optional<shm::RunningCall> call = seat.try_next();
      good = good && call;
      if (call) EchoWorker::echo(seat, *call);
    });
  }
  return good;
}

// --- what runs here ---

// By the clock of a process in single steps every call takes long: it would offer its CPU to others
// after each.
constexpr layout::WaitingTerms kTakesNoTurns{.mode = layout::WaitingMode::kLatency};

struct OneSeat {
  OneSeat() {
    pool.publish_all();
    pool.intern("echo");
  }
  LocalPool pool{small_geometry(), kTakesNoTurns};
};

// What the marked parts cost, beyond the marks themselves, which are the first part.
// before_part(part) comes with the child right before it, meanwhile() before each instruction.
void measure_parts(SteppedProcess& child, std::vector<Measured>& parts,
                   const std::function<void(std::size_t)>& before_part,
                   const std::function<void()>& meanwhile) {
  if (!child.reach_begin()) throw std::runtime_error("the stepped process came to no call");
  InstructionMeter meter(child);
  Cost of_marks;
  for (int i = 0; i < kWarmUps + kCalls; ++i) {
    for (std::size_t part = 0; part <= parts.size(); ++part) {
      before_part(part);
      while (!child.at_end()) {
        meanwhile();
        meter.step();
      }
      const Cost cost = meter.take();
      if (part == 0) of_marks = cost;
      if (part > 0 && i >= kWarmUps) parts[part - 1].calls.push_back(cost - of_marks);
      const bool last = i + 1 == kWarmUps + kCalls && part == parts.size();
      if (!last && !child.reach_next_begin()) {
        throw std::runtime_error("the stepped process came to no further call");
      }
    }
  }
  child.go_on();
  if (!eventually([&] { return child.ended(); }) || !child.succeeded()) {
    throw std::runtime_error("the stepped process did not end well");
  }
}

Lease submit_request(internal::ClientCore& client) {
  static const std::string text(Request{}.size(), 'x');
  return submit(client, text).value();
}

// The slot whose call has come so far, if any.
std::optional<shm::SlotIndex> slot_in(const LocalPool& pool, shm::SlotState state) {
  for (shm::SlotIndex slot = 0; slot < pool.segment().geometry().slots(); ++slot) {
    if (pool.state(slot) == state) return slot;
  }
  return std::nullopt;
}

void step_until_running(const LocalPool& pool, InstructionMeter& meter) {
  while (!slot_in(pool, shm::SlotState::kRunning)) meter.step();
}

}  // namespace

std::vector<Measured> measure_client(Waste waste) {
  const OneSeat seat;
  const LocalSupervisor supervisor(seat.pool);
  shm::WorkerSeat worker = seat.pool.worker();
  SteppedProcess child([&] { return call_often(supervisor.path(), waste); });
  std::vector<Measured> parts = {{kClientCall},   {kClientClaim}, {kClientWrite},
                                 {kClientSubmit}, {kClientRead},  {kClientRelease}};
  if (waste != Waste::kNone) parts.resize(1);
  // As soon as the worker's bell is rung.
  const auto serve = [&] {
    if (!worker.pending()) return;
    if (const std::optional<shm::RunningCall> call = worker.try_next()) {
      EchoWorker::echo(worker, *call);
    }
  };
  measure_parts(
      child, parts, [](std::size_t) {}, serve);
  return parts;
}

std::vector<Measured> measure_seat() {
  const OneSeat seat;
  const auto client = seat.pool.client();
  SteppedProcess child([&] { return serve_often(seat.pool); });
  std::vector<Measured> parts = {{kSeatCall}};
  std::optional<Lease> lease;
  measure_parts(
      child, parts,
      [&](std::size_t part) {
        if (lease) (void)lease->wait().value();
        lease.reset();
        if (part > 0) lease.emplace(submit_request(*client));
      },
      [] {});
  return parts;
}

std::vector<Measured> measure_python(std::string& runtime) {
  const LocalPool pool(small_geometry(), kTakesNoTurns);
  const auto client = pool.client();
  PythonWorker worker(pool, "import slotring\n\n@slotring.handler\ndef echo(r):\n    return r\n");
  runtime = worker.runtime();
  for (int i = 0; i < kPythonWarmUps; ++i) (void)submit_request(*client).wait().value();
  SteppedProcess& process = worker.process();
  if (!process.stop()) throw std::runtime_error("the Python worker did not stop");
  InstructionMeter meter(process);
  std::vector<Measured> parts = {{kPythonCall}};
  Lease lease = submit_request(*client);
  step_until_running(pool, meter);
  for (int i = 0; i < kWarmUps + kCalls; ++i) {
    (void)meter.take();
    while (!slot_in(pool, shm::SlotState::kReplied)) meter.step();
    // The next request is there before the worker looks for one.
    (void)lease.wait().value();
    lease.release();
    lease = submit_request(*client);
    step_until_running(pool, meter);
    if (i >= kWarmUps) parts[0].calls.push_back(meter.take());
  }
  return parts;
}

}  // namespace slotring::testing
