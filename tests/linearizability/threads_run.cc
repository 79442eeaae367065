#include "tests/linearizability/threads_run.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include "tests/linearizability/script.h"

namespace slotring::linearizability {

namespace {

void let_others_go_first(int) { ::sched_yield(); }

}  // namespace

ThreadsRun::ThreadsRun(Subject& subject, std::uint16_t callers, std::uint16_t clients, int rounds)
    : subject_(subject), clients_(clients), rounds_(rounds) {
  struct sigaction interrupted {};
  interrupted.sa_handler = let_others_go_first;
  ::sigaction(SIGUSR1, &interrupted, nullptr);
  for (std::uint16_t i = 0; i < callers; ++i) {
    callers_.push_back(subject.caller(static_cast<std::uint16_t>(i % clients)));
  }
  for (std::uint16_t seat = 0; seat < subject.seats(); ++seat) {
    servers_.push_back(subject.server(seat));
  }
  for (std::size_t i = 0; i < callers_.size() + servers_.size(); ++i) {
    logs_.push_back(std::make_unique<Recorder>());
  }
}

History ThreadsRun::run(testing::RandomSource& random) {
  const auto callers = static_cast<std::uint16_t>(callers_.size());
  const auto servers = static_cast<std::uint16_t>(servers_.size());
  waiting_ = 0;
  started_ = false;
  called_ = 0;
  stop_ = false;
  std::vector<std::thread> threads;
  for (std::uint16_t i = 0; i < callers; ++i) {
    logs_[i]->clear(static_cast<std::uint16_t>(i % clients_), i);
    threads.emplace_back([this, i, stream = random.word()] { call(i, stream); });
  }
  for (std::uint16_t seat = 0; seat < servers; ++seat) {
    const auto thread = static_cast<std::uint16_t>(callers + seat);
    logs_[thread]->clear(seat, thread);
    threads.emplace_back([this, seat, stream = random.word()] { serve(seat, stream); });
  }
  while (waiting_.load() < threads.size()) ::sched_yield();
  started_ = true;
  disturb_until_called(threads, random);
  stop_ = true;
  for (const auto& server : servers_) server->interrupt();
  for (std::thread& thread : threads) thread.join();
  History history;
  for (const auto& log : logs_) log->append_to(history);
  return history;
}

void ThreadsRun::call(std::uint16_t index, std::uint64_t stream) {
  testing::RandomSource random(stream);
  await_start();
  run_caller(*callers_[index], *logs_[index], random, rounds_, (index + 1u) * 1000u);
  ++called_;
}

void ThreadsRun::serve(std::uint16_t seat, std::uint64_t stream) {
  testing::RandomSource random(stream);
  Server& server = *servers_[seat];
  await_start();
  while (!stop_.load()) {
    while (serve_once(server, *logs_[callers_.size() + seat], random)) {
    }
    server.wait();
  }
}

void ThreadsRun::await_start() {
  ++waiting_;
  while (!started_.load()) ::sched_yield();
}

void ThreadsRun::disturb_until_called(std::vector<std::thread>& threads,
                                      testing::RandomSource& random) {
  while (called_.load() < callers_.size()) {
    // None is joined yet, so each handle is a thread's.
    ::pthread_kill(threads[random.below(threads.size())].native_handle(), SIGUSR1);
    ::sched_yield();
  }
}

}  // namespace slotring::linearizability
