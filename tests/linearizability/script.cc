#include "tests/linearizability/script.h"

#include <sched.h>

namespace slotring::linearizability {

namespace {

Operation at(Kind kind, const Place& place, std::uint64_t value = 0) {
  Operation operation;
  operation.kind = kind;
  operation.slot = place.slot;
  operation.generation = place.generation;
  operation.value = value;
  return operation;
}

void pause(testing::RandomSource& random) {
  for (std::uint32_t i = random.below(4); i > 2; --i) ::sched_yield();
}

std::optional<Place> claim(Caller& caller, Recorder& log, bool patient) {
  std::optional<Place> place;
  log.record(at(Kind::kClaim, {}), [&](Operation& operation) {
    place = caller.claim(patient);
    if (!place) return Outcome::kNothing;
    operation.slot = place->slot;
    operation.generation = place->generation;
    return Outcome::kDone;
  });
  return place;
}

// Sends a call and waits for its reply, or gives it up.
void call(Caller& caller, Recorder& log, testing::RandomSource& random, const Place& place,
          std::uint64_t value) {
  log.record(at(Kind::kSubmit, place, value), [&](Operation&) {
    caller.submit(value);
    return Outcome::kDone;
  });
  pause(random);
  if (random.one_in(4)) {
    log.record(at(Kind::kAbandon, place), [&](Operation&) {
      caller.abandon();
      return Outcome::kDone;
    });
    return;
  }
  const Outcome received = log.record(at(Kind::kReceive, place), [&](Operation& operation) {
    const std::optional<std::uint64_t> reply = caller.receive();
    if (!reply) return Outcome::kLost;
    operation.value = *reply;
    return Outcome::kDone;
  });
  if (received == Outcome::kLost) return;
  log.record(at(Kind::kRelease, place), [&](Operation&) {
    caller.release();
    return Outcome::kDone;
  });
}

}  // namespace

void run_caller(Caller& caller, Recorder& log, testing::RandomSource& random, int rounds,
                std::uint64_t first_value) {
  for (int round = 0; round < rounds; ++round) {
    const bool patient = !random.one_in(3);
    const std::optional<Place> place = claim(caller, log, patient);
    if (!place) continue;
    pause(random);
    if (patient && !random.one_in(4)) {
      call(caller, log, random, *place, first_value + static_cast<std::uint64_t>(round));
    } else {
      log.record(at(Kind::kRelease, *place), [&](Operation&) {
        caller.release();
        return Outcome::kDone;
      });
    }
  }
}

bool serve_once(Server& server, Recorder& log, testing::RandomSource& random) {
  std::optional<Call> call;
  const Outcome served = log.record(at(Kind::kServe, {}), [&](Operation& operation) {
    call = server.serve();
    if (!call) return Outcome::kNothing;
    operation.slot = call->place.slot;
    operation.generation = call->place.generation;
    operation.value = call->value;
    return Outcome::kDone;
  });
  if (served == Outcome::kNothing) {
    if (!random.one_in(4) || log.nearly_full()) log.forget_last();
    return false;
  }
  pause(random);
  const std::uint64_t reply = reply_to(call->value);
  log.record(at(Kind::kReply, call->place, reply), [&](Operation&) {
    server.reply(reply);
    return Outcome::kDone;
  });
  return true;
}

}  // namespace slotring::linearizability
