// A frame of a worker as its caller sees it.

#ifndef SLOTRING_CLIENT_LIB_REPLY_VIEW_H_
#define SLOTRING_CLIENT_LIB_REPLY_VIEW_H_

#include <vector>

#include "client_lib/shm/frame.h"
#include "slotring/lease.h"

namespace slotring::internal {

// What `frame`, which carries no error, shows in place. Its tensors go `into` a vector that lives
// as long as the view. Errors: BAD_FRAME.
Result<ReplyView> view_of(const shm::Frame& frame, std::vector<Tensor>& into);

}  // namespace slotring::internal

#endif  // SLOTRING_CLIENT_LIB_REPLY_VIEW_H_
