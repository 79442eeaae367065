// Tables of a FlatBuffers schema of the user's, as requests and as replies. Needs FlatBuffers'
// headers (libflatbuffers-dev) and what flatc has generated from the schema.
//
//     flatbuffers::FlatBufferBuilder builder;
//     builder.Finish(shop::CreateOrderDirect(builder, 7, "tea"));
//     auto reply = client.call("price", slotring::table_payload("shop.Order", builder)).value();
//     auto price = slotring::read_table<shop::Price>(reply, "shop.Price").value();
//     use(price->cents());
//
// Guarantee: a table that read_table() returns is the caller's own copy, of the type that was asked
// for, and has passed the generated verifier: whatever the peer wrote, or writes now, its accessors
// stay inside it.

#ifndef SLOTRING_TABLE_H_
#define SLOTRING_TABLE_H_

#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include <flatbuffers/flatbuffers.h>

#include "slotring/client.h"

namespace slotring {

// The finished buffer of `builder`, as a payload; borrowed, as is `type`, the fully qualified name
// of its root's type.
inline Payload table_payload(std::string_view type, const flatbuffers::FlatBufferBuilder& builder) {
  return Payload::table(type, {builder.GetBufferPointer(), builder.GetSize()});
}

// A verified table in memory of its own. `T` is a generated class.
template <class T>
class OwnedTable {
 public:
  const T& operator*() const { return *get(); }
  const T* operator->() const { return get(); }
  const T* get() const { return flatbuffers::GetRoot<T>(buffer_.get()); }

  // Copies and verifies. Errors: TABLE_INVALID, OUT_OF_MEMORY.
  static Result<OwnedTable> copy(std::span<const std::byte> buffer, std::string_view type) {
    if (buffer.size() >= FLATBUFFERS_MAX_BUFFER_SIZE) {
      return Error{ErrorCode::kTableInvalid, "a table of 2 GiB or more"};
    }
    // As aligned as any member may want.
    OwnedTable copy;
    copy.buffer_.reset(new (std::nothrow) Line[buffer.size() / sizeof(Line) + 1]);
    if (copy.buffer_ == nullptr) return Error{ErrorCode::kOutOfMemory, "no memory for a table"};
    if (!buffer.empty()) std::memcpy(copy.buffer_.get(), buffer.data(), buffer.size());
    flatbuffers::Verifier verifier(reinterpret_cast<const std::uint8_t*>(copy.buffer_.get()),
                                   buffer.size());
    if (!verifier.VerifyBuffer<T>(nullptr)) {
      return Error{ErrorCode::kTableInvalid, "the table is no valid " + std::string(type) +
                                                 "; are both sides built with the same schema?"};
    }
    return copy;
  }

 private:
  struct alignas(64) Line {
    std::byte bytes[64];
  };

  OwnedTable() = default;

  std::unique_ptr<Line[]> buffer_;
};

// The table that a reply holds, whose type has this fully qualified name. Errors: TABLE_INVALID,
// which says what came instead, or that it does not verify; OUT_OF_MEMORY.
template <class T>
Result<OwnedTable<T>> read_table(const ReplyView& reply, std::string_view type) {
  if (reply.kind != PayloadKind::kTable || reply.table_type != type) {
    return Error{
        ErrorCode::kTableInvalid,
        "the reply is no table of " + std::string(type) +
            (reply.kind == PayloadKind::kTable ? ", but one of " + std::string(reply.table_type)
                                               : "; it is of another kind")};
  }
  return OwnedTable<T>::copy(reply.bytes, type);
}
template <class T>
Result<OwnedTable<T>> read_table(const Reply& reply, std::string_view type) {
  ReplyView view;
  view.kind = reply.kind();
  view.bytes = reply.bytes();
  view.table_type = reply.table_type();
  return read_table<T>(view, type);
}

}  // namespace slotring

#endif  // SLOTRING_TABLE_H_
