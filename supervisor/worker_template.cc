#include "supervisor/worker_template.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "supervisor/handshake.h"
#include "supervisor/process_watch.h"
#include "supervisor/worker_process.h"

namespace slotring::supervisor {

using std::chrono::duration_cast;
using std::chrono::milliseconds;

namespace {

// Whether `pid` is a child of this process that has not left the process group of another.
bool is_own_child(pid_t pid, pid_t group) {
  siginfo_t info{};
  return pid > 1 && pid != group && ::getpgid(pid) == group &&
         ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

}  // namespace

WorkerTemplate::WorkerTemplate(const PoolSide& pool)
    : pool_(pool),
      log_(pool.log_output.make_log(pool.config.name + "/template")),
      policy_(pool.config.restart),
      timer_(pool.io) {}

void WorkerTemplate::start() {
  if (process_ || stopping_) return;
  timer_.cancel();
  const Status launched = launch();
  if (launched) return;
  log_->error("cannot be started: {}", launched.error().to_string());
  answer_all(launched.error());
}

Status WorkerTemplate::launch() {
  std::vector<std::string> arguments = {"--socket-fd",     kSocketPlace, "--pool",
                                        pool_.config.name, "--profile",  pool_.config.profile};
  for (const std::string& module : pool_.config.preload) {
    arguments.insert(arguments.end(), {"--preload", module});
  }
  Result<LaunchedProcess> launched = supervisor::launch(make_python_order(
      pool_.config, pool_.package_path, "slotring.template", std::move(arguments)));
  if (!launched) return std::move(launched).error();
  const pid_t pid = launched->pid;
  Status taken = take_on(*std::move(launched));
  if (taken) return taken;
  process_.reset();
  kill_and_reap(pid);
  return taken;
}

Status WorkerTemplate::take_on(LaunchedProcess launched) {
  process_ = std::make_unique<Process>();
  process_->pid = launched.pid;
  process_->log = pool_.log_output.make_log(pool_.config.name + "/template[" +
                                            std::to_string(launched.pid) + "]");
  if (Status output = process_->watch_output(pool_.io, std::move(launched.output),
                                             std::move(launched.error_output));
      !output) {
    return output;
  }
  Result<ReadableWatch> socket =
      ReadableWatch::start(pool_.io, std::move(launched.socket), [this] { on_readable(); });
  if (!socket) return std::move(socket).error();
  process_->socket = *std::move(socket);
  Status life = process_->watch_life(pool_.io, std::move(launched.pidfd), [this] { on_exit(); });
  if (!life) return life;
  process_->log->info("started: importing {}", counted(pool_.config.preload.size(), "module"));
  return Done{};
}

void WorkerTemplate::fork(Request request) {
  if (stopping_) return;
  requests_.push_back(std::move(request));
  start();
  send_next();
}

void WorkerTemplate::withdraw(shm::SeatIndex seat) {
  const auto asked = std::find_if(requests_.begin(), requests_.end(),
                                  [seat](const Request& request) { return request.seat == seat; });
  if (asked == requests_.end()) return;
  // Where it was sent, its place stays: no other is sent to a template that is killed.
  const bool sent = asked == requests_.begin() && ordered_;
  if (sent) {
    asked->on_forked = nullptr;
  } else {
    requests_.erase(asked);
  }
  if (!process_) return;
  process_->log->warn("{} for too long: ending it",
                      process_->ready ? "did not fork" : "was importing");
  process_->given_up = true;
  signal_group(process_->life.fd(), process_->pid, SIGKILL);
}

void WorkerTemplate::stop() {
  stopping_ = true;
  timer_.cancel();
  requests_.clear();
  ordered_.reset();
  if (!process_) return;
  process_->socket.stop();  // it is told so
  kill_after(process_->ready ? pool_.config.stop_timeout : milliseconds(0));
}

void WorkerTemplate::end() {
  timer_.cancel();
  requests_.clear();
  ordered_.reset();
  if (!process_) return;
  reap(*process_);
  process_.reset();
}

void WorkerTemplate::on_readable() { (void)receive(); }

// One packet; whether there may be more.
bool WorkerTemplate::receive() {
  Result<shm::Packet> packet = receive_now(process_->socket.fd());
  if (packet) {
    on_packet(*packet);
    return process_->socket.active();
  }
  if (packet.error().code == ErrorCode::kDeadlineExceeded) return false;  // woken for nothing
  // A dying process closes its socket before its pidfd tells. One that lives on is of no use.
  process_->socket.stop();
  kill_after(pool_.config.stop_timeout);
  return false;
}

void WorkerTemplate::on_packet(const shm::Packet& packet) {
  if (const auto* refused = packet.as<wire::Refused>()) {
    const std::string message =
        refused->message() != nullptr ? printable(refused->message()->string_view()) : "refused";
    return on_refused({static_cast<ErrorCode>(refused->code()), message});
  }
  if (packet.as<wire::Preloaded>() != nullptr && !process_->ready) return on_preloaded();
  const auto* forked = packet.as<wire::Forked>();
  if (forked != nullptr && ordered_) return on_forked(forked->pid());
  process_->log->error("sent a message out of turn");
  process_->socket.stop();
  kill_after(milliseconds(0));
}

void WorkerTemplate::on_preloaded() {
  const std::chrono::duration<double> took = Clock::now() - process_->since;
  process_->log->info("ready: imported {} in {:.2f} s",
                      counted(pool_.config.preload.size(), "module"), took.count());
  process_->ready = true;
  process_->since = Clock::now();
  send_next();
}

void WorkerTemplate::on_forked(pid_t pid) {
  if (!requests_.front().on_forked) return;  // withdrawn: it ends with the template's group
  answer(take_out(pid));
  send_next();
}

// Out of the template's process group, into its own: from here on it outlives the template. It does
// nothing before it is welcomed (worker_link.h), which comes after this.
Result<LaunchedProcess> WorkerTemplate::take_out(pid_t pid) {
  if (!is_own_child(pid, process_->pid)) {
    return Error{ErrorCode::kRefused,
                 "what the template has forked, pid " + std::to_string(pid) +
                     ", is no child of the supervisor: `python` must become the interpreter by "
                     "exec, or use start = \"process\""};
  }
  ::setpgid(pid, pid);
  Result<LaunchedProcess> process = std::move(*ordered_).with(pid);
  if (!process) kill_and_reap(pid);
  return process;
}

// A shortage is the machine's; everything else holds for each later fork, too, and the template
// leaves.
void WorkerTemplate::on_refused(const Error& why) {
  if (why.category() == ErrorCategory::kResource && ordered_) {
    answer(why);
    return send_next();
  }
  process_->log->error("{}", why.message);
  process_->given_up = true;
  process_->socket.stop();
  kill_after(pool_.config.stop_timeout);
  answer_all(why);
}

void WorkerTemplate::send_next() {
  while (process_ && process_->ready && process_->socket.active() && !ordered_ &&
         !requests_.empty()) {
    const Status sent = send_order(requests_.front());
    if (sent) continue;
    // It is gone, and on_exit() follows: who waits gets the next one.
    if (sent.error().code == ErrorCode::kWorkerUnavailable) return;
    answer(sent.error());
  }
}

Status WorkerTemplate::send_order(const Request& request) {
  Result<Connections> connections = Connections::make();
  if (!connections) return std::move(connections).error();
  const int descriptors[] = {connections->their_socket.get(), request.seat_socket.get(),
                             connections->output.writing.get(),
                             connections->error_output.writing.get()};
  Status sent = send_fork(process_->socket.fd(), request.arguments, descriptors);
  if (sent) ordered_ = *std::move(connections);
  return sent;
}

// The first request.
void WorkerTemplate::answer(Result<LaunchedProcess> with) {
  const Request request = std::move(requests_.front());
  requests_.pop_front();
  ordered_.reset();
  if (request.on_forked) request.on_forked(std::move(with));
}

void WorkerTemplate::answer_all(const Error& why) {
  ordered_.reset();
  for (std::deque<Request> asked = std::exchange(requests_, {}); Request & request : asked) {
    if (request.on_forked) request.on_forked(why);
  }
}

void WorkerTemplate::on_exit() {
  while (process_->socket.active() && receive()) {  // what it had said before
  }
  const std::unique_ptr<Process> dead = std::move(process_);
  timer_.cancel();
  const std::string how = describe_wait_status(reap(*dead));
  dead->finish_output();
  dead->log->log(stopping_ ? spdlog::level::info : spdlog::level::warn, "{}", how);
  if (stopping_) return pool_.on_stopped();
  const Error why{ErrorCode::kWorkerUnavailable, "the template " + how};
  if (!dead->ready && !dead->given_up) return answer_all(why);
  if (ordered_) answer(why);
  if (!requests_.empty()) {
    start();
  } else if (dead->ready) {
    plan_successor(duration_cast<milliseconds>(Clock::now() - dead->since));
  }
}

// Not to be waited for by the next worker that is needed. One that did not get ready is started
// again by that only: it would fail again.
void WorkerTemplate::plan_successor(milliseconds ready_for) {
  constexpr double kNoSpread = 0.5;
  const std::optional<milliseconds> delay =
      policy_.plan(Clock::now(), ready_for, StartEnd::kWorkerDied, kNoSpread);
  if (delay) timer_.start(*delay, [this] { start(); });
}

void WorkerTemplate::kill_after(milliseconds delay) {
  timer_.start(delay, [this] { signal_group(process_->life.fd(), process_->pid, SIGKILL); });
}

// With what it has forked and this process was not told of. Returns how it ended.
int WorkerTemplate::reap(const Process& process) {
  const int status = reap_group(process.life.fd(), process.pid);
  siginfo_t info{};
  while (::waitid(P_PGID, static_cast<id_t>(process.pid), &info, WEXITED) == 0 || errno == EINTR) {
  }
  return status;
}

}  // namespace slotring::supervisor
