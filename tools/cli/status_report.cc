#include "tools/cli/status_report.h"

#include <algorithm>

#include "tools/terminal/text_table.h"

namespace slotring::cli {

using nlohmann::json;
using terminal::Align;
using terminal::printable;
using terminal::TextTable;

namespace {

std::string age_text(const std::optional<std::uint64_t>& age_ns) {
  return age_ns ? terminal::duration_text(static_cast<double>(*age_ns)) : "-";
}

json age_json(const std::optional<std::uint64_t>& age_ns) {
  return age_ns ? json(static_cast<double>(*age_ns) / 1e9) : json(nullptr);
}

// "1 client", "2 clients"
std::string counted(std::uint64_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

std::string heading(const PoolView& pool) {
  const auto in_state = [&pool](const char* state) {
    return std::count_if(pool.seats.begin(), pool.seats.end(),
                         [state](const SeatView& seat) { return seat.state == state; });
  };
  // Their workers are started when callers wait: nothing is amiss.
  const auto dormant = in_state("dormant");
  return "pool " + printable(pool.name) + ": " + std::to_string(in_state("ready")) + " of " +
         counted(pool.seats.size(), "worker") + " ready, " +
         (dormant == 0 ? "" : std::to_string(dormant) + " dormant, ") +
         counted(pool.clients.size(), "client") + ", " +
         counted(pool.waiting_callers, "waiting caller") + "\n" + "supervisor " +
         std::to_string(pool.supervisor_pid) + " at " + printable(pool.socket) +
         "; the pool is up " + age_text(pool.uptime_ns) + "\n";
}

// "slow for 2.5 s, busy"
std::string call_text(const std::optional<CallView>& call) {
  if (!call) return "-";
  return (call->method.empty() ? "an unlisted method" : printable(call->method)) + " for " +
         terminal::duration_text(static_cast<double>(call->run_ns)) +
         (call->hung ? ", hung" : ", busy") + (call->abandoned ? ", abandoned" : "");
}

// "single", "threads 3"
std::string profile_text(const layout::ProfileWord& profile) {
  if (profile.profile == layout::Profile::kNone) return "-";
  std::string text = to_string(profile.profile);
  if (profile.profile == layout::Profile::kThreads) text += " " + std::to_string(profile.threads);
  return text;
}

std::string seat_table(const PoolView& pool) {
  TextTable table({{"WORKER", Align::kRight},
                   {"STATE"},
                   {"PROFILE"},
                   {"PID", Align::kRight},
                   {"GENERATION", Align::kRight},
                   {"UPTIME", Align::kRight},
                   {"CALLS", Align::kRight},
                   {"ERRORS", Align::kRight},
                   {"RESTARTS", Align::kRight},
                   {"BUSY SLOTS", Align::kRight},
                   {"RUNS"}});
  for (const SeatView& seat : pool.seats) {
    table.add_row(
        {std::to_string(seat.seat), seat.state, profile_text(seat.profile),
         seat.pid == 0 ? "-" : std::to_string(seat.pid), std::to_string(seat.generation),
         age_text(seat.uptime_ns), std::to_string(seat.calls), std::to_string(seat.errors),
         std::to_string(seat.restarts),
         std::to_string(seat.busy_slots) + " of " + std::to_string(pool.geometry.slots_per_worker),
         call_text(seat.call)});
  }
  return table.to_string();
}

std::string owner_text(const SlotView& slot) {
  if (!slot.owner) return "-";
  return printable(slot.owner_name) + " (client " + std::to_string(*slot.owner) + ", pid " +
         std::to_string(slot.owner_pid) + ")";
}

std::string flags_text(const SlotView& slot) {
  std::string text;
  if (slot.listed) text += " listed";
  if (slot.caller_sleeps) text += " caller-sleeps";
  if (slot.lost) text += " worker-lost";
  return text.empty() ? "-" : text.substr(1);
}

std::string slot_table(const PoolView& pool, bool all_slots) {
  TextTable table({{"SLOT"}, {"STATE"}, {"GENERATION", Align::kRight}, {"FLAGS"}, {"OWNER"}});
  std::size_t left_out = 0;
  for (const SlotView& slot : pool.slots) {
    if (slot.is_free() && !all_slots) {
      ++left_out;
      continue;
    }
    table.add_row({std::to_string(slot.seat) + "." + std::to_string(slot.slot), slot.state,
                   std::to_string(slot.generation), flags_text(slot), owner_text(slot)});
  }
  std::string text = table.empty() ? "" : table.to_string();
  if (left_out > 0)
    text += counted(left_out, "slot") + (left_out == 1 ? " is" : " are") + " free\n";
  return text;
}

std::string ring_line(const PoolView& pool) {
  std::string text = "free rings, by their worker's calls in flight:";
  for (std::size_t depth = 0; depth < pool.free_ring_depths.size(); ++depth) {
    text += (depth == 0 ? " " : ", ") + std::to_string(depth) + ": " +
            counted(pool.free_ring_depths[depth], "hint");
  }
  return text + "\n";
}

std::string client_table(const PoolView& pool) {
  TextTable table({{"CLIENT", Align::kRight},
                   {"NAME"},
                   {"PID", Align::kRight},
                   {"STATE"},
                   {"CALLS", Align::kRight},
                   {"ERRORS", Align::kRight}});
  for (const ClientView& client : pool.clients) {
    table.add_row({std::to_string(client.index), printable(client.name), std::to_string(client.pid),
                   client.state, std::to_string(client.calls), std::to_string(client.errors)});
  }
  return table.empty() ? "" : "\n" + table.to_string();
}

json call_json(const std::optional<CallView>& call) {
  if (!call) return nullptr;
  return {{"method", call->method.empty() ? json(nullptr) : json(call->method)},
          {"slot", call->slot},
          {"run_s", static_cast<double>(call->run_ns) / 1e9},
          {"abandoned", call->abandoned},
          {"interpreter", call->hung ? "hung" : "busy"}};
}

json seat_json(const SeatView& seat) {
  using layout::Profile;
  const Profile profile = seat.profile.profile;
  return {{"worker", seat.seat},
          {"state", seat.state},
          {"profile", profile == Profile::kNone ? json(nullptr) : json(to_string(profile))},
          {"threads", profile == Profile::kThreads ? json(seat.profile.threads) : json(nullptr)},
          {"pid", seat.pid},
          {"generation", seat.generation},
          {"uptime_s", age_json(seat.uptime_ns)},
          {"calls", seat.calls},
          {"errors", seat.errors},
          {"restarts", seat.restarts},
          {"busy_slots", seat.busy_slots},
          {"runs", call_json(seat.call)}};
}

json slot_json(const SlotView& slot) {
  json owner = nullptr;
  if (slot.owner) {
    owner = {{"client", *slot.owner}, {"name", slot.owner_name}, {"pid", slot.owner_pid}};
  }
  return {{"worker", slot.seat},      {"slot", slot.slot},
          {"state", slot.state},      {"generation", slot.generation},
          {"listed", slot.listed},    {"caller_sleeps", slot.caller_sleeps},
          {"worker_lost", slot.lost}, {"owner", std::move(owner)}};
}

json client_json(const ClientView& client) {
  return {{"client", client.index}, {"name", client.name},   {"pid", client.pid},
          {"state", client.state},  {"epoch", client.epoch}, {"calls", client.calls},
          {"errors", client.errors}};
}

template <class View>
json array_of(const std::vector<View>& views, json (*to_json)(const View&)) {
  json array = json::array();
  for (const View& view : views) array.push_back(to_json(view));
  return array;
}

}  // namespace

std::string status_text(const PoolView& pool, bool all_slots) {
  return heading(pool) + "\n" + seat_table(pool) + "\n" + slot_table(pool, all_slots) +
         ring_line(pool) + client_table(pool);
}

json status_json(const PoolView& pool) {
  return {{"pool", pool.name},
          {"socket", pool.socket},
          {"supervisor_pid", pool.supervisor_pid},
          {"uptime_s", age_json(pool.uptime_ns)},
          {"geometry",
           {{"workers", pool.geometry.max_workers},
            {"slots_per_worker", pool.geometry.slots_per_worker},
            {"max_clients", pool.geometry.max_clients},
            {"max_waiting", pool.geometry.max_waiters},
            {"slot_bytes", pool.geometry.area_bytes},
            {"warm_bytes", pool.geometry.warm_bytes},
            {"kept_bytes", pool.geometry.kept_bytes}}},
          {"call_time_limit_s", pool.call_time_limit_ns == 0
                                    ? json(nullptr)
                                    : json(static_cast<double>(pool.call_time_limit_ns) / 1e9)},
          {"workers", array_of(pool.seats, seat_json)},
          {"slots", array_of(pool.slots, slot_json)},
          {"free_rings", pool.free_ring_depths},
          {"clients", array_of(pool.clients, client_json)},
          {"waiting_callers", pool.waiting_callers},
          {"methods", pool.methods}};
}

}  // namespace slotring::cli
