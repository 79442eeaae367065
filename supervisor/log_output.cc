#include "supervisor/log_output.h"

#include <chrono>
#include <cstdio>
#include <system_error>

#include <nlohmann/json.hpp>
#include <spdlog/async.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>

#include "supervisor/log_file.h"

namespace slotring::supervisor {

namespace {

constexpr std::size_t kQueuedLines = 8192;
constexpr const char* kTime = "%Y-%m-%dT%H:%M:%S.%e%z";

// One JSON object a line. spdlog's patterns do not escape the message.
class JsonFormatter : public spdlog::formatter {
 public:
  JsonFormatter() : time_(kTime, spdlog::pattern_time_type::local, "") {}

  void format(const spdlog::details::log_msg& line, spdlog::memory_buf_t& into) override {
    spdlog::memory_buf_t time;
    time_.format(line, time);
    const auto level = spdlog::level::to_string_view(line.level);
    const nlohmann::ordered_json object = {
        {"time", std::string(time.data(), time.size())},
        {"level", std::string(level.data(), level.size())},
        {"source", std::string(line.logger_name.data(), line.logger_name.size())},
        {"message", std::string(line.payload.data(), line.payload.size())}};
    // What is not UTF-8 (a worker printed it) becomes U+FFFD.
    std::string text = object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    text += '\n';
    into.append(text.data(), text.data() + text.size());
  }

  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<JsonFormatter>();
  }

 private:
  spdlog::pattern_formatter time_;
};

std::unique_ptr<spdlog::formatter> make_formatter(LogFormat format) {
  if (format == LogFormat::kJson) return std::make_unique<JsonFormatter>();
  return std::make_unique<spdlog::pattern_formatter>(std::string(kTime) + " %^%-7l%$ %n: %v");
}

Result<spdlog::sink_ptr> make_sink(const LogConfig& config) {
  spdlog::sink_ptr sink;
  if (config.file.empty()) {
    sink = std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
  } else {
    Result<std::shared_ptr<LogFile>> file = LogFile::open(config.file);
    if (!file) return std::move(file).error();
    sink = *std::move(file);
  }
  sink->set_formatter(make_formatter(config.format));
  return sink;
}

}  // namespace

LogOutput::LogOutput(const LogConfig& config)
    : config_(config),
      sink_(std::make_shared<spdlog::sinks::dist_sink_mt>()),
      writer_(std::make_shared<spdlog::details::thread_pool>(kQueuedLines, 1)) {}

LogOutput::~LogOutput() = default;

Result<std::unique_ptr<LogOutput>> LogOutput::open(const LogConfig& config) {
  Result<spdlog::sink_ptr> sink = make_sink(config);
  if (!sink) return std::move(sink).error();
  try {
    std::unique_ptr<LogOutput> output(new LogOutput(config));
    output->sink_->set_sinks({*sink});
    return output;
  } catch (const std::system_error& failed) {
    return Error{ErrorCode::kSystemLimit,
                 std::string("starting the log's thread: ") + failed.what()};
  }
}

Log LogOutput::make_log(const std::string& source) {
  std::erase_if(logs_, [](const Log& log) { return log.use_count() == 1; });
  auto log = std::make_shared<spdlog::async_logger>(source, sink_, writer_,
                                                    spdlog::async_overflow_policy::overrun_oldest);
  log->set_level(spdlog::level::from_str(config_.level));
  log->flush_on(spdlog::level::info);
  logs_.push_back(log);
  return log;
}

Status LogOutput::reopen() {
  if (config_.file.empty()) return Done{};
  Result<spdlog::sink_ptr> sink = make_sink(config_);
  if (!sink) return std::move(sink).error();
  sink_->set_sinks({*sink});
  return Done{};
}

}  // namespace slotring::supervisor
