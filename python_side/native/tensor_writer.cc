#include "python_side/native/tensor_writer.h"

#include <cstring>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "client_lib/shm/tensors.h"
#include "python_side/native/buffer_view.h"
#include "python_side/native/error.h"
#include "python_side/native/tensor_objects.h"

namespace slotring::python {

namespace {

Error as_reply_error(Error error) {
  if (error.code == ErrorCode::kInvalidArgument) error.code = ErrorCode::kReplyNotConvertible;
  return error;
}

Error unsendable(PyObject* array, const std::string& where, Error error) {
  const Ref why = call_tensors("unsendable", array);
  if (why) {
    error.message = text_of(why.get());
  } else {
    PyErr_Clear();
  }
  error.message = where + ": " + error.message;
  return error;
}

// Whether a reader takes it as it stands: it has no more elements than the bytes from its first to
// its last (a stride of 0 makes more), and each stands aligned.
bool may_stay(const Tensor& tensor) {
  const auto [low, high] = reach_of(tensor);
  if (tensor.bytes() > static_cast<std::uint64_t>(high - low)) return false;
  const auto alignment = static_cast<std::int64_t>(alignment_of(tensor.dtype()));
  bool aligned =
      reinterpret_cast<std::uintptr_t>(tensor.data()) % alignment_of(tensor.dtype()) == 0;
  for (std::size_t d = 0; d < tensor.dimensions(); ++d) {
    aligned = aligned && (tensor.shape()[d] <= 1 || tensor.strides()[d] % alignment == 0);
  }
  return aligned;
}

// A copy of `from` at `offset` of the payload.
shm::PlacedTensor copy_to(std::span<std::byte> payload, std::uint64_t offset, const Tensor& from,
                          std::string name) {
  std::byte* to = payload.data() + offset;
  copy_elements(from, to);
  return {Tensor(from.dtype(), to, from.shape()), offset, std::move(name)};
}

class TensorWriting {
 public:
  TensorWriting(PayloadSink& sink, std::span<const std::string> names,
                std::span<const std::byte> value)
      : sink_(sink), names_(names), value_(value) {}

  Status look_at(std::span<PyObject* const> arrays) {
    for (std::size_t i = 0; i < arrays.size(); ++i) {
      const BufferView& buffer = buffers_.emplace_back(arrays[i], PyBUF_FULL_RO);
      Result<Tensor> tensor =
          buffer.held() ? tensor_of(*buffer) : take_exception(ErrorCode::kReplyNotConvertible);
      if (!tensor) {
        return unsendable(arrays[i], where(i, arrays.size()), std::move(tensor).error());
      }
      tensors_.push_back(*tensor);
    }
    return Done{};
  }

  // Nothing when no array is in place, or the value does not fit before them.
  std::optional<Result<WrittenReply>> write_in_place() {
    const std::optional<ArraysInPlace> in_place = sink_.in_place();
    if (!in_place || value_.size() > ReplyArrays::kValueRoom) return std::nullopt;
    bool any = false;
    std::uint64_t more = 0;
    for (const Tensor& tensor : tensors_) {
      offsets_.push_back(may_stay(tensor) ? in_place->offset_of(tensor) : std::nullopt);
      any = any || offsets_.back();
      if (!offsets_.back()) more += shm::place_behind(tensor.bytes());
    }
    if (!any) return std::nullopt;
    std::uint64_t end = shm::place_behind(in_place->end());
    if (more > 0) more += end - in_place->end();
    Result<std::span<std::byte>> payload = in_place->grow(more);
    if (!payload) return std::move(payload).error();
    if (!value_.empty()) std::memcpy(payload->data(), value_.data(), value_.size());
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      if (offsets_[i]) {
        parts_->placed.push_back({tensors_[i], *offsets_[i], name(i)});
      } else {
        parts_->placed.push_back(copy_to(*payload, end, tensors_[i], name(i)));
        end += shm::place_behind(tensors_[i].bytes());
      }
    }
    return finish(payload->size());
  }

  Result<WrittenReply> write_copies() {
    std::uint64_t end = value_.size();
    for (const Tensor& tensor : tensors_) end = shm::place_behind(end) + tensor.bytes();
    Result<std::span<std::byte>> payload = sink_.space(end, /*with_rare_part=*/true);
    if (!payload) return std::move(payload).error();
    if (!value_.empty()) std::memcpy(payload->data(), value_.data(), value_.size());
    std::uint64_t offset = value_.size();
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      offset = shm::place_behind(offset);
      parts_->placed.push_back(copy_to(*payload, offset, tensors_[i], name(i)));
      offset += tensors_[i].bytes();
    }
    return finish(end);
  }

 private:
  // "the reply of 'resize' ['image']"
  std::string where(std::size_t i, std::size_t count) const {
    std::string text = sink_.what();
    if (!names_.empty()) return text + " ['" + names_[i] + "']";
    return count == 1 ? text : text + " [" + std::to_string(i) + "]";
  }

  std::string name(std::size_t i) const { return names_.empty() ? std::string() : names_[i]; }

  Result<WrittenReply> finish(std::uint64_t bytes) {
    if (Status good = shm::check_names(parts_->placed, value_.size()); !good) {
      return as_reply_error(std::move(good).error());
    }
    parts_->heads = shm::heads_of(parts_->placed);
    parts_->value_bytes = value_.size();
    return WrittenReply{wire::PayloadKind::Tensors, bytes, {}, parts_};
  }

  PayloadSink& sink_;
  std::span<const std::string> names_;
  std::span<const std::byte> value_;
  std::deque<BufferView> buffers_;
  std::vector<Tensor> tensors_;
  std::vector<std::optional<std::uint64_t>> offsets_;
  std::shared_ptr<TensorParts> parts_ = std::make_shared<TensorParts>();
};

}  // namespace

Result<WrittenReply> write_tensors(PayloadSink& sink, std::span<PyObject* const> arrays,
                                   std::span<const std::string> names,
                                   std::span<const std::byte> value) {
  TensorWriting writing(sink, names, value);
  if (Status seen = writing.look_at(arrays); !seen) return std::move(seen).error();
  if (std::optional<Result<WrittenReply>> written = writing.write_in_place()) {
    return *std::move(written);
  }
  return writing.write_copies();
}

}  // namespace slotring::python
