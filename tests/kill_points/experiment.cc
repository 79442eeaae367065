#include "tests/kill_points/experiment.h"

#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "tests/kill_points/stage.h"
#include "tests/support/effort.h"

namespace slotring::testing {
namespace {

constexpr std::uint32_t kMostInstructions = 100'000;
constexpr int kTriesToTrace = 5;

// Whether the child came there; else it strayed, and is at its end.
bool bring_to(std::uint32_t point, const Experiment& experiment, const Trace& trace, Stage& stage,
              SteppedProcess& child) {
  const std::optional<std::uint32_t> stopover = trace.stopover(point);
  if (experiment.single_steps_only) {
    for (std::uint32_t i = 0; i < point; ++i) {
      if (i == stopover) (void)stage.try_wake_sleeper();
      if (child.at_end() || !child.step()) return false;
    }
    return true;
  }
  if (stopover) {
    if (!child.reach(trace.way_to(*stopover))) return false;
    // Not yet asleep: a way of its own, on which it might sleep for ever.
    if (!stage.try_wake_sleeper()) return false;
  }
  return point < trace.size() ? child.reach(trace.way_to(point)) : child.reach_end();
}

// Lets a paused child run to its end.
void await_end(Stage& stage, SteppedProcess& child) {
  child.go_on();
  const bool over = eventually([&] { return child.ended() || stage.child_waits_in_line(); });
  stage.expect(over, "the child goes on for ever");
  stage.end_meanwhile();
  const bool ended = eventually([&] {
    stage.audit_waiters();
    return child.ended();
  });
  if (!ended) {
    stage.expect(false, "the child never ended");
    child.kill();
  } else {
    stage.expect(child.succeeded(), "what the child did has not ended as it ought to");
  }
}

}  // namespace

namespace {

// Of one child; nothing when that fell asleep where nobody wakes it.
std::optional<Trace> try_trace(const Experiment& experiment) {
  Trace trace;
  Stage stage(experiment);
  SteppedProcess child([&] { return stage.perform(); });
  bool on = child.reach_begin();
  while (on && !child.at_end() && trace.size() < kMostInstructions) {
    if (experiment.operation.sleeps && stage.try_wake_sleeper()) trace.stop_over();
    trace.append(child.instruction());
    on = child.step();
  }
  if (child.asleep()) return std::nullopt;
  trace.finish();
  return trace;
}

}  // namespace

Trace trace_of(const Experiment& experiment) {
  for (int i = 0; i < kTriesToTrace; ++i) {
    if (std::optional<Trace> trace = try_trace(experiment)) return *std::move(trace);
  }
  throw std::runtime_error(std::string(experiment.operation.name) +
                           ": the child sleeps, and nothing here wakes it");
}

Outcome try_point(const Experiment& experiment, const Trace& trace, std::uint32_t point) {
  Outcome outcome;
  Stage stage(experiment);
  try {
    SteppedProcess child([&] { return stage.perform(); });
    outcome.strayed = !child.reach_begin() || !bring_to(point, experiment, trace, stage, child);
    if (child.ended()) {
      stage.expect(false,
                   "the child died of itself, with status " + std::to_string(child.status()));
    } else if (experiment.cut == Cut::kKill) {
      child.kill();
      stage.mourn(/*client_first=*/point % 2 == 0);
    } else {
      stage.meanwhile();
      await_end(stage, child);
    }
    stage.go_on();
    stage.check_whole();
  } catch (const std::exception& failure) {
    stage.expect(false, failure.what());
  }
  outcome.damage = stage.damage();
  return outcome;
}

}  // namespace slotring::testing
