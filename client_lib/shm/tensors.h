// Tensors in a frame: where they stand in its payload, and what may be believed of what a peer says
// about them. Used by clients and workers alike.
//
//     payload: [value_bytes of FlexBuffers][gap][tensor at a multiple of 64][gap][tensor] ...
//
// Offsets are those of the element of all indices 0. A writer that places whole tensors puts each
// at a multiple of 64; one that sends a part of an array in place (a slice, or its reverse) gives
// the offset that this has, aligned for its elements.

#ifndef SLOTRING_CLIENT_LIB_SHM_TENSORS_H_
#define SLOTRING_CLIENT_LIB_SHM_TENSORS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "client_lib/shm/frame.h"
#include "slotring/tensor.h"

namespace slotring::shm {

inline constexpr std::size_t kMaxTensors = 256;  // in one frame

// A tensor that is to be sent, and where in the payload it stands.
struct PlacedTensor {
  Tensor tensor;
  std::uint64_t offset = 0;
  std::string name = {};  // its own, in place of the tensor's
};

// The tensors that `frame`, of kind Tensors, says that its payload has, in place; their names are
// valid as long as the frame. Returns how many bytes of FlexBuffers the payload begins with.
//
// Everything is checked, and taken from the reader's private copy: dtypes are known, no dimension
// is too many, every element lies behind the value and within the payload, aligned, and there are
// no more elements than the payload has room for (so that strides of 0 cannot make an endless
// tensor); all are named, differently, or none is, and only named ones go with a value. Errors:
// BAD_FRAME.
Result<std::uint64_t> read_tensors(const Frame& frame, std::vector<Tensor>& into);

// Where the next tensor of a payload is put that ends at `end` so far.
constexpr std::uint64_t place_behind(std::uint64_t end) {
  return layout::align_up(end, kTensorAlignment);
}

// Whether these may go together, with a value of `value_bytes`. Errors: INVALID_ARGUMENT,
// PAYLOAD_TOO_LARGE (too many).
Status check_names(std::span<const PlacedTensor> tensors, std::uint64_t value_bytes);

// For RareHead. Borrows `tensors`.
std::vector<TensorHead> heads_of(std::span<const PlacedTensor> tensors);

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_TENSORS_H_
