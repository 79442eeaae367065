// The product as a subject: SlotPool, ClientCore and WorkerSeat on a LocalPool.

#ifndef SLOTRING_TESTS_LINEARIZABILITY_REAL_POOL_H_
#define SLOTRING_TESTS_LINEARIZABILITY_REAL_POOL_H_

#include <map>
#include <memory>
#include <vector>

#include "tests/linearizability/subject.h"
#include "tests/support/local_pool.h"

namespace slotring::linearizability {

class RealPool : public Subject {
 public:
  RealPool(std::uint32_t seats, std::uint32_t slots_per_seat);
  ~RealPool() override;

  const testing::LocalPool& local() const { return local_; }
  // Callers of one client share its ClientCore. In a child made by fork(): only of a client whose
  // caller the parent has not made.
  std::unique_ptr<Caller> caller(std::uint16_t client) override;
  std::unique_ptr<Server> server(std::uint16_t seat) override;
  std::uint32_t seats() const override { return local_.segment().geometry().max_workers; }
  std::uint32_t slots_per_seat() const override {
    return local_.segment().geometry().slots_per_worker;
  }
  std::vector<std::uint32_t> generations() const override;

  // Adds a failure to the test unless every slot is free and nobody waits.
  void expect_idle() const;

 private:
  testing::LocalPool local_;
  std::map<std::uint16_t, std::unique_ptr<internal::ClientCore>> clients_;
};

}  // namespace slotring::linearizability

#endif  // SLOTRING_TESTS_LINEARIZABILITY_REAL_POOL_H_
