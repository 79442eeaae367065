#include <algorithm>
#include <deque>
#include <new>
#include <string>
#include <vector>

#include "client_lib/tensor_request.h"
#include "schemas/area_layout.h"
#include "slotring/lease.h"
#include "slotring/payload.h"

namespace slotring {

namespace {

constexpr std::align_val_t kAlignment{layout::kCacheLineBytes};

struct Delete {
  void operator()(std::byte* bytes) const { ::operator delete[](bytes, kAlignment); }
};

}  // namespace

struct OwnedPayload::Content {
  Content(PayloadKind of_kind, std::size_t size, std::string_view of_type)
      : kind(of_kind),
        bytes(static_cast<std::byte*>(::operator new[](size, kAlignment))),
        data(bytes.get(), size),
        table_type(of_type) {}

  void add(DType dtype, const std::byte* elements, std::span<const std::uint64_t> shape,
           std::span<const std::int64_t> strides, std::string_view name) {
    names.emplace_back(name);
    tensors.emplace_back(dtype, elements, shape, strides, names.back());
  }

  PayloadKind kind;
  std::unique_ptr<std::byte[], Delete> bytes;
  std::span<const std::byte> data;
  std::string table_type;
  std::deque<std::string> names;  // of tensors, which look at them
  std::vector<Tensor> tensors;
  std::uint64_t value_bytes = 0;
};

OwnedPayload::OwnedPayload() = default;
OwnedPayload::OwnedPayload(OwnedPayload&&) noexcept = default;
OwnedPayload& OwnedPayload::operator=(OwnedPayload&&) noexcept = default;
OwnedPayload::~OwnedPayload() = default;

// As a request stands in a slot: bytes or a value, then each tensor in C order.
OwnedPayload::OwnedPayload(const Payload& payload) {
  if (payload.kind() == PayloadKind::kEmpty) return;
  const std::uint64_t bytes = internal::TensorRequest::bytes_of(payload).value();
  auto content = std::make_unique<Content>(payload.kind(), bytes, payload.table_type());
  std::copy(payload.data().begin(), payload.data().end(), content->bytes.get());
  std::uint64_t end = payload.data().size();
  if (payload.kind() == PayloadKind::kTensors) content->value_bytes = end;
  for (const Tensor& tensor : payload.tensors()) {
    std::byte* at = content->bytes.get() + shm::place_behind(end);
    copy_elements(tensor, at);
    const Tensor in_c_order(tensor.dtype(), at, tensor.shape());
    content->add(tensor.dtype(), at, tensor.shape(), in_c_order.strides(), tensor.name());
    end = shm::place_behind(end) + tensor.bytes();
  }
  content_ = std::move(content);
}

OwnedPayload::OwnedPayload(const ReplyView& view) {
  if (view.kind == PayloadKind::kEmpty) return;
  auto content = std::make_unique<Content>(view.kind, view.bytes.size(), view.table_type);
  std::copy(view.bytes.begin(), view.bytes.end(), content->bytes.get());
  content->value_bytes = view.value_bytes;
  for (const Tensor& tensor : view.tensors) {
    const std::byte* at = content->bytes.get() + (tensor.data() - view.bytes.data());
    content->add(tensor.dtype(), at, tensor.shape(), tensor.strides(), tensor.name());
  }
  content_ = std::move(content);
}

PayloadKind OwnedPayload::kind() const {
  return content_ == nullptr ? PayloadKind::kEmpty : content_->kind;
}

std::span<const std::byte> OwnedPayload::data() const {
  return content_ == nullptr ? std::span<const std::byte>() : content_->data;
}

ReplyView OwnedPayload::view() const {
  if (content_ == nullptr) return {};
  return {.kind = content_->kind,
          .bytes = content_->data,
          .tensors = content_->tensors,
          .value_bytes = content_->value_bytes,
          .table_type = content_->table_type};
}

Payload OwnedPayload::payload() const {
  const std::span bytes(reinterpret_cast<const std::uint8_t*>(data().data()), data().size());
  switch (kind()) {
    case PayloadKind::kEmpty:
      return {};
    case PayloadKind::kBytes:
      return Payload(data());
    case PayloadKind::kValue:
      return Payload::value(bytes);
    case PayloadKind::kTensors:
      return Payload::tensors(std::span<const Tensor>(content_->tensors),
                              bytes.first(content_->value_bytes));
    case PayloadKind::kTable:
      return Payload::table(content_->table_type, bytes);
  }
  return {};
}

Payload::Payload(const OwnedPayload& owned) : Payload(owned.payload()) {}

}  // namespace slotring
