#include "tools/cli/json_value.h"

#include <algorithm>

#include <flatbuffers/flexbuffers.h>

#include "tools/terminal/text_table.h"

namespace slotring::cli {

using nlohmann::json;

namespace {

Error invalid(std::string message) {
  return Error{ErrorCode::kInvalidArgument, std::move(message)};
}

Error unreadable(std::string message) { return Error{ErrorCode::kBadFrame, std::move(message)}; }

// The line around byte `at` (from 0), and a mark under it.
std::string marked_line(std::string_view text, std::size_t at) {
  constexpr std::size_t kContext = 60;
  at = std::min(at, text.size());
  const std::size_t line_begin = at == 0 ? 0 : text.rfind('\n', at - 1) + 1;
  const std::size_t line_end = std::min(text.find('\n', at), text.size());
  const std::size_t begin = at - line_begin > kContext ? at - kContext : line_begin;
  const std::size_t end = std::min(line_end, at + kContext);
  const std::string before = terminal::printable(text.substr(begin, at - begin));
  const auto columns =
      std::count_if(before.begin(), before.end(), [](char c) { return (c & 0xC0) != 0x80; });
  return "  " + before + terminal::printable(text.substr(at, end - at)) + "\n  " +
         std::string(static_cast<std::size_t>(columns), ' ') + "^";
}

// What nlohmann-json says after its own "[json.exception.parse_error.101] parse error at ".
std::string without_library_prefix(std::string_view what) {
  for (const std::string_view prefix : {"parse error at ", "] "}) {
    const std::size_t at = what.find(prefix);
    if (at != std::string_view::npos) return std::string(what.substr(at + prefix.size()));
  }
  return std::string(what);
}

class ValueWriter {
 public:
  explicit ValueWriter(flexbuffers::Builder& builder) : builder_(builder) {}

  Status write(const json& value, int depth) {
    if (depth > kMaxDepth) {
      return invalid("the JSON is nested over " + std::to_string(kMaxDepth) + " deep");
    }
    switch (value.type()) {
      case json::value_t::object:
        return write_object(value, depth);
      case json::value_t::array:
        return write_array(value, depth);
      case json::value_t::string:
        builder_.String(value.get_ref<const std::string&>());
        break;
      case json::value_t::boolean:
        builder_.Bool(value.get<bool>());
        break;
      case json::value_t::number_integer:
        builder_.Int(value.get<std::int64_t>());
        break;
      case json::value_t::number_unsigned:
        write_unsigned(value.get<std::uint64_t>());
        break;
      case json::value_t::number_float:
        builder_.Double(value.get<double>());
        break;
      default:
        builder_.Null();
    }
    return Done{};
  }

 private:
  // Numbers that fit are signed, whose readers are more.
  void write_unsigned(std::uint64_t number) {
    if (number <= INT64_MAX) return builder_.Int(static_cast<std::int64_t>(number));
    builder_.UInt(number);
  }

  Status write_object(const json& object, int depth) {
    const std::size_t start = builder_.StartMap();
    for (const auto& [key, member] : object.items()) {
      if (key.find('\0') != std::string::npos) {
        return invalid("the JSON has a key with a zero byte, which a value cannot hold");
      }
      builder_.Key(key);
      if (Status written = write(member, depth + 1); !written) return written;
    }
    builder_.EndMap(start);
    return Done{};
  }

  Status write_array(const json& array, int depth) {
    const std::size_t start = builder_.StartVector();
    for (const json& element : array) {
      if (Status written = write(element, depth + 1); !written) return written;
    }
    builder_.EndVector(start, /*typed=*/false, /*fixed=*/false);
    return Done{};
  }

  flexbuffers::Builder& builder_;
};

json bytes_to_json(std::string_view bytes) {
  return terminal::is_text(bytes) ? std::string(bytes) : hex_digits(bytes);
}

class ValueReader {
 public:
  Result<json> read(flexbuffers::Reference value, int depth) {
    if (depth > kMaxDepth || ++nodes_ > kMaxNodes) {
      return unreadable("the value is nested too deep, or stands for too many parts");
    }
    if (value.IsNull()) return json(nullptr);
    if (value.IsBool()) return json(value.AsBool());
    if (value.IsUInt()) return json(value.AsUInt64());
    if (value.IsInt()) return json(value.AsInt64());
    if (value.IsFloat()) return json(value.AsDouble());
    if (value.IsKey()) return json(std::string(value.AsKey()));
    if (value.IsString()) return bytes_to_json(value.AsString().str());
    if (value.IsBlob()) {
      const flexbuffers::Blob blob = value.AsBlob();
      return bytes_to_json({reinterpret_cast<const char*>(blob.data()), blob.size()});
    }
    if (value.IsMap()) return read_map(value.AsMap(), depth);
    if (value.IsUntypedVector()) return read_elements(value.AsVector(), depth);
    if (value.IsTypedVector()) return read_elements(value.AsTypedVector(), depth);
    if (value.IsFixedTypedVector()) return read_elements(value.AsFixedTypedVector(), depth);
    return unreadable("the value has a part of a type that FlexBuffers does not name");
  }

 private:
  Result<json> read_map(const flexbuffers::Map& map, int depth) {
    json object = json::object();
    const flexbuffers::TypedVector keys = map.Keys();
    const flexbuffers::Vector members = map.Values();
    for (std::size_t i = 0; i < std::min(keys.size(), members.size()); ++i) {
      Result<json> member = read(members[i], depth + 1);
      if (!member) return member;
      object[keys[i].AsKey()] = *std::move(member);
    }
    return object;
  }

  template <class Vector>
  Result<json> read_elements(const Vector& vector, int depth) {
    json array = json::array();
    for (std::size_t i = 0; i < vector.size(); ++i) {
      Result<json> element = read(vector[i], depth + 1);
      if (!element) return element;
      array.push_back(*std::move(element));
    }
    return array;
  }

  std::uint64_t nodes_ = 0;
};

}  // namespace

Result<std::vector<std::uint8_t>> json_to_value(std::string_view text) {
  json parsed;
  try {
    parsed = json::parse(text);
  } catch (const json::parse_error& error) {
    return invalid("this is no JSON: " + without_library_prefix(error.what()) + "\n" +
                   marked_line(text, error.byte == 0 ? 0 : error.byte - 1) +
                   "\nA text has quotes of its own: '\"hello\"'. Bytes go by --bytes, or --file.");
  } catch (const json::exception& error) {  // a number that no double can hold
    return invalid("this JSON cannot be used: " + without_library_prefix(error.what()));
  }
  flexbuffers::Builder builder;
  if (Status written = ValueWriter(builder).write(parsed, 1); !written) {
    return std::move(written).error();
  }
  builder.Finish();
  return builder.GetBuffer();
}

Result<json> value_to_json(const std::vector<std::uint8_t>& flexbuffer) {
  return ValueReader().read(flexbuffers::GetRoot(flexbuffer), 1);
}

// What there is: elements are for programs.
static Result<json> tensors_to_json(const Reply& reply) {
  json described = {{"tensors", json::array()}};
  for (const Tensor& tensor : reply.tensors()) {
    json one = {{"dtype", to_string(tensor.dtype())}, {"shape", tensor.shape()}};
    if (!tensor.name().empty()) one["name"] = tensor.name();
    described["tensors"].push_back(std::move(one));
  }
  if (const Result<std::vector<std::uint8_t>> value = reply.value()) {
    Result<json> beside = value_to_json(*value);
    if (!beside) return beside;
    described["value"] = *std::move(beside);
  }
  return described;
}

Result<json> reply_to_json(const Reply& reply) {
  switch (reply.kind()) {
    case PayloadKind::kEmpty:
      return json(nullptr);
    case PayloadKind::kBytes:
      return bytes_to_json(reply.text());
    case PayloadKind::kTensors:
      return tensors_to_json(reply);
    case PayloadKind::kTable:
      return json{{"table", reply.table_type()}, {"bytes", hex_digits(reply.text())}};
    case PayloadKind::kValue:
      break;
  }
  Result<std::vector<std::uint8_t>> value = reply.value();
  if (!value) return std::move(value).error();
  return value_to_json(*value);
}

std::string hex_digits(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string digits;
  digits.reserve(2 * bytes.size());
  for (const char c : bytes) {
    const auto byte = static_cast<std::uint8_t>(c);
    digits += kDigits[byte >> 4];
    digits += kDigits[byte & 0xF];
  }
  return digits;
}

}  // namespace slotring::cli
