// A table with every form of a field in it (every_form.fbs), finished.

#ifndef SLOTRING_TESTS_SUPPORT_EVERY_FORM_SAMPLE_H_
#define SLOTRING_TESTS_SUPPORT_EVERY_FORM_SAMPLE_H_

#include <cstdint>
#include <vector>

#include "every_form_generated.h"

namespace slotring::testing {

inline std::vector<std::uint8_t> every_form_sample() {
  using namespace ::testing::tables;  // NOLINT: the generated names
  flatbuffers::FlatBufferBuilder inner;
  inner.Finish(CreateLeafDirect(inner, "inside"));
  const std::vector<std::uint8_t> inner_bytes(inner.GetBufferPointer(),
                                              inner.GetBufferPointer() + inner.GetSize());
  flatbuffers::FlatBufferBuilder builder;
  const std::vector<float> values{1.5f, 2.5f};
  const auto leaf = CreateLeafDirect(builder, "leaf", &values);
  const auto other = CreateOther(builder, 7).Union();
  const Point point(0.5, -1);
  const auto place = builder.CreateStruct(point).Union();
  const auto text = builder.CreateString("text").Union();
  const std::vector<flatbuffers::Offset<flatbuffers::String>> names{builder.CreateString("one"),
                                                                    builder.CreateString("two")};
  const std::vector<Point> points{point, point, point};
  const std::vector<flatbuffers::Offset<Leaf>> leaves{leaf, CreateLeafDirect(builder, "other")};
  const std::vector<Any> types{Any::Leaf, Any::Other, Any::Place, Any::text};
  const std::vector<flatbuffers::Offset<void>> many{leaf.Union(), other, place, text};
  const std::vector<double> numbers{1, 2, 3};
  const auto child =
      CreateEveryDirect(builder, 1, Color::Red, false, nullptr, leaf, nullptr, nullptr, nullptr, 0,
                        Any::text, text, nullptr, nullptr, nullptr, nullptr, 3);
  const std::vector children{child, child};
  builder.Finish(CreateEveryDirect(builder, 2, Color::Green, true, &point, leaf, &names, &points,
                                   &leaves, child, Any::Place, place, &types, &many, &inner_bytes,
                                   &numbers, flatbuffers::nullopt, &children));
  return {builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize()};
}

}  // namespace slotring::testing

#endif  // SLOTRING_TESTS_SUPPORT_EVERY_FORM_SAMPLE_H_
