#include "tests/kill_points/stage.h"

#include <signal.h>

#include <algorithm>
#include <cstring>

#include "client_lib/shm/doorbell.h"
#include "tests/kill_points/canary.h"

namespace slotring::testing {

using layout::SeatState;
using shm::SlotIndex;
using shm::SlotState;

namespace {

constexpr std::uint16_t kBystander = 2;
constexpr std::uint16_t kWaiting = 3;
constexpr std::uint16_t kOtherDead = 4;
constexpr std::uint16_t kNewcomer = 5;
constexpr std::string_view kForLater = "for later";
// One round of a spin is a point like the next: a short one has them all.
constexpr layout::WaitingTerms kShortSpins{.wake_ns = shm::kLeastWakeNs};

bool send(Lease& lease, std::string_view text) {
  const auto space = lease.request(text.size());
  if (!space) return false;
  std::memcpy(space->data(), text.data(), text.size());
  return lease.submit("echo", PayloadKind::kBytes, text.size()).ok();
}

void serve_all(shm::WorkerSeat& seat) {
  while (const auto call = seat.try_next()) EchoWorker::echo(seat, *call);
}

}  // namespace

Stage::Stage(const Experiment& experiment)
    : experiment_(experiment),
      pool_(small_geometry(2, kOperatedSlots), kShortSpins),
      bystander_(pool_.client(kBystander)),
      other_worker_(pool_.worker(1)),
      peers_(pool_),
      dead_(experiment.operation.dead_before) {
  pool_.publish(1);
  held_ = claim_all();
  held_words_ = words_of(kBystander);
  pool_.publish(0);
  if (experiment_.somebody_waits) waiter_ = pool_.pool().line().try_register(kWaiting);
  if (in_child(kClientPeer)) return;  // a client is of the process that makes it
  peers_.attach();
  experiment_.operation.prepare(peers_);
}

void Stage::expect(bool holds, std::string_view what) {
  if (holds) return;
  if (!damage_.empty()) damage_ += "; ";
  damage_ += what;
}

bool Stage::perform() {
  if (in_child(kClientPeer)) {
    peers_.attach();
    experiment_.operation.prepare(peers_);
  }
  SteppedProcess::begin();
  const bool good = experiment_.operation.run(peers_);
  SteppedProcess::end();
  // Only a child that was paused comes here: it ends what it has begun, and leaves.
  if (in_child(kClientPeer)) peers_.leases.clear();
  if (in_child(kWorkerPeer)) {
    while (!peers_.calls.empty()) peers_.echo();
    serve_all(peers_.seat);
  }
  return good;
}

// --- what the child waits for -----------------------------------------------------------------

bool Stage::try_wake_sleeper() {
  if (woken_) return false;
  if (in_child(kWorkerPeer)) {
    const std::uint32_t bell = pool_.segment().seat(0).bell.load();
    if ((bell & shm::Doorbell<std::atomic<std::uint32_t>>::kSleeps) == 0) return false;
    peers_.submit();
    return woken_ = true;
  }
  // Who waits in line rings before it sleeps; others ring too.
  bool sleeps = child_waits_in_line() && pool_.segment().header().audit_bell.load() != 0;
  for (SlotIndex slot = 0; slot < kOperatedSlots; ++slot) {
    const shm::SlotWord word = pool_.word(slot);
    sleeps = sleeps || (word.has(layout::kFlagCallerSleeps) && word.state == SlotState::kRunning);
  }
  if (!sleeps) return false;
  end_running_calls();
  audit_waiters();  // another may have had the wake
  return woken_ = true;
}

// --- the dead ---------------------------------------------------------------------------------

void Stage::lose_worker() {
  pool_.set_seat(0, SeatState::kLost, generation_);
  shm::write_obituary(pool_.segment(), 0, generation_, 4242, SIGKILL, "");
  if (experiment_.reaper_skips_abandoned) {
    canary::reclaim_worker_but_for_abandoned(pool_.pool(), 0, generation_);
  } else {
    shm::reclaim_worker(pool_.pool(), 0, generation_, /*retired=*/false);
  }
}

void Stage::mourn(bool client_first) {
  if (in_child(kReaperPeer)) {
    (void)experiment_.operation.run(peers_);  // the next supervisor repeats the walk
    return;
  }
  dead_ |= experiment_.operation.actors;
  if (client_first && is_dead(kClientPeer)) shm::reclaim_client(pool_.pool(), kOperatingClient);
  if (is_dead(kWorkerPeer)) lose_worker();
  if (!client_first && is_dead(kClientPeer)) shm::reclaim_client(pool_.pool(), kOperatingClient);
}

// --- the living -------------------------------------------------------------------------------

std::vector<Stage::Held> Stage::words_of(std::uint16_t owner) const {
  std::vector<Held> words;
  for (SlotIndex slot = 0; slot < pool_.segment().geometry().slots(); ++slot) {
    const shm::SlotWord word = pool_.word(slot);
    if (word.owner == owner) words.emplace_back(slot, word);
  }
  return words;
}

void Stage::expect_held(const std::vector<Held>& held, std::string_view whose) {
  for (const auto& [slot, word] : held) {
    expect(pool_.word(slot).same_step(word),
           "slot " + std::to_string(slot) + " of " + std::string(whose) + " was given away");
  }
}

// All that the worker of seat 0 runs was its own up to now.
void Stage::end_running_calls() {
  for (const shm::RunningCall& call : peers_.calls.all()) {
    const shm::SlotWord word = pool_.word(call.slot);
    expect(word.generation == call.word.generation &&
               (word.state == SlotState::kRunning || word.state == SlotState::kAbandoned),
           "a slot that a worker runs was given away");
  }
  while (!peers_.calls.empty()) peers_.echo();
}

void Stage::meanwhile() {
  if (worker_is_here()) {
    end_running_calls();
    serve_all(peers_.seat);
  }
  call_on(held_);
  held_.clear();
  if (!in_child(kReaperPeer)) {
    (void)pool_.pool().claim(kOtherDead, shm::kNoSlot, 1).ok();
    shm::reclaim_client(pool_.pool(), kOtherDead);
  }
  meanwhile_ = claim_all();
  if (in_child(kWorkerPeer) && !in_child(kClientPeer)) leave_requests_to_child();
  for (const Held& held : words_of(kBystander)) {
    if (held.second.state == SlotState::kClaimed) meanwhile_words_.push_back(held);
  }
}

// For the worker that is stopped: a request that is taken back, and one that stays.
void Stage::leave_requests_to_child() {
  for (Claimed& claimed : meanwhile_) {
    if (claimed.slot >= kOperatedSlots) continue;
    expect(send(claimed.lease, "taken back"), "a request was refused");
    claimed.lease.release();
    std::optional<Claimed> again = try_claim();
    if (!again) return expect(false, "a slot that was given back is not to be had");
    expect(send(again->lease, kForLater), "a request was refused");
    left_to_child_ = std::move(again);
    return;
  }
}

bool Stage::has_free_slot() const {
  for (SlotIndex slot = 0; slot < pool_.segment().geometry().slots(); ++slot) {
    const bool ready =
        pool_.segment().seat_word(pool_.segment().seat_of(slot)).state == SeatState::kReady;
    if (ready && pool_.state(slot) == SlotState::kFree) return true;
  }
  return false;
}

// Waits in line if others do; there is a slot for it.
std::optional<Stage::Claimed> Stage::try_claim() {
  if (!has_free_slot()) return std::nullopt;
  const std::vector<Held> before = words_of(kBystander);
  Result<Lease> lease = bystander_->claim(shm::kNever);
  for (const auto& [slot, word] : words_of(kBystander)) {
    const auto same_slot = [slot = slot](const Held& held) { return held.first == slot; };
    if (std::none_of(before.begin(), before.end(), same_slot)) {
      return Claimed{slot, *std::move(lease)};
    }
  }
  expect(false, "a client claimed a slot that it had");
  return std::nullopt;
}

std::vector<Stage::Claimed> Stage::claim_all() {
  std::vector<Claimed> claimed;
  while (std::optional<Claimed> one = try_claim()) claimed.push_back(*std::move(one));
  return claimed;
}

bool Stage::child_waits_in_line() const {
  return in_child(kClientPeer) && is_in_line(kOperatingClient);
}

bool Stage::is_in_line(std::uint16_t owner) const {
  for (shm::WaiterIndex i = 0; i < pool_.segment().geometry().max_waiters; ++i) {
    const auto word = layout::WaiterWord::unpack(pool_.segment().waiter_word(i).load());
    if (word.owner == owner && word.state != layout::WaiterState::kVacant) return true;
  }
  return false;
}

void Stage::end_meanwhile() {
  expect_held(meanwhile_words_, "another client");
  meanwhile_words_.clear();
  meanwhile_.clear();
}

void Stage::end_leases() {
  for (SlotIndex slot = 0; slot < kOperatedSlots; ++slot) {
    const shm::SlotWord word = pool_.word(slot);
    if (word.owner != kOperatingClient) continue;
    if (word.state == SlotState::kRequested || word.state == SlotState::kRunning) {
      return expect(false, std::string("a call is ") + to_string(word.state) + " for ever");
    }
  }
  for (Lease& lease : peers_.leases) {
    if (!lease.held()) continue;
    const Result<ReplyView> reply = lease.wait();
    if (reply) {
      expect(text_of(*reply) == "hello", "a caller got another's reply");
      continue;
    }
    const ErrorCode code = reply.error().code;
    const bool lost = code == ErrorCode::kWorkerLost && is_dead(kWorkerPeer);
    // Of a lease that was only claimed, a handler that raised, a request that came late.
    expect(lost || code == ErrorCode::kInvalidArgument || code == ErrorCode::kHandlerRaised ||
               code == ErrorCode::kDeadlineExceeded,
           "a caller got " + reply.error().to_string());
  }
}

void Stage::go_on() {
  if (worker_is_here()) {
    end_running_calls();
    const auto late = peers_.seat.try_next();
    expect(!late || !is_dead(kClientPeer), "a dead client's call was started");
    if (late) EchoWorker::echo(peers_.seat, *late);
    serve_all(peers_.seat);
  } else if (is_dead(kWorkerPeer)) {
    start_successor();
    serve_all(*successor_);
  }
  if (!is_dead(kClientPeer) && !in_child(kClientPeer)) {
    end_leases();
    peers_.leases.clear();
    pool_.pool().line().evict(kOperatingClient);  // what a client does that waits no longer
  }
  if (left_to_child_) {
    const shm::SlotWord word = pool_.word(left_to_child_->slot);
    if (word.state != SlotState::kReplied) return expect(false, "a request was forgotten");
    const Result<ReplyView> reply = left_to_child_->lease.wait();
    expect(reply && text_of(*reply) == kForLater, "a caller has not its own reply");
    left_to_child_.reset();
  }
}

void Stage::start_successor() {
  successor_.emplace(pool_.worker(0));
  pool_.publish(0, ++generation_);
}

// --- the end ----------------------------------------------------------------------------------

// Sends on all leases, serves, and looks at each reply.
void Stage::call_on(std::vector<Claimed>& claims) {
  const auto text = [](const Claimed& claimed) { return "slot " + std::to_string(claimed.slot); };
  for (Claimed& claimed : claims) {
    expect(send(claimed.lease, text(claimed)), "a request was refused");
  }
  serve_all(other_worker_);
  if (successor_) {
    serve_all(*successor_);
  } else if (worker_is_here()) {
    serve_all(peers_.seat);
  }
  for (Claimed& claimed : claims) {
    if (pool_.state(claimed.slot) != SlotState::kReplied) {
      expect(false, "a call has no reply");
      continue;
    }
    const Result<ReplyView> reply = claimed.lease.wait();
    expect(reply && text_of(*reply) == text(claimed), "a call has not its own reply");
  }
}

// Each slot is found, and found once, by the hints alone.
void Stage::check_hints() {
  std::vector<shm::Claim> claims;
  while (const auto claim = pool_.pool().try_claim(kNewcomer)) claims.push_back(*claim);
  const std::uint32_t slots = pool_.segment().geometry().slots();
  expect(claims.size() == slots, std::to_string(claims.size()) + " of " + std::to_string(slots) +
                                     " slots are found by their hints");
  for (const shm::Claim& claim : claims) {
    expect(pool_.pool().try_release(claim.slot, claim.word, shm::Actor::kClient),
           "a claimed slot has another owner");
  }
}

void Stage::check_whole() {
  const shm::WaitingLine& line = pool_.pool().line();
  if (waiter_) {
    audit_waiters();
    expect(line.sleep(*waiter_, 1), "who waited was not woken");
    line.leave(*waiter_);
  }
  for (const std::uint16_t owner : {kOperatingClient, kBystander, kWaiting, kOtherDead}) {
    expect(!is_in_line(owner), "client " + std::to_string(owner) + " is left in line");
  }
  expect(!line.wake_one(), "somebody is left in line");
  expect(pool_.segment().busy_slots(0) == 0,
         std::to_string(pool_.segment().busy_slots(0)) + " slots did not come back");
  if (!held_.empty()) {
    expect_held(held_words_, "a bystander");
    call_on(held_);
    held_.clear();
  }
  if (!damage_.empty()) return;  // what follows would wait for ever
  check_hints();
  // A fresh worker, and a call on every slot.
  lose_worker();
  start_successor();
  std::vector<Claimed> claims = claim_all();
  expect(claims.size() == pool_.segment().geometry().slots(), "a slot was lost with its worker");
  call_on(claims);
}

}  // namespace slotring::testing
