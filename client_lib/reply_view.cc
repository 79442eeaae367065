#include "client_lib/reply_view.h"

#include <string>

#include "client_lib/shm/tensors.h"
#include "client_lib/shm/value.h"

namespace slotring {

namespace {

Error has_not(const ReplyView& view, const std::string& wanted) {
  std::string names;
  for (const Tensor& tensor : view.tensors) {
    if (!tensor.name().empty()) names += " '" + std::string(tensor.name()) + "'";
  }
  const std::string held = view.tensors.empty()
                               ? "no tensors"
                               : std::to_string(view.tensors.size()) + " tensors" +
                                     (names.empty() ? ", without names" : ", named" + names);
  return Error{ErrorCode::kInvalidArgument, "the reply has " + held + ", not " + wanted};
}

}  // namespace

Result<Tensor> ReplyView::tensor() const {
  if (tensors.size() != 1) return has_not(*this, "one alone");
  return tensors.front();
}

Result<Tensor> ReplyView::tensor(std::string_view name) const {
  for (const Tensor& tensor : tensors) {
    if (tensor.name() == name) return tensor;
  }
  return has_not(*this, "one named '" + std::string(name) + "'");
}

Result<std::vector<std::uint8_t>> ReplyView::value() const {
  if (kind == PayloadKind::kValue) return shm::copy_verified_value(bytes);
  if (kind == PayloadKind::kTensors && value_bytes > 0) {
    return shm::copy_verified_value(bytes.first(value_bytes));
  }
  return Error{ErrorCode::kInvalidArgument, kind == PayloadKind::kTensors
                                                ? "the reply holds tensors and no value"
                                                : "the reply holds raw bytes or nothing, no value"};
}

namespace internal {

Result<ReplyView> view_of(const shm::Frame& frame, std::vector<Tensor>& into) {
  ReplyView view{.kind = static_cast<PayloadKind>(frame.head.kind), .bytes = frame.payload};
  if (frame.head.kind <= wire::PayloadKind::Value) [[likely]]
    return view;
  if (frame.head.kind == wire::PayloadKind::Table) {
    if (frame.rare != nullptr && frame.rare->table_type() != nullptr) {
      view.table_type = frame.rare->table_type()->string_view();  // in the reader's copy
    }
    return view;
  }
  if (frame.head.kind != wire::PayloadKind::Tensors) {
    return Error{ErrorCode::kBadFrame, "the reply's payload is of an unknown kind"};
  }
  const Result<std::uint64_t> value_bytes = shm::read_tensors(frame, into);
  if (!value_bytes) return value_bytes.error();
  view.value_bytes = *value_bytes;
  view.tensors = into;
  return view;
}

}  // namespace internal

}  // namespace slotring
