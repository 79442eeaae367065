#include <cstring>

#include "client_lib/shm/table_schema.h"

namespace slotring::shm {

// Walks one buffer by the schema. Places are offsets from its start: none is followed before it is
// known to lie inside. A false: refused, with where and why.
class TableVerifier {
 public:
  explicit TableVerifier(const TableSchema& schema) : schema_(schema) {}

  bool buffer(std::span<const std::byte> bytes, std::uint32_t root, int depth);
  // What a table may unfold to: shared parts are walked once for each reference to them, so a small
  // buffer could take for ever.
  void set_budget(std::size_t bytes) { budget_ = 4'000'000 + 4 * std::uint64_t{bytes}; }

  std::string complaint() const {
    return (where_.empty() ? std::string() : "at " + where_.substr(1) + ": ") + why_;
  }

 private:
  using Form = TableSchema::Form;
  using Field = TableSchema::Field;

  // A table, with where its vtable is.
  struct Table {
    std::size_t at;
    std::size_t vtable;
    std::uint16_t vtable_bytes;
  };

  bool table(std::size_t at, std::uint32_t object, int depth);
  bool field(const Table& in, const Field& field, int depth);
  bool absent(const Table& in, const Field& field);
  bool pointed(std::size_t at, const Table& in, const Field& field, int depth);
  bool vector(std::size_t at, const Field& field, int depth);
  bool unions(std::size_t values, const Table& in, const Field& field, int depth);
  bool member(std::size_t at, const TableSchema::Union& of, std::uint8_t type, int depth);
  bool nested(std::size_t vector, std::uint32_t object, int depth);
  bool text(std::size_t at);
  bool items(std::size_t at, std::size_t item_bytes, std::uint32_t& count);
  // Follows the offset at `at`.
  bool follow(std::size_t at, std::size_t& to);

  bool refuse(const char* why) {
    if (why_.empty()) why_ = why;
    return false;
  }
  bool within(const std::string& name, bool good) {
    if (!good) where_.insert(0, name);
    return good;
  }
  bool spend(std::uint64_t steps) {
    if (budget_ < steps) return refuse("it unfolds to far more than its size");
    budget_ -= steps;
    return true;
  }
  bool in_range(std::size_t at, std::size_t bytes) const {
    return bytes < size_ && at <= size_ - bytes;
  }
  bool has(std::size_t at, std::size_t bytes, std::size_t alignment) const {
    return (at & (alignment - 1)) == 0 && in_range(at, bytes);
  }
  // REQUIRES: in_range(at, sizeof(T)).
  template <class T>
  T get(std::size_t at) const {
    T value;
    std::memcpy(&value, data_ + at, sizeof(value));  // little-endian, as the wire is
    return value;
  }
  // Where in the table the field stands; 0 for absent.
  std::uint16_t place_of(const Table& in, std::uint16_t offset) const {
    return offset < in.vtable_bytes ? get<std::uint16_t>(in.vtable + offset) : std::uint16_t{0};
  }

  const TableSchema& schema_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::uint64_t budget_ = 0;
  std::uint32_t tables_ = 0;
  std::string where_;
  std::string why_;
};

namespace {
constexpr char kOutside[] = "it lies outside the buffer, or is not aligned";
}

bool TableVerifier::buffer(std::span<const std::byte> bytes, std::uint32_t root, int depth) {
  data_ = bytes.data();
  size_ = bytes.size();
  if (size_ < TableSchema::kMinBytes) return refuse("the buffer is too short for any table");
  if (size_ >= TableSchema::kMaxBytes) return refuse("the buffer is larger than 2 GiB");
  std::size_t at = 0;
  return follow(0, at) && table(at, root, depth);
}

bool TableVerifier::follow(std::size_t at, std::size_t& to) {
  if (!has(at, sizeof(std::uint32_t), sizeof(std::uint32_t))) return refuse(kOutside);
  const auto offset = get<std::uint32_t>(at);
  if (offset == 0 || offset > INT32_MAX || !in_range(at + offset, 1)) return refuse(kOutside);
  to = at + offset;
  return true;
}

bool TableVerifier::table(std::size_t at, std::uint32_t object, int depth) {
  if (!has(at, sizeof(std::int32_t), sizeof(std::int32_t))) return refuse(kOutside);
  if (++depth > TableSchema::kMaxDepth) return refuse("tables are nested too deeply");
  if (++tables_ > TableSchema::kMaxTables) return refuse("there are too many tables");
  const std::vector<Field>& fields = schema_.objects_[object].fields;
  if (!spend(1 + fields.size())) return false;
  Table here{at, at - static_cast<std::size_t>(std::int64_t{get<std::int32_t>(at)}), 0};
  if (!has(here.vtable, 2, 2)) return refuse("its vtable lies outside the buffer");
  here.vtable_bytes = get<std::uint16_t>(here.vtable);
  if (here.vtable_bytes % 2 != 0 || !in_range(here.vtable, here.vtable_bytes)) {
    return refuse("its vtable lies outside the buffer");
  }
  for (const Field& each : fields) {
    if (!field(here, each, depth)) return within("." + each.name, false);
  }
  return true;
}

bool TableVerifier::field(const Table& in, const Field& field, int depth) {
  const std::uint16_t place = place_of(in, field.offset);
  if (place == 0) return absent(in, field);
  const std::size_t at = in.at + place;
  if (field.form == Form::kScalar) {
    return has(at, field.scalar_bytes, field.scalar_bytes) || refuse(kOutside);
  }
  if (field.form == Form::kStruct) {
    const TableSchema::Object& object = schema_.objects_[field.index];
    return has(at, object.bytes, object.alignment) || refuse(kOutside);
  }
  std::size_t to = 0;
  return follow(at, to) && pointed(to, in, field, depth);
}

bool TableVerifier::absent(const Table& in, const Field& field) {
  if (field.required) return refuse("it is required, and absent");
  const auto type_offset = static_cast<std::uint16_t>(field.offset - 2);
  if (field.form == Form::kVector && field.element == Form::kUnion) {
    return place_of(in, type_offset) == 0 || refuse("it has types, and no values");
  }
  const std::uint16_t type = field.form == Form::kUnion ? place_of(in, type_offset) : 0;
  if (type == 0 || !in_range(in.at + type, 1)) return true;
  const TableSchema::Union& of = schema_.unions_[field.index];
  const auto member = of.find(get<std::uint8_t>(in.at + type));
  return member == of.end() || member->second.form != Form::kStruct ||
         refuse("it has a type, and no value");
}

bool TableVerifier::pointed(std::size_t at, const Table& in, const Field& field, int depth) {
  switch (field.form) {
    case Form::kText:
      return text(at);
    case Form::kTable:
      return table(at, field.index, depth);
    case Form::kUnion: {
      const std::uint16_t type = place_of(in, static_cast<std::uint16_t>(field.offset - 2));
      if (type == 0) return true;  // of no type
      if (!in_range(in.at + type, 1)) return refuse(kOutside);
      return member(at, schema_.unions_[field.index], get<std::uint8_t>(in.at + type), depth);
    }
    default:
      return field.element == Form::kUnion ? unions(at, in, field, depth)
                                           : vector(at, field, depth);
  }
}

bool TableVerifier::member(std::size_t at, const TableSchema::Union& of, std::uint8_t type,
                           int depth) {
  const auto found = of.find(type);
  if (found == of.end()) return true;  // of a later schema: no accessor looks at it
  const TableSchema::Member& member = found->second;
  if (member.form == Form::kText) return text(at);
  if (member.form == Form::kTable) return table(at, member.index, depth);
  const TableSchema::Object& object = schema_.objects_[member.index];
  return has(at, object.bytes, object.alignment) || refuse(kOutside);
}

bool TableVerifier::items(std::size_t at, std::size_t item_bytes, std::uint32_t& count) {
  if (!has(at, sizeof(count), sizeof(count))) return refuse(kOutside);
  count = get<std::uint32_t>(at);
  const std::uint64_t bytes = sizeof(count) + std::uint64_t{count} * item_bytes;
  return (bytes < TableSchema::kMaxBytes && in_range(at, bytes)) ||
         refuse("it has more items than the buffer holds");
}

bool TableVerifier::text(std::size_t at) {
  std::uint32_t bytes = 0;
  if (!items(at, 1, bytes)) return false;
  const std::size_t end = at + sizeof(bytes) + bytes;
  return (in_range(end, 1) && data_[end] == std::byte{0}) || refuse("the text has no end");
}

bool TableVerifier::vector(std::size_t at, const Field& field, int depth) {
  std::uint32_t count = 0;
  const bool inlined = field.element == Form::kScalar || field.element == Form::kStruct;
  const std::size_t item_bytes = field.element == Form::kScalar ? field.scalar_bytes
                                 : inlined ? schema_.objects_[field.index].bytes
                                           : sizeof(std::uint32_t);
  if (!items(at, item_bytes, count)) return false;
  if (field.nested) return nested(at, field.index, depth);
  if (inlined) return true;
  if (!spend(count)) return false;
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::size_t item = at + sizeof(count) + i * sizeof(std::uint32_t);
    const std::size_t to = item + get<std::uint32_t>(item);
    const bool good = field.element == Form::kText ? text(to) : table(to, field.index, depth);
    if (!good) return within("[" + std::to_string(i) + "]", false);
  }
  return true;
}

// Vectors of values and of their types, side by side.
bool TableVerifier::unions(std::size_t values, const Table& in, const Field& field, int depth) {
  const std::uint16_t place = place_of(in, static_cast<std::uint16_t>(field.offset - 2));
  if (place == 0) return refuse("it has no types");
  std::size_t types = 0;
  std::uint32_t count = 0;
  std::uint32_t type_count = 0;
  if (!follow(in.at + place, types) || !items(types, 1, type_count) ||
      !items(values, sizeof(std::uint32_t), count)) {
    return false;
  }
  if (count != type_count) return refuse("it has other numbers of values and of types");
  if (!spend(count)) return false;
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::size_t item = values + sizeof(count) + i * sizeof(std::uint32_t);
    const auto type = get<std::uint8_t>(types + sizeof(count) + i);
    if (!member(item + get<std::uint32_t>(item), schema_.unions_[field.index], type, depth)) {
      return within("[" + std::to_string(i) + "]", false);
    }
  }
  return true;
}

bool TableVerifier::nested(std::size_t vector, std::uint32_t object, int depth) {
  const auto bytes = get<std::uint32_t>(vector);
  const std::span outer(data_, size_);
  const bool good = buffer(outer.subspan(vector + sizeof(bytes), bytes), object, depth);
  data_ = outer.data();
  size_ = outer.size();
  return good;
}

Status TableSchema::verify(std::span<const std::byte> table) const {
  TableVerifier verifier(*this);
  verifier.set_budget(table.size());
  if (verifier.buffer(table, root_, 0)) return Done{};
  return Error{ErrorCode::kTableInvalid,
               "the table is no valid " + root() + "; " + verifier.complaint()};
}

}  // namespace slotring::shm
