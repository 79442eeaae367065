#include "client_lib/shm/session_chain.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace slotring::shm {

using layout::SessionLink;
using layout::SessionRecord;
using layout::SessionState;
using layout::SessionWord;

namespace {

constexpr auto kAcquire = std::memory_order_acquire;
constexpr auto kAcqRel = std::memory_order_acq_rel;

// A restart needs another's success, so correct peers cause a few; this many, and an endless chain,
// are a hostile one's.
constexpr std::uint64_t kSpareSteps = 1 << 16;

// The finalizer of MurmurHash3 (A. Appleby): each bit of the word changes each bit of the result.
constexpr std::uint64_t mix(std::uint64_t word) {
  word ^= word >> 33;
  word *= 0xFF51AFD7ED558CCD;
  word ^= word >> 33;
  word *= 0xC4CEB9FE1A85EC53;
  word ^= word >> 33;
  return word;
}

}  // namespace

std::optional<SessionName> SessionName::of(std::string_view name) {
  if (name.empty() || name.size() > layout::kMaxSessionNameBytes) return std::nullopt;
  std::array<char, kBytes> bytes{};
  bytes[0] = static_cast<char>(name.size());
  std::memcpy(bytes.data() + 1, name.data(), name.size());
  SessionName made;
  std::memcpy(made.words_.data(), bytes.data(), kBytes);
  return made;
}

SessionName SessionName::load(const SessionRecord& record) {
  SessionName loaded;
  for (std::size_t i = 0; i < kWords; ++i) loaded.words_[i] = record.name[i].load(kAcquire);
  return loaded;
}

void SessionName::store(SessionRecord& record) const {
  // Release: partner of the acquire loads here. Who reads a word of this name, and then the
  // record's word, sees that the record was taken before.
  for (std::size_t i = 0; i < kWords; ++i) {
    record.name[i].store(words_[i], std::memory_order_release);
  }
}

bool SessionName::is_of(const SessionRecord& record) const {
  for (std::size_t i = 0; i < kWords; ++i) {
    if (record.name[i].load(kAcquire) != words_[i]) return false;
  }
  return true;
}

bool SessionName::valid() const {
  const std::size_t length = words_[0] & 0xFF;
  if (length == 0 || length > layout::kMaxSessionNameBytes) return false;
  std::array<char, kBytes> bytes;
  std::memcpy(bytes.data(), words_.data(), kBytes);
  return std::all_of(bytes.begin() + 1 + static_cast<std::ptrdiff_t>(length), bytes.end(),
                     [](char byte) { return byte == 0; });
}

std::string SessionName::text() const {
  std::array<char, kBytes> bytes;
  std::memcpy(bytes.data(), words_.data(), kBytes);
  const std::size_t length = words_[0] & 0xFF;
  return std::string(bytes.data() + 1, std::min<std::size_t>(length, layout::kMaxSessionNameBytes));
}

std::uint64_t SessionName::hash(std::uint64_t key) const {
  const std::size_t used = std::min<std::size_t>((words_[0] & 0xFF) / 8 + 1, kWords);
  std::uint64_t hash = mix(key);
  for (std::size_t i = 0; i < used; ++i) hash = mix(std::rotl(hash, 5) ^ words_[i]);
  return hash;
}

SessionWalk::SessionWalk(const ControlSegment& segment, std::uint32_t bucket)
    : segment_(&segment),
      bucket_(&segment.session_bucket(bucket)),
      steps_left_(std::uint64_t{segment.geometry().max_sessions} + kSpareSteps) {
  restart();
}

void SessionWalk::restart() {
  from_ = bucket_;
  link_ = SessionLink::unpack(bucket_->load(kAcquire));
  head_ = link_;
  met_ = false;
}

SessionWalk::Step SessionWalk::next() {
  if (met_) {
    from_ = &segment_->session(index()).next;
    link_ = after_;
    met_ = false;
  }
  for (; steps_left_ > 0; --steps_left_) {
    if (at_bucket() && link_.marked) return Step::kBroken;
    if (link_.record_plus_1 == 0) return Step::kEnd;
    if (link_.record_plus_1 > segment_->geometry().max_sessions) return Step::kBroken;
    SessionRecord& record = segment_->session(index());
    const SessionWord word = SessionWord::unpack(record.word.load(kAcquire));
    SessionLink next = SessionLink::unpack(record.next.load(kAcquire));
    // After these loads: what was loaded is of the record in this chain, if the link is as it was.
    if (!unchanged()) {
      restart();
      continue;
    }
    if (!fits(word, next)) return Step::kBroken;
    if (word.state == SessionState::kEnded && !next.marked) {
      std::uint64_t expected = next.pack();
      next.marked = true;
      // Acquire and release: a link is never seen without the record that it names.
      if (!record.next.compare_exchange_strong(expected, next.pack(), kAcqRel, kAcquire)) continue;
    }
    if (next.marked) {
      if (!try_unlink(next)) restart();
      continue;
    }
    word_ = word;
    after_ = next;
    met_ = true;
    --steps_left_;
    return Step::kRecord;
  }
  return Step::kBroken;
}

bool SessionWalk::unchanged() const { return from_->load(kAcquire) == link_.pack(); }

bool SessionWalk::fits(const SessionWord& word, const SessionLink& next) const {
  const bool in_chain = word.state == SessionState::kCreating ||
                        word.state == SessionState::kActive || word.state == SessionState::kEnded;
  return in_chain && next.incarnation == word.incarnation &&
         (!at_bucket() || link_.incarnation == word.incarnation);
}

// Puts `link` where the walk came from.
bool SessionWalk::try_link(const SessionLink& link) {
  std::uint64_t expected = link_.pack();
  if (!from_->compare_exchange_strong(expected, link.pack(), kAcqRel, kAcquire)) return false;
  link_ = link;
  if (at_bucket()) head_ = link;
  return true;
}

// Takes the record that the walk is at, whose link is marked, out of the chain.
bool SessionWalk::try_unlink(const SessionLink& next) {
  SessionLink link{link_.incarnation, false, next.record_plus_1};
  if (at_bucket()) {
    link.incarnation = 0;
    // While this record is in the chain, its marked link keeps the next one in it.
    if (next.record_plus_1 != 0 && next.record_plus_1 <= segment_->geometry().max_sessions) {
      const SessionRecord& after = segment_->session(next.record_plus_1 - 1);
      link.incarnation = SessionWord::unpack(after.word.load(kAcquire)).incarnation;
    }
  }
  return try_link(link);
}

bool SessionWalk::cut() {
  met_ = false;
  return try_link({at_bucket() ? 0 : link_.incarnation, false, 0});
}

}  // namespace slotring::shm
