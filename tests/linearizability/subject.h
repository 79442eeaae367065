// What a pool has to offer so that histories of it can be recorded: a caller and a server, each
// used by one thread. The real pool is one subject; pools with known bugs are others, which the
// checker must find.

#ifndef SLOTRING_TESTS_LINEARIZABILITY_SUBJECT_H_
#define SLOTRING_TESTS_LINEARIZABILITY_SUBJECT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace slotring::linearizability {

struct Place {
  std::uint32_t slot = 0;
  std::uint32_t generation = 0;
};

struct Call {
  Place place;
  std::uint64_t value = 0;
};

// A client's thread, which holds at most one slot at a time.
class Caller {
 public:
  virtual ~Caller() = default;
  // A patient one waits for ever, an impatient one for a moment, and does not submit then.
  virtual std::optional<Place> claim(bool patient) = 0;
  virtual void submit(std::uint64_t value) = 0;
  // The reply's value, or nothing when the worker died in the call.
  virtual std::optional<std::uint64_t> receive() = 0;
  virtual void abandon() = 0;
  virtual void release() = 0;
};

// A worker's thread, which runs at most one call at a time.
class Server {
 public:
  virtual ~Server() = default;
  virtual std::optional<Call> serve() = 0;
  virtual void reply(std::uint64_t value) = 0;
  virtual void wait() = 0;
  // Ends a wait(), by another thread.
  virtual void interrupt() = 0;
};

class Subject {
 public:
  virtual ~Subject() = default;
  virtual std::unique_ptr<Caller> caller(std::uint16_t client) = 0;
  virtual std::unique_ptr<Server> server(std::uint16_t seat) = 0;
  virtual std::uint32_t seats() const = 0;
  virtual std::uint32_t slots_per_seat() const = 0;
  // Of all slots, while nothing goes on.
  virtual std::vector<std::uint32_t> generations() const = 0;
};

}  // namespace slotring::linearizability

#endif  // SLOTRING_TESTS_LINEARIZABILITY_SUBJECT_H_
