// Runs models under relacy's random scheduler and says what came of it. The seed is relacy's own
// and fixed: a run repeats exactly.

#ifndef SLOTRING_TESTS_MODELS_RELACY_VERDICT_H_
#define SLOTRING_TESTS_MODELS_RELACY_VERDICT_H_

#include <array>
#include <cstdio>
#include <ostream>
#include <streambuf>
#include <string_view>

#include "tests/models/relacy/model_atomic.h"

namespace slotring::models {

// Keeps the first of what is written to it. Never allocates: relacy takes the allocations during a
// run for the model's.
class Report : public std::streambuf {
 public:
  Report() { setp(text_.data(), text_.data() + text_.size()); }
  std::string_view text() const { return {pbase(), static_cast<std::size_t>(pptr() - pbase())}; }

 private:
  int_type overflow(int_type next) override { return traits_type::not_eof(next); }

  std::array<char, 20'000> text_;
};

class Verdict {
 public:
  // The model must hold in every run.
  template <class Model>
  void holds(const char* name) {
    Report report;
    const bool held = simulate<Model>(report);
    say(held, name, "held", "FAILED");
    if (!held) std::printf("%.*s\n", static_cast<int>(report.text().size()), report.text().data());
  }
  // Relacy must find the known mistake in this one.
  template <class Canary>
  void is_found(const char* name) {
    Report report;
    say(!simulate<Canary>(report), name, "was found", "was NOT found");
  }
  int exit_status() const { return failures_ == 0 ? 0 : 1; }

 private:
  static constexpr unsigned kRuns = 300'000;

  template <class Model>
  static bool simulate(Report& report) {
    std::ostream stream(&report);
    rl::test_params parameters;
    parameters.iteration_count = kRuns;
    parameters.search_type = rl::random_scheduler_type;
    parameters.output_stream = &stream;
    parameters.progress_stream = &stream;
    return rl::simulate<Model>(parameters);
  }
  void say(bool good, const char* name, const char* yes, const char* no) {
    std::printf("%s: %s\n", name, good ? yes : no);
    std::fflush(stdout);
    if (!good) ++failures_;
  }

  int failures_ = 0;
};

}  // namespace slotring::models

#endif  // SLOTRING_TESTS_MODELS_RELACY_VERDICT_H_
