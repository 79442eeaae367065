#include <array>
#include <cstring>

#include "python_side/native/error.h"
#include "python_side/native/value.h"

namespace slotring::python {

using namespace flexbuffers;  // NOLINT: the names of its types and widths

namespace {

// A value in the buffer: `at` is where its parent holds it, inline or as an offset.
struct Place {
  std::size_t at;
  std::uint8_t parent_width;
  std::uint8_t width;
  Type type;
};

// Reads one buffer. A null Ref means: failed, with a Python exception (out of memory, not UTF-8) or
// a `complaint()`.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes)
      : data_(reinterpret_cast<const char*>(bytes.data())), size_(bytes.size()) {
    // Shared parts are read once for each reference to them, so a small buffer could unfold without
    // end. Each honest item takes a byte or more.
    budget_ = (std::uint64_t{64} << 20) + std::uint64_t{128} * size_;
  }

  Ref read();
  const char* complaint() const { return complaint_; }

 private:
  Ref value(const Place& place, int depth);
  Ref vector(std::size_t at, std::uint8_t width, int depth);
  Ref typed_vector(const Place& place, std::size_t at, int depth);
  Ref fixed_vector(const Place& place, std::size_t at, int depth);
  Ref items(std::size_t at, std::uint8_t width, std::uint64_t count, Type type, int depth);
  Ref map(std::size_t at, std::uint8_t width, int depth);
  Ref fill_map(std::size_t at, std::uint8_t width, std::uint64_t count, std::size_t keys_at,
               std::uint8_t key_width, int depth);
  Ref key(std::size_t at);
  Ref text(std::size_t at, std::uint64_t bytes);
  Ref floating(std::size_t at, std::uint8_t width);

  Ref fail(const char* why) {
    if (complaint_ == nullptr) complaint_ = why;
    return Ref();
  }
  bool in_range(std::size_t at, std::uint64_t bytes) const {
    return bytes <= size_ && at <= size_ - bytes;
  }
  bool spend(std::uint64_t bytes) {
    if (budget_ < bytes) return false;
    budget_ -= bytes;
    return true;
  }
  // REQUIRES: in_range(at, width), and a width of 1, 2, 4 or 8.
  std::uint64_t uint_at(std::size_t at, std::uint8_t width) const {
    std::uint64_t value = 0;
    std::memcpy(&value, data_ + at, width);  // little-endian, as the wire is
    return value;
  }
  std::int64_t int_at(std::size_t at, std::uint8_t width) const {
    const int unused_bits = 64 - 8 * width;
    return static_cast<std::int64_t>(uint_at(at, width) << unused_bits) >> unused_bits;
  }
  // Where the offset that is stored at `at` leads. Offsets lead backwards.
  bool follow(std::size_t at, std::uint8_t width, std::size_t& target) const {
    const std::uint64_t offset = uint_at(at, width);
    if (offset > at) return false;
    target = at - static_cast<std::size_t>(offset);
    return true;
  }
  // The count that stands before a sized thing.
  bool count_before(std::size_t at, std::uint8_t width, std::uint64_t& count) const {
    if (at < width) return false;
    count = uint_at(at - width, width);
    return count <= size_;
  }
  static Place unpack(std::size_t at, std::uint8_t parent_width, std::uint8_t packed) {
    return {at, parent_width, static_cast<std::uint8_t>(1u << (packed & 3u)),
            static_cast<Type>(packed >> 2)};
  }

  // Maps of one kind repeat their keys, which they share in the buffer: kept by where they are.
  struct KnownKey {
    std::size_t at = 0;
    Ref text;
  };

  const char* data_;
  std::size_t size_;
  std::uint64_t budget_;
  const char* complaint_ = nullptr;
  std::array<KnownKey, 32> known_keys_;
};

constexpr char kOutside[] = "the value refers to bytes outside itself";

Ref Reader::read() {
  // The root stands at the end: its bytes, its packed type, its width.
  if (size_ < 3) return fail("the value has fewer than three bytes");
  const auto width = static_cast<std::uint8_t>(data_[size_ - 1]);
  if (width != 1 && width != 2 && width != 4 && width != 8) {
    return fail("the value's root has an impossible width");
  }
  if (size_ - 2 < width) return fail(kOutside);
  const auto packed = static_cast<std::uint8_t>(data_[size_ - 2]);
  return value(unpack(size_ - 2 - width, width, packed), 0);
}

// REQUIRES: in_range(place.at, place.parent_width).
Ref Reader::value(const Place& place, int depth) {
  if (depth > kMaxValueDepth) return fail("the value is nested too deeply");
  if (!spend(64)) return fail("the value unfolds to far more than its size");
  switch (place.type) {
    case FBT_NULL:
      return Ref::share(Py_None);
    case FBT_BOOL:
      return Ref::share(uint_at(place.at, place.parent_width) != 0 ? Py_True : Py_False);
    case FBT_INT:
      return Ref::steal(PyLong_FromLongLong(int_at(place.at, place.parent_width)));
    case FBT_UINT:
      return Ref::steal(PyLong_FromUnsignedLongLong(uint_at(place.at, place.parent_width)));
    case FBT_FLOAT:
      return floating(place.at, place.parent_width);
    default:
      break;
  }
  std::size_t at = 0;
  if (!follow(place.at, place.parent_width, at)) return fail(kOutside);
  std::uint64_t count = 0;
  switch (place.type) {
    case FBT_KEY:
      return key(at);
    case FBT_STRING:
      if (!count_before(at, place.width, count)) return fail(kOutside);
      return text(at, count);
    case FBT_BLOB:
      if (!count_before(at, place.width, count) || !in_range(at, count) || !spend(count)) {
        return fail(kOutside);
      }
      return Ref::steal(PyBytes_FromStringAndSize(data_ + at, static_cast<Py_ssize_t>(count)));
    case FBT_INDIRECT_INT:
    case FBT_INDIRECT_UINT:
    case FBT_INDIRECT_FLOAT: {
      if (!in_range(at, place.width)) return fail(kOutside);
      const auto direct = static_cast<Type>(place.type - FBT_INDIRECT_INT + FBT_INT);
      return value({at, place.width, place.width, direct}, depth);
    }
    case FBT_MAP:
      return map(at, place.width, depth);
    case FBT_VECTOR:
      return vector(at, place.width, depth);
    default:
      if (IsTypedVector(place.type)) return typed_vector(place, at, depth);
      if (IsFixedTypedVector(place.type)) return fixed_vector(place, at, depth);
      return fail("the value has a part of an unknown type");
  }
}

Ref Reader::floating(std::size_t at, std::uint8_t width) {
  if (width == 8) {
    double number;
    std::memcpy(&number, data_ + at, sizeof(number));
    return Ref::steal(PyFloat_FromDouble(number));
  }
  if (width != 4) return fail("the value has a float of an impossible width");
  float number;
  std::memcpy(&number, data_ + at, sizeof(number));
  return Ref::steal(PyFloat_FromDouble(static_cast<double>(number)));
}

Ref Reader::text(std::size_t at, std::uint64_t bytes) {
  if (!in_range(at, bytes)) return fail(kOutside);
  if (!spend(bytes)) return fail("the value unfolds to far more than its size");
  return Ref::steal(PyUnicode_DecodeUTF8(data_ + at, static_cast<Py_ssize_t>(bytes), nullptr));
}

Ref Reader::key(std::size_t at) {
  KnownKey& known = known_keys_[at % known_keys_.size()];
  if (known.text && known.at == at) return known.text;
  const void* end = at < size_ ? std::memchr(data_ + at, 0, size_ - at) : nullptr;
  if (end == nullptr) return fail("the value has a key without an end");
  known = {at, text(at, static_cast<std::size_t>(static_cast<const char*>(end) - (data_ + at)))};
  return known.text;
}

Ref Reader::vector(std::size_t at, std::uint8_t width, int depth) {
  std::uint64_t count = 0;
  if (!count_before(at, width, count) || !in_range(at, count * (width + 1u))) return fail(kOutside);
  Ref list = Ref::steal(PyList_New(static_cast<Py_ssize_t>(count)));
  if (!list) return list;
  const std::size_t types_at = at + static_cast<std::size_t>(count) * width;
  for (std::size_t i = 0; i < count; ++i) {
    const auto packed = static_cast<std::uint8_t>(data_[types_at + i]);
    Ref item = value(unpack(at + i * width, width, packed), depth + 1);
    if (!item) return item;
    PyList_SetItem(list.get(), static_cast<Py_ssize_t>(i), item.release());
  }
  return list;
}

Ref Reader::typed_vector(const Place& place, std::size_t at, int depth) {
  std::uint64_t count = 0;
  if (!count_before(at, place.width, count)) return fail(kOutside);
  Type type = ToTypedVectorElementType(place.type);
  // A deprecated form, whose strings are read up to their end as keys are.
  if (type == FBT_STRING) type = FBT_KEY;
  return items(at, place.width, count, type, depth);
}

Ref Reader::fixed_vector(const Place& place, std::size_t at, int depth) {
  std::uint8_t count = 0;
  const Type type = ToFixedTypedVectorElementType(place.type, &count);
  return items(at, place.width, count, type, depth);
}

Ref Reader::items(std::size_t at, std::uint8_t width, std::uint64_t count, Type type, int depth) {
  if (!in_range(at, count * width)) return fail(kOutside);
  Ref list = Ref::steal(PyList_New(static_cast<Py_ssize_t>(count)));
  if (!list) return list;
  for (std::size_t i = 0; i < count; ++i) {
    Ref item = value({at + i * width, width, 1, type}, depth + 1);
    if (!item) return item;
    PyList_SetItem(list.get(), static_cast<Py_ssize_t>(i), item.release());
  }
  return list;
}

Ref Reader::map(std::size_t at, std::uint8_t width, int depth) {
  // Before the values: where the keys are, their width, and the count.
  const std::size_t entry = width;
  std::uint64_t count = 0;
  if (at < 3 * entry || !count_before(at, width, count) || !in_range(at, count * (width + 1u))) {
    return fail(kOutside);
  }
  std::size_t keys_at = 0;
  if (!follow(at - 3 * entry, width, keys_at)) return fail(kOutside);
  const std::uint64_t key_width = uint_at(at - 2 * entry, width);
  if (key_width != 1 && key_width != 2 && key_width != 4 && key_width != 8) {
    return fail("the value has keys of an impossible width");
  }
  const auto narrow = static_cast<std::uint8_t>(key_width);
  std::uint64_t keys = 0;
  if (!count_before(keys_at, narrow, keys) || keys != count || !in_range(keys_at, keys * narrow)) {
    return fail("the value has a map whose keys do not match its values");
  }
  return fill_map(at, width, count, keys_at, narrow, depth);
}

Ref Reader::fill_map(std::size_t at, std::uint8_t width, std::uint64_t count, std::size_t keys_at,
                     std::uint8_t key_width, int depth) {
  Ref dict = Ref::steal(PyDict_New());
  if (!dict) return dict;
  const std::size_t types_at = at + static_cast<std::size_t>(count) * width;
  for (std::size_t i = 0; i < count; ++i) {
    Ref name = value({keys_at + i * key_width, key_width, 1, FBT_KEY}, depth + 1);
    if (!name) return name;
    const auto packed = static_cast<std::uint8_t>(data_[types_at + i]);
    Ref item = value(unpack(at + i * width, width, packed), depth + 1);
    if (!item) return item;
    if (PyDict_SetItem(dict.get(), name.get(), item.get()) != 0) return Ref();
  }
  return dict;
}

}  // namespace

Result<Ref> read_value(std::span<const std::byte> bytes) {
  Reader reader(bytes);
  Ref value = reader.read();
  if (value) return value;
  if (PyErr_Occurred() != nullptr) return take_exception(ErrorCode::kBadFrame);
  return Error{ErrorCode::kBadFrame, reader.complaint()};
}

}  // namespace slotring::python
