// Packets of a hostile peer on an attach socket: bytes of the fuzzer's, with descriptors of all
// kinds beside them.
//
//     packet: {descriptors: count:8, a kind:8 each | bytes:16 | the bytes}

#ifndef SLOTRING_TESTS_FUZZ_PACKET_SOURCE_H_
#define SLOTRING_TESTS_FUZZ_PACKET_SOURCE_H_

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "client_lib/shm/peer_socket.h"
#include "tests/fuzz/input_reader.h"
#include "tests/fuzz/seed_corpus.h"

namespace slotring::fuzz {

// More than a receiver takes, so that it also meets too many.
inline constexpr std::size_t kMostDescriptors = shm::kMaxDescriptors + 2;

// What a peer can send in a memory's place.
class OddDescriptors {
 public:
  OddDescriptors() {
    int pipe[2] = {-1, -1};
    (void)!::pipe2(pipe, O_CLOEXEC);
    add(pipe[0]);
    add(pipe[1]);
    add(::memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    add(::memfd_create("empty and sealed for good", MFD_CLOEXEC));
    add(::open("/dev/null", O_RDWR | O_CLOEXEC));
    add(::open("/", O_RDONLY | O_CLOEXEC));
    add(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  }
  // Others, which stay the caller's.
  void add_borrowed(int fd) { all_.push_back(fd); }
  int at(std::size_t kind) const { return all_[kind % all_.size()]; }
  // The kind by which at() finds the n-th of those that were added.
  std::uint8_t borrowed(std::size_t n) const {
    return static_cast<std::uint8_t>(owned_.size() + n);
  }

 private:
  void add(int fd) {
    owned_.emplace_back(fd);
    all_.push_back(fd);
  }

  std::vector<shm::UniqueFd> owned_;
  std::vector<int> all_;
};

// A number that grows with each descriptor that is not closed.
inline int lowest_free_descriptor() {
  const int fd = ::dup(STDERR_FILENO);
  ::close(fd);
  return fd;
}

// Sends the input's next packet; whether it can be sent does not matter.
inline void send_next_packet(int socket, InputReader& input, const OddDescriptors& descriptors) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMostDescriptors)] = {};
  const std::uint32_t count = input.below(kMostDescriptors + 1);
  int fds[kMostDescriptors];
  for (std::uint32_t i = 0; i < count; ++i) fds[i] = descriptors.at(input.next<std::uint8_t>());
  const auto bytes = input.next_bytes(input.next<std::uint16_t>());
  iovec part{const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (count > 0) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(sizeof(int) * count);
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int) * count);
    std::memcpy(CMSG_DATA(rights), fds, sizeof(int) * count);
  }
  (void)!::sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
}

// The same from the other side: appends a packet to an input.
template <class Build>
void append_packet(Input& input, const std::vector<std::uint8_t>& kinds, wire::Message type,
                   Build build) {
  flatbuffers::FlatBufferBuilder builder;
  const flatbuffers::Offset<void> message = build(builder);
  wire::FinishPacketBuffer(builder, wire::CreatePacket(builder, type, message));
  input.push_back(static_cast<std::uint8_t>(kinds.size()));
  input.insert(input.end(), kinds.begin(), kinds.end());
  append(input, static_cast<std::uint16_t>(builder.GetSize()));
  input.insert(input.end(), builder.GetBufferPointer(),
               builder.GetBufferPointer() + builder.GetSize());
}

}  // namespace slotring::fuzz

#endif  // SLOTRING_TESTS_FUZZ_PACKET_SOURCE_H_
