// What a chaos run counted, and what of it must be zero.

#ifndef SLOTRING_TESTS_CHAOS_FIGURES_H_
#define SLOTRING_TESTS_CHAOS_FIGURES_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/chaos/ledger.h"
#include "tests/chaos/options.h"

namespace slotring::chaos {

enum Role : std::size_t { kClient, kWorker, kSupervisor, kRoles };

struct Figures {
  double seconds = 0;
  std::uint64_t calls = 0;
  std::array<std::uint64_t, kOutcomes> outcomes{};
  std::uint64_t held = 0;
  std::uint64_t cut_off = 0;  // calls of killed clients
  std::array<std::uint64_t, kRoles> kills{};
  std::array<std::uint64_t, kRoles> stops{};
  std::uint64_t supervisors = 1;
  std::uint64_t pools_made_anew = 0;  // by a supervisor that found no worker of the pool alive
  double longest_adoption_s = 0;
  double without_supervisor_s = 0;
  std::uint64_t replies_without_supervisor = 0;
  double latest_s = 0;  // the longest that a call came back after its deadline

  // Must be zero.
  std::uint64_t wrong_replies = 0;
  std::uint64_t unexpected_errors = 0;
  std::uint64_t without_outcome = 0;  // calls of clients that lived, or second calls of killed ones
  std::uint64_t hung_calls = 0;
  std::uint64_t hung_clients = 0;    // that did not end when told to
  std::uint64_t failed_clients = 0;  // that ended by themselves, or badly
  std::uint64_t lost_slots = 0;
  std::uint64_t unclaimable_slots = 0;
  std::uint64_t left_waiting = 0;
  std::uint64_t lost_workers = 0;        // that lived, and that a new supervisor did not adopt
  std::uint64_t failed_supervisors = 0;  // that ended by themselves, or badly
  std::uint64_t left_processes = 0;
  std::vector<std::string> remarks;  // about those

  bool good() const;
  std::string text(const Options& options) const;
  std::string json(const Options& options) const;
};

// What a person types to have the same run again.
std::string command_line(const Options& options);

}  // namespace slotring::chaos

#endif  // SLOTRING_TESTS_CHAOS_FIGURES_H_
