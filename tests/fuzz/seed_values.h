// Values with every type of FlexBuffers in them.

#ifndef SLOTRING_TESTS_FUZZ_SEED_VALUES_H_
#define SLOTRING_TESTS_FUZZ_SEED_VALUES_H_

#include <vector>

#include <flatbuffers/flexbuffers.h>

#include "tests/fuzz/seed_corpus.h"

namespace slotring::fuzz {

template <class Build>
Input built(Build build) {
  flexbuffers::Builder builder;
  build(builder);
  builder.Finish();
  return builder.GetBuffer();
}

inline std::vector<Input> seed_values() {
  using flexbuffers::Builder;
  return {built([](Builder& b) { b.Int(-7); }),
          built([](Builder& b) { b.Double(0.5); }),
          built([](Builder& b) { b.Float(0.5F); }),
          built([](Builder& b) { b.Bool(true); }),
          built([](Builder& b) { b.String("seven"); }),
          built([](Builder& b) { b.IndirectUInt(std::uint64_t{1} << 40); }),
          built([](Builder& b) { b.TypedVector([&] { b.Float(1), b.Float(2); }); }),
          built([](Builder& b) { b.TypedVector([&] { b.Key("a"), b.Key("b"); }); }),
          built([](Builder& b) {
            const int three[] = {1, 2, 3};
            b.FixedTypedVector(three, 3);
          }),
          built([](Builder& b) {
            b.Map([&] {
              b.String("name", "seven");
              b.Null("nothing");
              b.Key("blob");
              b.Blob("\1\2\3", 3);
              b.Vector("pixels", [&] { b.Int(1), b.Double(2.5), b.IndirectInt(1000); });
              b.Map("nested", [&] { b.Bool("sure", false); });
            });
          })};
}

}  // namespace slotring::fuzz

#endif  // SLOTRING_TESTS_FUZZ_SEED_VALUES_H_
