#include <deque>
#include <memory>

#include "tools/growth_report/figures.h"
#include "tools/growth_report/simulated_pool.h"

namespace slotring::growth {
namespace {

constexpr int kWaiting[] = {1, 10, 100, 1'000, 10'000};
constexpr std::uint32_t kPlaces = layout::kMaxWaiters;  // 32,768: the most that max_waiting may be
constexpr int kLines[] = {256, 1'024, 4'096, 32'768};
constexpr std::uint32_t kWorkers = 16;
constexpr int kTurns = 5'000;
constexpr char kSimulated[] = "who waits has a place in the line, and does not sleep there";

// A saturated pool, whose callers stand in line: each is served in its turn, and another comes.
class Line {
 public:
  explicit Line(int waiting, std::uint32_t places = kPlaces)
      : pool_(simulated_geometry(kWorkers, places)) {
    pool_.saturate();
    for (int i = 0; i < waiting; ++i) join();
  }

  void join() {
    const auto place = line().try_register(SimulatedPool::kHolder);
    if (!place) throw Exception(Error{ErrorCode::kInternal, "the line is full"});
    places_.push_back(*place);
  }
  void leave_last() {
    line().leave(places_.back());
    places_.pop_back();
  }
  void release() { pool_.free_one(); }
  // The first in line has what was released.
  void be_served() {
    const shm::WaiterIndex first = places_.front();
    places_.pop_front();
    if (!line().is_woken(first)) throw Exception(Error{ErrorCode::kInternal, "out of turn"});
    line().acknowledge(first);
    for (shm::SeatIndex seat = 0; seat < kWorkers; ++seat) {
      if (const auto claim = pool_.slots().try_claim_on(SimulatedPool::kHolder, seat)) {
        pool_.hold(*claim);
        break;
      }
    }
    line().leave(first);
  }
  const shm::WaitingLine& line() const { return pool_.slots().line(); }
  const SimulatedPool& pool() const { return pool_; }

 private:
  SimulatedPool pool_;
  std::deque<shm::WaiterIndex> places_;  // in their order
};

std::shared_ptr<Line> line_of(int waiting) { return std::make_shared<Line>(waiting); }

// The part of a turn that is timed, one clock reading included.
enum class Part { kRelease, kJoin };

double time_of_turn(Line& line, Part part) {
  std::uint64_t spent = 0;
  const auto timed = [&](bool counts, const auto& body) {
    const shm::MonotonicNs begin = shm::monotonic_now();
    body();
    if (counts) spent += shm::monotonic_now() - begin;
  };
  for (int i = 0; i < kTurns; ++i) {
    timed(part == Part::kRelease, [&] { line.release(); });
    line.be_served();
    timed(part == Part::kJoin, [&] { line.join(); });
  }
  return static_cast<double>(spent) / kTurns;
}

}  // namespace

std::vector<Series> claims_by_waiters() {
  Series release{.figure = "release, which wakes the first in line", .over = "waiting claims"};
  Series join{.figure = "joining the line", .over = "waiting claims"};
  Series stay{.figure = "joining a line where nobody is served, and leaving",
              .over = "waiting claims"};
  for (const int waiting : kWaiting) {
    const auto moving = line_of(waiting);
    const auto standing = line_of(waiting);
    release.points.push_back({waiting, [=] { return time_of_turn(*moving, Part::kRelease); }});
    join.points.push_back({waiting, [=] { return time_of_turn(*moving, Part::kJoin); }});
    stay.points.push_back({waiting, [=] {
                             return time_of(kTurns, [&] {
                               standing->join();
                               standing->leave_last();
                             });
                           }});
  }
  Series look{.figure = "the supervisor's look, every 20 ms while somebody waits",
              .over = "places in the line"};
  for (const int places : kLines) {
    const auto line = std::make_shared<Line>(1, static_cast<std::uint32_t>(places));
    line->release();
    look.points.push_back({places, [=] {
                             return time_of(20, [&] {
                               if (line->line().occupied())
                                 shm::audit_waiters(line->pool().slots());
                             });
                           }});
  }
  std::vector<Series> all;
  for (Series* series : {&release, &join, &stay, &look}) {
    series->how = kSimulated;
    all.push_back(std::move(*series));
  }
  return all;
}

}  // namespace slotring::growth
