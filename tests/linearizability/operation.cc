#include "tests/linearizability/operation.h"

#include <algorithm>
#include <cstdio>

namespace slotring::linearizability {

namespace {

const char* name_of(Kind kind) {
  switch (kind) {
    case Kind::kClaim:
      return "claim";
    case Kind::kSubmit:
      return "submit";
    case Kind::kServe:
      return "serve";
    case Kind::kReply:
      return "reply";
    case Kind::kReceive:
      return "receive";
    case Kind::kAbandon:
      return "abandon";
    case Kind::kRelease:
      return "release";
    case Kind::kReclaimClient:
      return "reclaim client's";
    case Kind::kReclaimWorker:
      return "reclaim worker's";
  }
  return "?";
}

bool is_of_worker(Kind kind) {
  return kind == Kind::kServe || kind == Kind::kReply || kind == Kind::kReclaimWorker;
}

std::string microseconds(std::uint64_t since, std::uint64_t at) {
  if (at == kEnd) return "-";
  char text[32];
  std::snprintf(text, sizeof(text), "%.2f", static_cast<double>(at - since) / 1000);
  return text;
}

}  // namespace

std::string to_string(const Operation& op) {
  std::string text = is_of_worker(op.kind) ? "worker " : "client ";
  text += std::to_string(op.actor) + "  " + name_of(op.kind);
  if (op.names_slot()) {
    text += " slot " + std::to_string(op.slot);
    if (op.kind < Kind::kReclaimClient) text += ", generation " + std::to_string(op.generation);
  }
  const bool has_value = op.kind == Kind::kSubmit || op.kind == Kind::kReply ||
                         (op.kind == Kind::kServe && op.outcome == Outcome::kDone) ||
                         (op.kind == Kind::kReceive && op.outcome == Outcome::kDone);
  if (has_value) text += ", value " + std::to_string(op.value);
  if (op.outcome == Outcome::kNone) text += "  (no response)";
  if (op.outcome == Outcome::kNothing) text += ": nothing";
  if (op.outcome == Outcome::kLost) text += ": worker lost";
  return text;
}

std::string to_string(const History& history) {
  History ordered = history;
  std::stable_sort(ordered.begin(), ordered.end(),
                   [](const Operation& a, const Operation& b) { return a.called < b.called; });
  std::string text = "   called  returned us  thread  operation\n";
  for (const Operation& op : ordered) {
    char line[64];
    std::snprintf(line, sizeof(line), "%9s %9s  %9u  ",
                  microseconds(ordered.front().called, op.called).c_str(),
                  microseconds(ordered.front().called, op.returned).c_str(), op.thread);
    text += line + to_string(op) + "\n";
  }
  return text;
}

}  // namespace slotring::linearizability
