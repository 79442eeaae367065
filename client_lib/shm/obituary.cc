#include "client_lib/shm/obituary.h"

#include <string.h>
#include <sys/wait.h>

#include <algorithm>
#include <string>

namespace slotring::shm {

void write_obituary(const ControlSegment& segment, SeatIndex seat, std::uint32_t generation,
                    std::int32_t pid, std::int32_t wait_status, std::string_view stderr_tail,
                    std::string_view note) {
  layout::Obituary& obituary = segment.obituary(seat, generation % layout::kObituariesPerSeat);
  note = note.substr(0, sizeof(obituary.text) / 2);
  const std::size_t room = sizeof(obituary.text) - note.size();
  if (stderr_tail.size() > room) stderr_tail.remove_prefix(stderr_tail.size() - room);
  note.copy(obituary.text, note.size());
  stderr_tail.copy(obituary.text + note.size(), stderr_tail.size());
  obituary.note_bytes.store(static_cast<std::uint16_t>(note.size()), std::memory_order_relaxed);
  obituary.tail_bytes.store(static_cast<std::uint16_t>(stderr_tail.size()),
                            std::memory_order_relaxed);
  obituary.pid.store(pid, std::memory_order_relaxed);
  obituary.wait_status.store(wait_status, std::memory_order_relaxed);
  // Release: partner of the acquire of the slot word that names this obituary, which is moved after
  // this.
  obituary.generation.store(generation, std::memory_order_release);
}

Error lost_error(const ControlSegment& segment, SlotIndex slot, SlotFlags flags) {
  const SeatIndex seat = segment.seat_of(slot);
  const layout::Obituary& obituary =
      segment.obituary(seat, (flags & layout::kObituaryMask) >> layout::kObituaryShift);
  const int status = obituary.wait_status.load(std::memory_order_relaxed);
  const std::size_t note_bytes = std::min<std::size_t>(
      obituary.note_bytes.load(std::memory_order_relaxed), sizeof(obituary.text));
  const std::size_t tail_bytes = std::min<std::size_t>(
      obituary.tail_bytes.load(std::memory_order_relaxed), sizeof(obituary.text) - note_bytes);
  Error lost{.code = ErrorCode::kWorkerLost,
             .message = "the worker (seat " + std::to_string(seat) + ", pid " +
                        std::to_string(obituary.pid.load(std::memory_order_relaxed)) + ") "};
  if (status == layout::kUnknownWaitStatus) {
    lost.message += "ended";
  } else if (WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    const char* name = ::sigabbrev_np(signal);
    lost.message += "was killed by signal " + std::to_string(signal) +
                    (name == nullptr ? "" : " (SIG" + std::string(name) + ")");
  } else {
    lost.message += "exited with status " + std::to_string(WEXITSTATUS(status));
  }
  lost.retryable = (flags & layout::kFlagNeverStarted) != 0;
  lost.message += lost.retryable ? " before it started the call" : " during the call";
  if (note_bytes > 0) lost.message.append(": ").append(obituary.text, note_bytes);
  lost.traceback.assign(obituary.text + note_bytes, tail_bytes);
  return lost;
}

}  // namespace slotring::shm
