// Where a fuzz target begins: inputs that a correct peer would send, written by the target itself,
// so that no binary file has to follow a change of the formats.
//
//     fuzz_frame --write-seeds=FOLDER      writes them and ends
//
// A target defines seeds().

#ifndef SLOTRING_TESTS_FUZZ_SEED_CORPUS_H_
#define SLOTRING_TESTS_FUZZ_SEED_CORPUS_H_

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace slotring::fuzz {

using Input = std::vector<std::uint8_t>;

std::vector<Input> seeds();

template <class T>
void append(Input& input, const T& value) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(&value);
  input.insert(input.end(), bytes, bytes + sizeof(value));
}

// Ends the process as a crash does, so that libFuzzer keeps the input.
#define FUZZ_CHECK(condition) \
  if (!(condition)) ::slotring::fuzz::fail(#condition, __FILE__, __LINE__)

[[noreturn]] inline void fail(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
  std::abort();
}

inline void write_seeds(const std::string& folder) {
  int number = 0;
  for (const Input& seed : seeds()) {
    std::ofstream file(folder + "/seed-" + std::to_string(number++), std::ios::binary);
    file.write(reinterpret_cast<const char*>(seed.data()),
               static_cast<std::streamsize>(seed.size()));
  }
}

}  // namespace slotring::fuzz

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  constexpr std::string_view kOption = "--write-seeds=";
  for (int i = 1; i < *argc; ++i) {
    const std::string_view argument = (*argv)[i];
    if (!argument.starts_with(kOption)) continue;
    slotring::fuzz::write_seeds(std::string(argument.substr(kOption.size())));
    std::exit(0);
  }
  return 0;
}

#endif  // SLOTRING_TESTS_FUZZ_SEED_CORPUS_H_
