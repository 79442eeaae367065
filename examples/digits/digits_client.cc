// Classifies its share of a file of images through the pool `digits`.
//
//     digits_client IMAGES PART PARTS
//
// IMAGES holds 64 bytes an image. This process takes image number PART (from 0) and every PARTS-th
// after it. For each it prints one line as soon as it has the answer: the image's number, the
// digit, and how many nanoseconds the call took.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include <slotring/client.h>

namespace {

constexpr std::size_t kImageBytes = 64;

std::string read_file(const char* path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

int classify(slotring::Client& client, std::string_view image) {
  const slotring::Reply reply = client.call("classify", image).value();
  if (reply.bytes().size() != 1) throw std::runtime_error("the reply is not one byte");
  return std::to_integer<int>(reply.bytes()[0]);
}

void classify_share(const std::string& images, std::size_t part, std::size_t parts) {
  using Clock = std::chrono::steady_clock;
  const std::string name = "digits-client-" + std::to_string(part);
  auto client = slotring::Client::attach("digits", {.name = name}).value();
  const std::size_t count = images.size() / kImageBytes;
  for (std::size_t i = part; i < count; i += parts) {
    const auto sent = Clock::now();
    const int digit = classify(client, {images.data() + i * kImageBytes, kImageBytes});
    const std::chrono::nanoseconds took = Clock::now() - sent;
    std::printf("%zu %d %lld\n", i, digit, static_cast<long long>(took.count()));
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: digits_client IMAGES PART PARTS\n");
    return 2;
  }
  const std::size_t part = std::strtoul(argv[2], nullptr, 10);
  const std::size_t parts = std::strtoul(argv[3], nullptr, 10);
  try {
    if (parts == 0) throw std::runtime_error("PARTS is not a number above 0");
    classify_share(read_file(argv[1]), part, parts);
    return 0;
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "digits_client %zu: %s\n", part, failure.what());
    return 1;
  }
}
