#include "supervisor/watched_process.h"

#include <utility>

namespace slotring::supervisor {

Status WatchedProcess::watch_output(boost::asio::io_context& io, shm::UniqueFd out,
                                    shm::UniqueFd err) {
  Result<std::unique_ptr<LogPipe>> out_pipe = LogPipe::start(io, std::move(out), log);
  if (!out_pipe) return std::move(out_pipe).error();
  Result<std::unique_ptr<LogPipe>> err_pipe = LogPipe::start(io, std::move(err), log);
  if (!err_pipe) return std::move(err_pipe).error();
  output = *std::move(out_pipe);
  error_output = *std::move(err_pipe);
  return Done{};
}

Status WatchedProcess::watch_life(boost::asio::io_context& io, shm::UniqueFd pidfd,
                                  Callback on_exit) {
  Result<ReadableWatch> watch = ReadableWatch::start(io, std::move(pidfd), std::move(on_exit));
  if (!watch) return std::move(watch).error();
  life = *std::move(watch);
  return Done{};
}

void WatchedProcess::finish_output() const {
  output->finish();
  error_output->finish();
}

}  // namespace slotring::supervisor
