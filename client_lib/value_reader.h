// Reading and copying FlexBuffers values. For values that were verified (Reply::value()): the
// verifier bounds their depth.

#ifndef SLOTRING_CLIENT_LIB_VALUE_READER_H_
#define SLOTRING_CLIENT_LIB_VALUE_READER_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <flatbuffers/flexbuffers.h>

#include "slotring/result.h"

namespace slotring::internal {

// Adds a copy of `value` to a value that is being built.
void copy_value(flexbuffers::Reference value, flexbuffers::Builder& into);

// A value of its own.
std::vector<std::uint8_t> copy_value(flexbuffers::Reference value);

// A map that has to be of a known shape: what is missing, or of another type, is noted once, reads
// as nothing, and is told at the end.
//
//     MapReader reply("execute_program", value);
//     result.name = reply.text("name");
//     if (Status read = reply.status(); !read) return std::move(read).error();
class MapReader {
 public:
  // Borrows `value`.
  MapReader(std::string_view what, const std::vector<std::uint8_t>& value);
  MapReader(std::string_view what, std::vector<std::uint8_t>&& value) = delete;

  std::string text(const char* key);
  std::int64_t integer(const char* key);
  std::uint64_t count(const char* key) { return static_cast<std::uint64_t>(integer(key)); }
  double number(const char* key);
  bool truth(const char* key);
  std::vector<std::string> texts(const char* key);
  flexbuffers::Reference map(const char* key);
  flexbuffers::Vector list(const char* key);
  // The map at `key` as a reader of its own; its faults have to be asked for.
  MapReader inner(const char* key) { return MapReader(what_ + "'s " + key, map(key), fault_); }
  MapReader element(const flexbuffers::Vector& list, std::size_t index) const;

  void note(std::string_view key, std::string_view wanted);
  // BAD_FRAME when the map is not of the shape that was read.
  Status status() const;

 private:
  MapReader(std::string what, flexbuffers::Reference value, std::string fault);
  flexbuffers::Reference at(const char* key) const { return map_[key]; }

  std::string what_;
  std::string fault_;
  flexbuffers::Map map_ = flexbuffers::Map::EmptyMap();
};

}  // namespace slotring::internal

#endif  // SLOTRING_CLIENT_LIB_VALUE_READER_H_
