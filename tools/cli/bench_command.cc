// slotring bench: what a call costs on this machine.

#include <unistd.h>

#include <csignal>
#include <iostream>
#include <map>
#include <memory>

#include "tools/bench/bench.h"
#include "tools/bench/bench_report.h"
#include "tools/bench/child_process.h"
#include "tools/cli/command.h"

namespace slotring::cli {

namespace {

using bench::BenchOptions;
using bench::Placement;

struct BenchArguments {
  BenchOptions options;
  std::string placement = "separate";
  bool as_json = false;
};

const std::map<std::string, Placement> kPlacements = {
    {"separate", Placement::kSeparate}, {"same", Placement::kSame}, {"free", Placement::kFree}};

constexpr char kFooter[] =
    "Starts what it measures itself, and ends it: a supervisor with its own sockets, and Python\n"
    "servers. Each variant echoes the same payload, where it says no other, both ends awake:\n"
    "  hot         Slotring: 1 client, 1 Python worker whose handler returns its request\n"
    "  bare        two C++ processes that spin on shared memory: the least that is possible\n"
    "  bare-python the same, but a Python function serves: it gets a view of the request, and "
    "what\n"
    "              it returns is copied into the reply: the least for a Python handler. In a "
    "build\n"
    "              tree only: its extension is not installed; skipped where that is absent\n"
    "  socket      Unix stream socket to a plain Python server\n"
    "  hot-8x2     Slotring: 8 client processes, 2 workers\n"
    "  hot-4x4     Slotring: 4 client processes, 4 workers\n"
    "  socket-8x2  Unix stream sockets: 8 client processes, 2 Python servers\n"
    "  large       Slotring: 1 MiB, written into the slot and read there\n"
    "  bare-large  two C++ processes that touch the same bytes on shared memory\n"
    "  huge        Slotring: 16 MiB, written into the slot and read there\n"
    "  socket-huge the same 16 MiB by a Unix stream socket\n"
    "  stream      Slotring: a call is a stream of 100,000 frames that a generator yields\n"
    "  bare-stream a ring of as many entries between two C++ processes that spin\n"
    "  bare-python-stream  the same ring, filled from a Python generator; in a build tree only\n"
    "CPU a call is user and system time of all clients and servers, divided by the calls. "
    "Fairness\n"
    "is the calls of the slowest client, divided by those of the fastest.\n\n"
    "Examples:\n"
    "  slotring bench\n"
    "  slotring bench --only hot --only bare --rounds 15 --json > bench.json\n";

// One line on a terminal, drawn again and again; nothing elsewhere.
void show_progress(int done, int all, const std::string& what) {
  if (::isatty(STDERR_FILENO) == 0) return;
  std::cerr << "\r\033[K";
  if (done < all) std::cerr << "turn " << done + 1 << " of " << all << ": " << what << std::flush;
}

int bench(const BenchArguments& arguments) {
  try {
    BenchOptions options = arguments.options;
    options.placement = kPlacements.at(arguments.placement);
    const bench::BenchResult result = run_bench(options, show_progress);
    if (arguments.as_json) {
      std::cout << json_text(report_json(result)) << "\n";
    } else {
      std::cout << report_text(result);
    }
    return 0;
  } catch (const Exception&) {
    show_progress(1, 1, "");
    const int signal = bench::interrupted_by();
    if (signal == 0) throw;
    // End as one does who does not catch the signal: a shell's loop then ends as well.
    std::signal(signal, SIG_DFL);
    std::raise(signal);
    return 128 + signal;
  }
}

}  // namespace

void add_bench(CLI::App& root, Work& chosen) {
  const auto arguments = std::make_shared<BenchArguments>();
  BenchOptions& options = arguments->options;
  CLI::App* command = root.add_subcommand("bench", "Measure what a call costs on this machine");
  command->add_option("--only", options.only, "A variant to run; may be repeated; default: all")
      ->type_name("VARIANT")
      ->check(CLI::IsMember(bench::variant_names()));
  command
      ->add_option("--rounds", options.rounds, "Rounds, in each of which every variant has a turn")
      ->capture_default_str()
      ->check(CLI::Range(1, 10000));
  command->add_option("--seconds", options.seconds, "How long a turn is measured")
      ->capture_default_str()
      ->check(CLI::Range(0.01, 3600.0));
  command->add_option("--payload", options.payload_bytes, "Bytes each way")
      ->capture_default_str()
      ->check(CLI::Range(8, 32 << 20));
  command
      ->add_option("--placement", arguments->placement,
                   "CPUs of the 1 to 1 variants' two processes")
      ->capture_default_str()
      ->check(CLI::IsMember(&kPlacements));
  command->add_option("--seed", options.seed, "Of the order; default: a random one");
  command->add_option("--supervisor", options.supervisor, "The program slotring-supervisor to use")
      ->type_name("PATH");
  command->add_flag("--json", arguments->as_json, "Everything as JSON, every round");
  command->footer(kFooter);
  command->callback([arguments, &chosen] { chosen = [arguments] { return bench(*arguments); }; });
}

}  // namespace slotring::cli
