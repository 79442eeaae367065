// One chain of the session table, walked by processes that may stop or die anywhere, while others
// change it (schemas/session_layout.h). M. Michael, "High performance dynamic lock-free hash tables
// and list-based sets", SPAA 2002, with incarnations in the place of hazard pointers.
//
// What makes it safe:
//   - a record is looked at, and then the link that led to it is read again: if that is unmarked
//     and still the same, the record was in the chain all the time, in one incarnation;
//   - a link of a record carries the record's own incarnation, and one of a bucket that of the
//     record that it names. So no compare-and-swap of a process that was stopped for long mistakes
//     a record for one before it: whatever is put into a link was never there before;
//   - a mark freezes a link, so what comes behind a leaving record cannot leave by its link.
// Hence: a walk that came to the end of the chain has met every record that was in it all the time;
// and a record that ended, and that such a walk did not leave in the chain, never comes back.

#ifndef SLOTRING_CLIENT_LIB_SHM_SESSION_CHAIN_H_
#define SLOTRING_CLIENT_LIB_SHM_SESSION_CHAIN_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "client_lib/shm/control_segment.h"

namespace slotring::shm {

// A name as records hold it: its length in the first byte, zeros behind it.
class SessionName {
 public:
  // Nothing for an empty name, and for one that is too long.
  static std::optional<SessionName> of(std::string_view name);
  // What the record says, whatever that is.
  static SessionName load(const layout::SessionRecord& record);

  void store(layout::SessionRecord& record) const;
  // Whether the record has this name, at the time of the call: it may be another record by now.
  bool is_of(const layout::SessionRecord& record) const;
  // Whether of() makes such names.
  bool valid() const;
  std::string text() const;  // of at most kMaxSessionNameBytes
  // Keyed, so that nobody outside the pool can choose names that share a chain.
  std::uint64_t hash(std::uint64_t key) const;

 private:
  static constexpr std::size_t kWords = 8;
  static constexpr std::size_t kBytes = kWords * sizeof(std::uint64_t);
  static_assert(kBytes == layout::kMaxSessionNameBytes + 1);

  std::array<std::uint64_t, kWords> words_{};
};

class SessionWalk {
 public:
  enum class Step {
    kRecord,  // at index(), which was in the chain
    kEnd,
    kBroken,  // no correct peer leaves such a chain, or others changed it for ever
  };

  // REQUIRES: bucket < segment.session_bucket_count().
  SessionWalk(const ControlSegment& segment, std::uint32_t bucket);

  // Goes on to the next record that has not ended; takes those that have out of the chain. May meet
  // a record a second time, when others changed the chain. Bounded, whatever the memory says.
  Step next();

  // REQUIRES: the last step was kRecord.
  std::uint32_t index() const { return link_.record_plus_1 - 1; }
  const layout::SessionWord& word() const { return word_; }

  // The bucket's link that this walk began with. As long as it is there, no record has joined the
  // chain that the walk has not met.
  const layout::SessionLink& head() const { return head_; }

  // For the audit: ends the chain in front of where the walk is. REQUIRES: the last step was no
  // kEnd.
  [[nodiscard]] bool cut();

 private:
  void restart();
  bool at_bucket() const { return from_ == bucket_; }
  bool unchanged() const;
  bool fits(const layout::SessionWord& word, const layout::SessionLink& next) const;
  bool try_link(const layout::SessionLink& link);
  bool try_unlink(const layout::SessionLink& next);

  const ControlSegment* segment_;
  AtomicWord* bucket_;
  AtomicWord* from_ = nullptr;  // holds link_, which names the record that the walk is at
  layout::SessionLink link_;
  layout::SessionLink head_;
  bool met_ = false;           // the record that the walk is at was handed out
  layout::SessionWord word_;   // of that record, then
  layout::SessionLink after_;  // its link, then
  std::uint64_t steps_left_;
};

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_SESSION_CHAIN_H_
