// What a call asks for; the same whichever transport carries it.

#ifndef SLOTRING_TOOLS_BENCH_JOB_H_
#define SLOTRING_TOOLS_BENCH_JOB_H_

#include <cstddef>
#include <string_view>

namespace slotring::bench {

enum class Job {
  kEcho,    // the reply is the request
  kDigits,  // an image of kDigitsRequestBytes; the reply is one byte, the digit it shows
};

// 64 pixels, a float64 each.
inline constexpr std::size_t kDigitsRequestBytes = 512;

constexpr std::string_view to_string(Job job) { return job == Job::kEcho ? "echo" : "digits"; }

constexpr std::size_t reply_bytes(Job job, std::size_t request_bytes) {
  return job == Job::kEcho ? request_bytes : 1;
}

}  // namespace slotring::bench

#endif  // SLOTRING_TOOLS_BENCH_JOB_H_
