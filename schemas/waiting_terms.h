// How the participants of a pool wait for each other (client_lib/shm/waiting_policy.h).

#ifndef SLOTRING_SCHEMAS_WAITING_TERMS_H_
#define SLOTRING_SCHEMAS_WAITING_TERMS_H_

#include <cstdint>

namespace slotring::layout {

enum class WaitingMode : std::uint8_t {
  kBalanced = 0,  // spins and yields while that pays, as it is learned
  kLatency = 1,   // spins for long, always
  kFrugal = 2,    // hardly spins
};
inline constexpr std::uint8_t kWaitingModes = 3;

// {reserved:24 | mode:8 | wake_ns:32}
struct WaitingTerms {
  std::uint32_t wake_ns = 0;  // what a sleep and a wake take on this machine; 0: not known
  WaitingMode mode = WaitingMode::kBalanced;

  // An unknown mode is the default one.
  static constexpr WaitingTerms unpack(std::uint64_t word) {
    const auto mode = static_cast<std::uint8_t>(word >> 32);
    return {static_cast<std::uint32_t>(word),
            mode < kWaitingModes ? static_cast<WaitingMode>(mode) : WaitingMode::kBalanced};
  }
  constexpr std::uint64_t pack() const {
    return std::uint64_t{static_cast<std::uint8_t>(mode)} << 32 | wake_ns;
  }
  constexpr bool operator==(const WaitingTerms&) const = default;
};

}  // namespace slotring::layout

#endif  // SLOTRING_SCHEMAS_WAITING_TERMS_H_
