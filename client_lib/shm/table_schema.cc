// Reads a binary schema; table_verifier.cc verifies with it.

#include "client_lib/shm/table_schema.h"

#include <algorithm>
#include <bit>
#include <optional>

#include <flatbuffers/reflection_generated.h>

namespace slotring::shm {

namespace {

Error unusable(std::string why) {
  return Error{ErrorCode::kInvalidArgument, "the schema " + std::move(why)};
}

std::uint32_t scalar_bytes(reflection::BaseType type) {
  using namespace reflection;  // NOLINT: the names of its types
  switch (type) {
    case UType:
    case Bool:
    case Byte:
    case UByte:
      return 1;
    case Short:
    case UShort:
      return 2;
    case Int:
    case UInt:
    case Float:
      return 4;
    case Long:
    case ULong:
    case Double:
      return 8;
    default:
      return 0;
  }
}

}  // namespace

// Turns the reflection into TableSchema's own form, so that nothing of it needs a check again.
class TableSchemaReader {
 public:
  explicit TableSchemaReader(const reflection::Schema& schema) : from_(schema) {}

  Result<TableSchema> read(std::string_view root) {
    if (from_.enums() != nullptr) {
      for (const reflection::Enum* each : *from_.enums()) {
        if (Status added = add_union(*each); !added) return std::move(added).error();
      }
    }
    for (const reflection::Object* each : *from_.objects()) {
      if (Status added = add_object(*each); !added) return std::move(added).error();
    }
    return choose_root(root);
  }

 private:
  using Form = TableSchema::Form;

  const reflection::Object* object_at(std::int32_t index) const {
    const bool there = index >= 0 && static_cast<std::uint32_t>(index) < from_.objects()->size();
    return there ? from_.objects()->Get(static_cast<std::uint32_t>(index)) : nullptr;
  }

  Status add_union(const reflection::Enum& from) {
    TableSchema::Union& to = made_.unions_.emplace_back();
    if (!from.is_union()) return Done{};
    for (const reflection::EnumVal* value : *from.values()) {
      const reflection::Type* type = value->union_type();
      if (type == nullptr || type->base_type() == reflection::None) continue;
      TableSchema::Member member{Form::kText, 0};
      if (type->base_type() == reflection::Obj) {
        const reflection::Object* object = object_at(type->index());
        if (object == nullptr) return unknown_type(*from.name());
        member = {object->is_struct() ? Form::kStruct : Form::kTable,
                  static_cast<std::uint32_t>(type->index())};
      } else if (type->base_type() != reflection::String) {
        return unknown_type(*from.name());
      }
      to[static_cast<std::uint8_t>(value->value())] = member;
    }
    return Done{};
  }

  Status add_object(const reflection::Object& from) {
    TableSchema::Object to;
    to.name = from.name()->str();
    to.is_struct = from.is_struct();
    if (to.is_struct) {
      const bool sized = from.bytesize() > 0 && from.minalign() > 0 &&
                         std::has_single_bit(static_cast<std::uint32_t>(from.minalign()));
      if (!sized) return unusable("has a struct '" + to.name + "' of an impossible size");
      to.bytes = static_cast<std::uint32_t>(from.bytesize());
      to.alignment = static_cast<std::uint32_t>(from.minalign());
    } else {
      for (const reflection::Field* each : *from.fields()) {
        Result<TableSchema::Field> field = read_field(to.name, *each);
        if (!field) return std::move(field).error();
        to.fields.push_back(*std::move(field));
      }
      // As they stand in the table's own schema, so that the first of several wrong ones is named.
      std::sort(to.fields.begin(), to.fields.end(),
                [](const auto& a, const auto& b) { return a.offset < b.offset; });
    }
    made_.objects_.push_back(std::move(to));
    return Done{};
  }

  Result<TableSchema::Field> read_field(const std::string& owner, const reflection::Field& from) {
    TableSchema::Field to;
    to.name = from.name()->str();
    to.offset = from.offset();
    to.required = from.required();
    const reflection::Type& type = *from.type();
    const bool vector = type.base_type() == reflection::Vector;
    const reflection::BaseType base = vector ? type.element() : type.base_type();
    const std::optional<Form> form = form_of(base, type.index());
    if (!form || to.offset < 4 || to.offset % 2 != 0) return unknown_type(owner + "." + to.name);
    to.form = vector ? Form::kVector : *form;
    to.element = *form;
    to.scalar_bytes = scalar_bytes(base);
    if (*form != Form::kScalar && *form != Form::kText) {
      to.index = static_cast<std::uint32_t>(type.index());
    }
    // The field before is the union's type.
    if (*form == Form::kUnion && to.offset < 6) return unknown_type(owner + "." + to.name);
    return with_nested(owner, from, std::move(to));
  }

  std::optional<Form> form_of(reflection::BaseType base, std::int32_t index) const {
    if (scalar_bytes(base) != 0) return Form::kScalar;
    if (base == reflection::String) return Form::kText;
    if (base == reflection::Obj) {
      const reflection::Object* object = object_at(index);
      if (object == nullptr) return std::nullopt;
      return object->is_struct() ? Form::kStruct : Form::kTable;
    }
    const bool is_union = base == reflection::Union && index >= 0 && from_.enums() != nullptr &&
                          static_cast<std::uint32_t>(index) < from_.enums()->size() &&
                          from_.enums()->Get(static_cast<std::uint32_t>(index))->is_union();
    return is_union ? std::optional(Form::kUnion) : std::nullopt;
  }

  // (nested_flatbuffer: "Type"), of which flatc tells only with --bfbs-builtins.
  Result<TableSchema::Field> with_nested(const std::string& owner, const reflection::Field& from,
                                         TableSchema::Field to) const {
    if (from.attributes() == nullptr) return to;
    for (const reflection::KeyValue* attribute : *from.attributes()) {
      if (attribute->key()->string_view() != "nested_flatbuffer" || attribute->value() == nullptr) {
        continue;
      }
      const std::optional<std::uint32_t> type = find(owner, attribute->value()->str());
      const bool bytes = to.form == Form::kVector && to.scalar_bytes == 1;
      if (!type || !bytes) return unknown_type(owner + "." + to.name);
      to.nested = true;
      to.index = *type;
    }
    return to;
  }

  // A table by the name by which `owner` calls it: in its own namespace, or one around that.
  std::optional<std::uint32_t> find(std::string space, const std::string& name) const {
    for (;;) {
      const std::size_t dot = space.rfind('.');
      space.resize(dot == std::string::npos ? 0 : dot);
      const std::string full = space.empty() ? name : space + "." + name;
      for (std::uint32_t i = 0; i < from_.objects()->size(); ++i) {
        const reflection::Object& object = *from_.objects()->Get(i);
        if (!object.is_struct() && object.name()->string_view() == full) return i;
      }
      if (space.empty()) return std::nullopt;
    }
  }

  Result<TableSchema> choose_root(std::string_view root) {
    std::string name(root);
    if (name.empty() && from_.root_table() != nullptr) name = from_.root_table()->name()->str();
    std::string tables;
    for (std::uint32_t i = 0; i < made_.objects_.size(); ++i) {
      if (made_.objects_[i].is_struct) continue;
      made_.root_ = i;
      if (made_.objects_[i].name == name) return std::move(made_);
      tables += (tables.empty() ? "" : ", ") + made_.objects_[i].name;
    }
    if (tables.empty()) return unusable("has no tables");
    if (name.empty()) return unusable("has no root_type: name one of its tables, " + tables);
    return unusable("has no table '" + name + "'; it has " + tables);
  }

  static Error unknown_type(std::string_view name) {
    return unusable("has '" + std::string(name) + "' of a type that is not known here");
  }
  static Error unknown_type(const flatbuffers::String& name) {
    return unknown_type(name.string_view());
  }

  const reflection::Schema& from_;
  TableSchema made_;
};

Result<TableSchema> TableSchema::load(std::span<const std::byte> binary_schema,
                                      std::string_view root) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(binary_schema.data());
  const bool fits =
      binary_schema.size() >= kMinBytes + sizeof(std::uint32_t) && binary_schema.size() < kMaxBytes;
  if (!fits || !reflection::SchemaBufferHasIdentifier(bytes)) {
    return unusable("is no binary schema, which flatc -b --schema makes of a .fbs file");
  }
  flatbuffers::Verifier verifier(bytes, binary_schema.size());
  if (!reflection::VerifySchemaBuffer(verifier)) return unusable("is cut short, or damaged");
  return TableSchemaReader(*reflection::GetSchema(bytes)).read(root);
}

}  // namespace slotring::shm
