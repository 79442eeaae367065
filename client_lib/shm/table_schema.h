// A user's FlatBuffers schema, and the verifier of the tables that it describes.
//
// Its verdict is that of the C++ verifier that flatc generates from the same schema (2.0.8), which
// bounds every offset, vector, text and union that generated accessors follow. FlatBuffers' own
// verifier by reflection is not used: it follows the offsets of tables, texts and unions before it
// has checked them, finds a union's member by its place instead of its number, and knows neither
// vectors of unions nor buffers in buffers.
//
// In three things this is stricter: buffers nested in buffers count for the depth, what a table
// unfolds to is bounded by its size, and a refusal says where.

#ifndef SLOTRING_CLIENT_LIB_SHM_TABLE_SCHEMA_H_
#define SLOTRING_CLIENT_LIB_SHM_TABLE_SCHEMA_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "slotring/result.h"

namespace slotring::shm {

class TableSchema {
 public:
  // FlatBuffers' own bounds.
  static constexpr int kMaxDepth = 64;
  static constexpr std::uint32_t kMaxTables = 1'000'000;
  static constexpr std::size_t kMinBytes = 12;
  static constexpr std::size_t kMaxBytes = INT32_MAX;

  // From a binary schema (flatc -b --schema); `root` names the type of the tables, which is the
  // schema's root type when it is empty. Errors: INVALID_ARGUMENT, with what is wrong.
  static Result<TableSchema> load(std::span<const std::byte> binary_schema,
                                  std::string_view root = {});

  // The fully qualified name of the tables' type.
  const std::string& root() const { return objects_[root_].name; }

  // Whether `table`, a finished buffer in memory that nobody else changes, is one of root(). Any
  // file identifier will do. Errors: TABLE_INVALID, with the place and what is wrong there.
  Status verify(std::span<const std::byte> table) const;

  enum class Form : std::uint8_t { kScalar, kText, kStruct, kTable, kUnion, kVector };

 private:
  friend class TableSchemaReader;
  friend class TableVerifier;

  struct Field {
    std::string name;
    std::uint16_t offset = 0;  // in the vtable
    bool required = false;
    Form form = Form::kScalar;
    Form element = Form::kScalar;    // of a vector
    std::uint32_t scalar_bytes = 0;  // of a scalar, or of a vector's scalars
    std::uint32_t index = 0;         // of the object or the union that it, or its element, is
    bool nested = false;             // the vector of bytes holds a buffer, its root object `index`
  };
  struct Object {
    std::string name;
    bool is_struct = false;
    std::uint32_t bytes = 0;  // of a struct
    std::uint32_t alignment = 1;
    std::vector<Field> fields;  // of a table
  };
  struct Member {
    Form form;
    std::uint32_t index = 0;
  };
  using Union = std::map<std::uint8_t, Member>;  // by number; those without a value are absent

  TableSchema() = default;

  std::vector<Object> objects_;
  std::vector<Union> unions_;  // by the number of the enum; empty for those that are no unions
  std::uint32_t root_ = 0;
};

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_TABLE_SCHEMA_H_
