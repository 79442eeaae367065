// Values (FlexBuffers): bytes of a hostile peer, verified by copy_verified_value() and then walked
// by FlexBuffers' own readers, as a C++ client walks a reply.
//
//     input: the payload

#include "client_lib/shm/value.h"

#include <cstdio>
#include <string>

#include <flatbuffers/flexbuffers.h>

#include "tests/fuzz/seed_corpus.h"
#include "tests/fuzz/seed_values.h"

namespace slotring::fuzz {
namespace {

// Reads every part of a value. Shared parts are read once for each reference to them, so that
// `budget` has to end it.
class Walk {
 public:
  void over(flexbuffers::Reference value) {
    if (budget_ == 0) return;
    --budget_;
    if (value.IsMap()) {
      over_map(value.AsMap());
    } else if (value.IsVector()) {
      over_all(value.AsVector());
    } else if (value.IsTypedVector()) {
      over_all(value.AsTypedVector());
    } else if (value.IsFixedTypedVector()) {
      over_all(value.AsFixedTypedVector());
    } else if (value.IsString()) {
      look_at(value.AsString().str());
    } else if (value.IsKey()) {
      look_at(value.AsKey());
    } else if (value.IsBlob()) {
      const auto blob = value.AsBlob();
      look_at({reinterpret_cast<const char*>(blob.data()), blob.size()});
    } else if (value.IsFloat()) {
      seen_ += value.AsDouble() > 0 ? 1 : 0;
    } else if (value.IsBool()) {
      seen_ += value.AsBool() ? 1 : 0;
    } else {
      seen_ += value.AsUInt64();
    }
  }

  // Of everything that was read, so that reading it is no dead code.
  std::size_t sum() const { return seen_; }

 private:
  void over_map(const flexbuffers::Map& map) {
    for (std::size_t i = 0; i < map.size() && budget_ > 0; ++i) {
      look_at(map.Keys()[i].AsKey());
      over(map.Values()[i]);
    }
  }
  template <class Vector>
  void over_all(const Vector& vector) {
    for (std::size_t i = 0; i < vector.size() && budget_ > 0; ++i) over(vector[i]);
  }
  void look_at(const std::string& text) {
    for (const char c : text) seen_ += static_cast<unsigned char>(c);
  }

  int budget_ = 20'000;
  std::size_t seen_ = 0;
};

}  // namespace

std::vector<Input> seeds() { return seed_values(); }

}  // namespace slotring::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace slotring;
  const auto value = shm::copy_verified_value(std::as_bytes(std::span(data, size)));
  if (!value) {
    FUZZ_CHECK(value.error().code == ErrorCode::kBadFrame);
    return 0;
  }
  fuzz::Walk walk;
  walk.over(flexbuffers::GetRoot(*value));
  volatile std::size_t kept = walk.sum();
  (void)kept;
  return 0;
}
