#include "tools/bench/bench.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <random>

#include "tools/bench/bare_python_transport.h"
#include "tools/bench/bare_stream.h"
#include "tools/bench/bare_transport.h"
#include "tools/bench/child_process.h"
#include "tools/bench/scratch_folder.h"
#include "tools/bench/slotring_transport.h"
#include "tools/bench/socket_transport.h"

namespace slotring::bench {

namespace {

enum class Kind {
  kSlotring,
  kInPlace,  // Slotring, by leases
  kStream,   // Slotring; a call is a stream
  kBare,
  kBareInPlace,
  kBarePython,
  kBareStream,
  kBarePythonStream,
  kSocket
};

bool is_slotring(Kind kind) {
  return kind == Kind::kSlotring || kind == Kind::kInPlace || kind == Kind::kStream;
}
bool needs_bare_python(Kind kind) {
  return kind == Kind::kBarePython || kind == Kind::kBarePythonStream;
}

struct Variant {
  const char* name;
  const char* description;
  Kind kind;
  int clients;
  int servers;
  std::size_t payload_bytes = 0;  // 0: BenchOptions::payload_bytes
};

constexpr std::size_t kMiB = std::size_t{1} << 20;

constexpr Variant kVariants[] = {
    {"hot", "Slotring, 1 client, 1 worker", Kind::kSlotring, 1, 1},
    {"bare", "spinning on shared memory, C++ both ends", Kind::kBare, 1, 1},
    {"bare-python", "spinning on shared memory, a Python function serves", Kind::kBarePython, 1, 1},
    {"socket", "Unix socket, 1 client, 1 Python server", Kind::kSocket, 1, 1},
    {"hot-8x2", "Slotring, 8 clients, 2 workers", Kind::kSlotring, 8, 2},
    {"hot-4x4", "Slotring, 4 clients, 4 workers", Kind::kSlotring, 4, 4},
    {"socket-8x2", "Unix socket, 8 clients, 2 Python servers", Kind::kSocket, 8, 2},
    {"large", "Slotring, 1 MiB in place", Kind::kInPlace, 1, 1, kMiB},
    {"bare-large", "the same bytes on shared memory, C++ both ends", Kind::kBareInPlace, 1, 1,
     kMiB},
    {"huge", "Slotring, 16 MiB in place, all of it kept", Kind::kInPlace, 1, 1, 16 * kMiB},
    {"socket-huge", "Unix socket, 16 MiB", Kind::kSocket, 1, 1, 16 * kMiB},
    {"stream", "Slotring, 100,000 frames from a generator", Kind::kStream, 1, 1},
    {"bare-stream", "a bare ring, 100,000 frames from C++", Kind::kBareStream, 1, 1},
    {"bare-python-stream", "a bare ring, 100,000 frames from a generator", Kind::kBarePythonStream,
     1, 1},
};

struct Ratio {
  const char* name;
  const char* above;
  const char* below;
  double TurnResult::*figure;
};

constexpr Ratio kRatios[] = {
    {"p50, hot / bare", "hot", "bare", &TurnResult::p50_ns},
    {"p50, hot / bare-python", "hot", "bare-python", &TurnResult::p50_ns},
    {"p50, socket / hot", "socket", "hot", &TurnResult::p50_ns},
    {"calls/s, hot-8x2 / socket-8x2", "hot-8x2", "socket-8x2", &TurnResult::calls_per_second},
    {"p50, large / bare-large", "large", "bare-large", &TurnResult::p50_ns},
    {"p50, socket-huge / huge", "socket-huge", "huge", &TurnResult::p50_ns},
    {"p50, stream / bare-stream", "stream", "bare-stream", &TurnResult::p50_ns},
    {"p50, stream / bare-python-stream", "stream", "bare-python-stream", &TurnResult::p50_ns},
    {"CPU a call, socket / hot", "socket", "hot", &TurnResult::cpu_us_per_call},
    {"CPU a call, socket-8x2 / hot-8x2", "socket-8x2", "hot-8x2", &TurnResult::cpu_us_per_call},
};

std::size_t bytes_of(const Variant& variant, const BenchOptions& options) {
  return variant.payload_bytes != 0 ? variant.payload_bytes : options.payload_bytes;
}

// Those wanted that can run here; adds the others to `skipped`.
std::vector<Variant> chosen_variants(const BenchOptions& options,
                                     std::vector<SkippedVariant>& skipped) {
  const std::string no_bare_python = why_no_bare_python();
  std::vector<Variant> chosen;
  for (const Variant& variant : kVariants) {
    const auto& only = options.only;
    if (!only.empty() && std::find(only.begin(), only.end(), variant.name) == only.end()) continue;
    if (needs_bare_python(variant.kind) && !no_bare_python.empty()) {
      skipped.push_back({variant.name, no_bare_python});
    } else {
      chosen.push_back(variant);
    }
  }
  if (chosen.empty()) {
    throw Exception(Error{ErrorCode::kInvalidArgument,
                          "nothing to run: " + skipped[0].name + " " + skipped[0].reason});
  }
  return chosen;
}

// Everything that answers, started once and asleep between its turns.
class Transports {
 public:
  Transports(const std::vector<Variant>& variants, const BenchOptions& options) {
    std::vector<PoolShape> pools;
    for (const Variant& variant : variants) {
      if (is_slotring(variant.kind)) pools.push_back({variant.name, variant.servers});
    }
    if (!pools.empty()) {
      supervisor_.emplace(find_supervisor(options.supervisor), folder_.path(), pools);
    }
    for (const Variant& variant : variants) transports_.push_back(make(variant, options));
  }

  Transport& operator[](std::size_t variant) { return *transports_[variant]; }

 private:
  std::unique_ptr<Transport> make(const Variant& variant, const BenchOptions& options) {
    switch (variant.kind) {
      case Kind::kSlotring:
      case Kind::kInPlace:
      case Kind::kStream:
        return std::make_unique<SlotringTransport>(*supervisor_, variant.name,
                                                   way_of(variant.kind));
      case Kind::kBare:
      case Kind::kBareInPlace:
        return std::make_unique<BareTransport>(bytes_of(variant, options), share_a_cpu(options),
                                               /*in_place=*/variant.kind == Kind::kBareInPlace);
      case Kind::kBareStream:
        return std::make_unique<BareStreamTransport>(bytes_of(variant, options),
                                                     share_a_cpu(options));
      case Kind::kBarePython:
      case Kind::kBarePythonStream:
        return std::make_unique<BarePythonTransport>(
            folder_.path(), bytes_of(variant, options), share_a_cpu(options),
            /*streams=*/variant.kind == Kind::kBarePythonStream);
      case Kind::kSocket:
        break;
    }
    return std::make_unique<SocketTransport>(folder_.path(), variant.name, variant.servers,
                                             variant.clients);
  }

  static SlotringTransport::Way way_of(Kind kind) {
    return kind == Kind::kSlotring  ? SlotringTransport::Way::kCall
           : kind == Kind::kInPlace ? SlotringTransport::Way::kInPlace
                                    : SlotringTransport::Way::kStream;
  }
  static bool share_a_cpu(const BenchOptions& options) {
    return options.placement == Placement::kSame || usable_cpus().size() < 2;
  }

  ScratchFolder folder_;
  std::optional<OwnSupervisor> supervisor_;
  std::vector<std::unique_ptr<Transport>> transports_;
};

std::string placement_note(Placement placement) {
  const std::vector<int> cpus = usable_cpus();
  const Seats seats = choose_seats(placement, 1, 1);
  std::string note = "1 to 1: ";
  if (!seats.client_cpu(0)) {
    note += "anywhere";
  } else {
    note += "client on CPU " + std::to_string(*seats.client_cpu(0)) + ", server on CPU " +
            std::to_string(*seats.server_cpu(0));
  }
  return note + "; 8 to 2: anywhere on " + std::to_string(cpus.size()) + " CPUs";
}

std::vector<RatioResult> ratios_of(const std::vector<VariantResult>& variants) {
  const auto find = [&](const char* name) {
    return std::find_if(variants.begin(), variants.end(),
                        [&](const VariantResult& variant) { return variant.name == name; });
  };
  std::vector<RatioResult> ratios;
  for (const Ratio& ratio : kRatios) {
    const auto above = find(ratio.above);
    const auto below = find(ratio.below);
    if (above == variants.end() || below == variants.end()) continue;
    RatioResult result{ratio.name, {}};
    for (std::size_t round = 0; round < above->rounds.size(); ++round) {
      const double divisor = below->rounds[round].*ratio.figure;
      if (divisor > 0) result.rounds.push_back(above->rounds[round].*ratio.figure / divisor);
    }
    ratios.push_back(std::move(result));
  }
  return ratios;
}

}  // namespace

std::vector<std::string> variant_names() {
  std::vector<std::string> names;
  for (const Variant& variant : kVariants) names.emplace_back(variant.name);
  return names;
}

BenchResult run_bench(const BenchOptions& options,
                      const std::function<void(int, int, const std::string&)>& progress) {
  remember_signals();
  usable_cpus();  // before anything is placed
  BenchResult result;
  result.options = options;
  result.placement_note = placement_note(options.placement);
  if (result.options.seed == 0) result.options.seed = std::random_device{}();
  result.clock_ns = clock_cost_ns();
  const std::vector<Variant> variants = chosen_variants(options, result.skipped);
  for (const Variant& variant : variants) {
    result.variants.push_back({variant.name, variant.description, {}});
  }
  const int turns = options.rounds * static_cast<int>(variants.size());
  progress(0, turns, "starting");
  Transports transports(variants, options);
  std::mt19937_64 random(result.options.seed);
  std::vector<std::size_t> order(variants.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  int done = 0;
  for (int round = 0; round < options.rounds; ++round) {
    std::shuffle(order.begin(), order.end(), random);
    for (const std::size_t i : order) {
      progress(done++, turns, variants[i].name);
      const bool one_to_one = variants[i].clients == 1;
      result.variants[i].rounds.push_back(run_turn(
          transports[i], {.clients = variants[i].clients,
                          .payload_bytes = bytes_of(variants[i], options),
                          .seconds = options.seconds,
                          .placement = one_to_one ? options.placement : Placement::kFree}));
    }
  }
  progress(turns, turns, "done");
  result.ratios = ratios_of(result.variants);
  return result;
}

}  // namespace slotring::bench
