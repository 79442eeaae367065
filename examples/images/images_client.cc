// Has images shrunk by Python, and checks each pixel against its own computation.
//
//     images_client          exit code 0: all pixels agree

#include <array>
#include <iostream>
#include <string>
#include <vector>

#include <slotring/client.h>

namespace {

constexpr int kFactor = 2;
constexpr int kHeight = 240;
constexpr int kWidth = 320;
constexpr int kChannels = 3;

// Of each box all pixels are alike modulo what leaves the mean whole: every way to round agrees.
std::uint8_t pixel(int y, int x, int c) {
  const int box = (y / kFactor) * 31 + (x / kFactor) * 17 + c * 50;
  const int within = (y % kFactor) * kFactor + x % kFactor;  // 0 to 3
  constexpr std::array<int, 4> kAround{-6, 2, -2, 6};        // whose mean is 0
  return static_cast<std::uint8_t>(10 + box % 230 + kAround[static_cast<std::size_t>(within)]);
}
std::uint8_t shrunk(int y, int x, int c) {
  return static_cast<std::uint8_t>(10 + (y * 31 + x * 17 + c * 50) % 230);
}

// {"factor": 2, "way": WAY} as FlexBuffers, by hand: an example needs no other library. A map's
// keys are sorted; offsets count back from where they stand.
std::vector<std::uint8_t> order(const std::string& way) {
  std::vector<std::uint8_t> bytes;
  const auto put = [&](const std::string& text) {
    const std::size_t at = bytes.size();
    for (const char c : text) bytes.push_back(static_cast<std::uint8_t>(c));
    bytes.push_back(0);
    return at;
  };
  const auto back_to = [&](std::size_t at) {
    bytes.push_back(static_cast<std::uint8_t>(bytes.size() - at));
  };
  const std::size_t factor_key = put("factor");
  const std::size_t way_key = put("way");
  bytes.push_back(static_cast<std::uint8_t>(way.size()));
  const std::size_t way_text = put(way);
  bytes.push_back(2);  // keys
  const std::size_t keys = bytes.size();
  back_to(factor_key);
  back_to(way_key);
  back_to(keys);
  bytes.push_back(1);  // the width of the keys
  bytes.push_back(2);  // values
  const std::size_t values = bytes.size();
  bytes.push_back(kFactor);
  back_to(way_text);
  bytes.push_back(1 << 2);  // int8
  bytes.push_back(5 << 2);  // string
  back_to(values);
  bytes.push_back(9 << 2);  // map
  bytes.push_back(1);
  return bytes;
}

int count_wrong_pixels(slotring::Client& client, const std::string& way) {
  slotring::Lease lease = client.claim().value();
  lease.put_value(order(way)).value();
  const auto image = lease.empty<std::uint8_t>({kHeight, kWidth, kChannels}, "image").value();
  const auto pixels = image.view<std::uint8_t, 3>().value();
  for (int y = 0; y < kHeight; ++y) {
    for (int x = 0; x < kWidth; ++x) {
      for (int c = 0; c < kChannels; ++c) pixels(y, x, c) = pixel(y, x, c);
    }
  }
  lease.submit("shrink").value();
  const slotring::Tensor reply = lease.wait().value().tensor().value();
  const auto small = reply.view<const std::uint8_t, 3>().value();
  if (small.extents() != std::array<std::uint64_t, 3>{kHeight / kFactor, kWidth / kFactor, 3}) {
    return -1;
  }
  int wrong = 0;
  for (int y = 0; y < kHeight / kFactor; ++y) {
    for (int x = 0; x < kWidth / kFactor; ++x) {
      for (int c = 0; c < kChannels; ++c) wrong += small(y, x, c) != shrunk(y, x, c) ? 1 : 0;
    }
  }
  return wrong;
}

// Whole numbers: torch's sums are exact, in whatever order.
int count_wrong_inferences(slotring::Client& client) {
  constexpr int kRows = 8, kIn = 16, kOut = 4;
  std::vector<float> x(kRows * kIn), weights(kIn * kOut);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 7);
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<float>(i % 5) - 2.0F;
  using slotring::Tensor;
  const auto reply =
      client
          .call("infer", slotring::Payload::tensors(
                             {Tensor::of(std::span(x), {kRows, kIn}, "x").value(),
                              Tensor::of(std::span(weights), {kIn, kOut}, "weights").value()}))
          .value();
  const auto out = reply.tensor().value().view<const float, 2>().value();
  int wrong = 0;
  for (int r = 0; r < kRows; ++r) {
    for (int o = 0; o < kOut; ++o) {
      float sum = 0;
      for (int i = 0; i < kIn; ++i) {
        sum += x[static_cast<std::size_t>(r * kIn + i)] *
               weights[static_cast<std::size_t>(i * kOut + o)];
      }
      wrong += out(r, o) != sum ? 1 : 0;
    }
  }
  return wrong;
}

}  // namespace

int main() {
  try {
    auto client = slotring::Client::attach("images").value();
    const auto reply = client.call("ways", slotring::Payload()).value();
    const std::string ways(reply.text());
    int wrong = 0;
    for (const char* way : {"PIL", "cv2", "numpy"}) {
      if (ways.find(way) == std::string::npos) {
        std::cout << "SKIPPED: " << way << " is not installed\n";
        continue;
      }
      const int pixels = count_wrong_pixels(client, way);
      std::cout << way << ": " << pixels << " pixels differ\n";
      wrong += pixels != 0 ? 1 : 0;
    }
    if (client.call("has_torch", slotring::Payload()).value().text() == "yes") {
      const int numbers = count_wrong_inferences(client);
      std::cout << "torch: " << numbers << " numbers differ\n";
      wrong += numbers != 0 ? 1 : 0;
    } else {
      std::cout << "SKIPPED: torch is not installed\n";
    }
    return wrong == 0 && !ways.empty() ? 0 : 1;
  } catch (const slotring::Exception& failure) {
    std::cerr << "images_client: " << failure.what() << "\n";
    return 1;
  }
}
