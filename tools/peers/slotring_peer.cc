#include "tools/peers/peer.h"

namespace slotring::peers {

Peer slotring_peer() { return {"slotring", "Slotring", nullptr, "comes later"}; }

}  // namespace slotring::peers
