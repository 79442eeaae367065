#include "client_lib/value_reader.h"

namespace slotring::internal {

namespace {

template <class Vector>
void copy_elements(const Vector& vector, flexbuffers::Builder& into) {
  const std::size_t start = into.StartVector();
  for (std::size_t i = 0; i < vector.size(); ++i) copy_value(vector[i], into);
  into.EndVector(start, /*typed=*/false, /*fixed=*/false);
}

void copy_map(const flexbuffers::Map& map, flexbuffers::Builder& into) {
  const flexbuffers::TypedVector keys = map.Keys();
  const flexbuffers::Vector values = map.Values();
  const std::size_t start = into.StartMap();
  for (std::size_t i = 0; i < values.size(); ++i) {
    into.Key(keys[i].AsKey());
    copy_value(values[i], into);
  }
  into.EndMap(start);
}

}  // namespace

void copy_value(flexbuffers::Reference value, flexbuffers::Builder& into) {
  if (value.IsMap()) {
    copy_map(value.AsMap(), into);
  } else if (value.IsUntypedVector()) {
    copy_elements(value.AsVector(), into);
  } else if (value.IsTypedVector()) {
    copy_elements(value.AsTypedVector(), into);
  } else if (value.IsFixedTypedVector()) {
    copy_elements(value.AsFixedTypedVector(), into);
  } else if (value.IsBool()) {
    into.Bool(value.AsBool());
  } else if (value.IsUInt()) {
    into.UInt(value.AsUInt64());
  } else if (value.IsInt()) {
    into.Int(value.AsInt64());
  } else if (value.IsFloat()) {
    into.Double(value.AsDouble());
  } else if (value.IsString()) {
    const flexbuffers::String text = value.AsString();
    into.String(text.c_str(), text.length());
  } else if (value.IsKey()) {
    into.String(value.AsKey());
  } else if (value.IsBlob()) {
    const flexbuffers::Blob blob = value.AsBlob();
    into.Blob(blob.data(), blob.size());
  } else {
    into.Null();
  }
}

std::vector<std::uint8_t> copy_value(flexbuffers::Reference value) {
  flexbuffers::Builder builder;
  copy_value(value, builder);
  builder.Finish();
  return builder.GetBuffer();
}

MapReader::MapReader(std::string_view what, const std::vector<std::uint8_t>& value)
    : MapReader("the reply of " + std::string(what), flexbuffers::GetRoot(value), "") {}

MapReader::MapReader(std::string what, flexbuffers::Reference value, std::string fault)
    : what_(std::move(what)), fault_(std::move(fault)) {
  if (value.IsMap()) {
    map_ = value.AsMap();
  } else if (fault_.empty()) {
    fault_ = what_ + " is no map";
  }
}

void MapReader::note(std::string_view key, std::string_view wanted) {
  if (!fault_.empty()) return;
  fault_ = what_ + " has no '" + std::string(key) + "' that is " + std::string(wanted);
}

std::string MapReader::text(const char* key) {
  const flexbuffers::Reference value = at(key);
  if (!value.IsString()) note(key, "a text");
  return value.IsString() ? value.AsString().str() : std::string();
}

std::int64_t MapReader::integer(const char* key) {
  const flexbuffers::Reference value = at(key);
  if (!value.IsIntOrUint()) note(key, "an integer");
  return value.IsIntOrUint() ? value.AsInt64() : 0;
}

double MapReader::number(const char* key) {
  const flexbuffers::Reference value = at(key);
  if (!value.IsNumeric()) note(key, "a number");
  return value.IsNumeric() ? value.AsDouble() : 0.0;
}

bool MapReader::truth(const char* key) {
  const flexbuffers::Reference value = at(key);
  if (!value.IsBool()) note(key, "true or false");
  return value.IsBool() && value.AsBool();
}

std::vector<std::string> MapReader::texts(const char* key) {
  std::vector<std::string> texts;
  const flexbuffers::Vector elements = list(key);
  for (std::size_t i = 0; i < elements.size(); ++i) {
    if (!elements[i].IsString()) note(key, "a list of texts");
    texts.push_back(elements[i].IsString() ? elements[i].AsString().str() : std::string());
  }
  return texts;
}

flexbuffers::Reference MapReader::map(const char* key) {
  const flexbuffers::Reference value = at(key);
  if (!value.IsMap()) note(key, "a map");
  return value;
}

flexbuffers::Vector MapReader::list(const char* key) {
  const flexbuffers::Reference value = at(key);
  if (!value.IsUntypedVector()) note(key, "a list");
  return value.IsUntypedVector() ? value.AsVector() : flexbuffers::Vector::EmptyVector();
}

MapReader MapReader::element(const flexbuffers::Vector& list, std::size_t index) const {
  return MapReader(what_ + ", its element", list[index], fault_);
}

Status MapReader::status() const {
  if (fault_.empty()) return Done{};
  return Error{ErrorCode::kBadFrame, fault_};
}

}  // namespace slotring::internal
