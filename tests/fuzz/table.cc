// Users' tables: bytes of a hostile peer, judged by TableSchema, whose verdict is never milder than
// that of the verifier that flatc generates.
//
//     input: the table

#include <cstdio>
#include <cstring>
#include <memory>

#include "client_lib/shm/table_schema.h"
#include "every_form_bfbs_generated.h"
#include "tests/fuzz/seed_corpus.h"
#include "tests/support/every_form_sample.h"

namespace slotring::fuzz {

std::vector<Input> seeds() { return {testing::every_form_sample()}; }

namespace {
const shm::TableSchema& schema() {
  using Embedded = ::testing::tables::EveryBinarySchema;
  static const shm::TableSchema loaded =
      shm::TableSchema::load(std::as_bytes(std::span(Embedded::data(), Embedded::size()))).value();
  return loaded;
}
}  // namespace

}  // namespace slotring::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace slotring;
  // Exactly its size, and aligned, as a private copy.
  const std::unique_ptr<std::uint8_t[]> copy(new std::uint8_t[size]);
  if (size > 0) std::memcpy(copy.get(), data, size);
  const Status verdict = fuzz::schema().verify(std::as_bytes(std::span(copy.get(), size)));
  if (verdict) {
    flatbuffers::Verifier generated(copy.get(), size);
    FUZZ_CHECK(generated.VerifyBuffer<::testing::tables::Every>(nullptr));
  } else {
    FUZZ_CHECK(verdict.error().code == ErrorCode::kTableInvalid);
  }
  return 0;
}
