// The bytes of the control segment: everything that clients, workers and the supervisor share to
// find and wake each other. All of them map it read-write; observers map it read-only.
//
//     +--------------------------------------------------+ 0
//     | ControlHeader            one page                | magic is written last (release)
//     +--------------------------------------------------+ ControlOffsets::methods
//     | MethodRecord[kMaxMethods]                        | names behind the interned ids
//     +--------------------------------------------------+ ::seats
//     | SeatRecord[max_workers]                          | a worker's state, doorbell, counters
//     +--------------------------------------------------+ ::obituaries
//     | Obituary[max_workers][kObituariesPerSeat]        | how its last workers died
//     +--------------------------------------------------+ ::words
//     | slot words [max_workers][slots, padded to lines] | one worker's words share lines
//     +--------------------------------------------------+ ::clients
//     | ClientRecord[max_clients]                        | a slot word's owner indexes this
//     +--------------------------------------------------+ ::waiters
//     | waiter words [max_waiters]                       | callers waiting for a free slot
//     +--------------------------------------------------+ ::waiting_line
//     | ring of waiter indices                           | in order of arrival
//     +--------------------------------------------------+ ::free_rings
//     | rings of slot indices, one a depth               | hints: where a free slot may be
//     +--------------------------------------------------+ ::sessions, ::session_buckets
//     | SessionRecord[max_sessions], chains' first links | session_layout.h
//     +--------------------------------------------------+ ::settings
//     | SettingRecord[kMaxSettings]                      | calls that every worker has to make
//     +--------------------------------------------------+ ::seat_stats
//     | CallStats[max_workers]                           | counted by workers (stats_layout.h)
//     +--------------------------------------------------+ ::client_stats, ::reserved
//     | CallStats[max_clients][kStatsMethods]            | counted by clients; each backs its own
//     +--------------------------------------------------+ ::total
//
// Everything is addressed by index or offset. Anybody in the pool can write here, so a reader
// copies a word once, checks it, and bounds every index by its own copy of the geometry, which it
// got from the supervisor's socket and not from this memory.

#ifndef SLOTRING_SCHEMAS_CONTROL_LAYOUT_H_
#define SLOTRING_SCHEMAS_CONTROL_LAYOUT_H_

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <iterator>

#include "schemas/area_layout.h"
#include "schemas/session_layout.h"
#include "schemas/slot_word.h"
#include "schemas/stats_layout.h"
#include "schemas/waiting_terms.h"

namespace slotring::layout {

inline constexpr std::uint64_t kMagic = 0x31474E49'52544C53;  // "SLTRING1", little-endian
inline constexpr std::uint32_t kLayoutVersion = 4;
inline constexpr std::uint32_t kProtocolVersion = 3;  // of the attach socket

inline constexpr std::uint32_t kMaxWorkers = 1024;
inline constexpr std::uint32_t kMaxSlotsPerWorker = 124;
inline constexpr std::uint32_t kMaxClients = 0xFFFE;
inline constexpr std::uint32_t kMaxWaiters = 0x8000;
inline constexpr std::uint32_t kMaxSlots = 0xFFFE;
inline constexpr std::uint64_t kMinAreaBytes = 64 * 1024;
inline constexpr std::uint64_t kMaxAreaBytes = std::uint64_t{16} << 30;
inline constexpr std::uint32_t kMaxFreeRings = 8;
inline constexpr std::uint32_t kMaxMethods = 1023;
inline constexpr std::uint32_t kMaxNameBytes = 63;
inline constexpr std::uint32_t kObituariesPerSeat = 4;
inline constexpr std::uint32_t kMaxSettings = 64;
inline constexpr std::uint32_t kSettingBytes = 8 * 1024;

// What the supervisor decided about a pool. Fixed for the pool's life.
struct Geometry {
  std::uint32_t max_workers;
  std::uint32_t slots_per_worker;
  std::uint32_t max_clients;
  std::uint32_t max_waiters;
  std::uint64_t area_bytes;  // virtual size of one area; one slot has two (area_layout.h)
  std::uint64_t warm_bytes;  // the first bytes of each area, backed by memory for the pool's life
  // Of each area: what has been backed below this stays so for the pool's life; what is behind it
  // is given back after each call. Not below warm_bytes.
  std::uint64_t kept_bytes;
  std::uint32_t max_sessions = 0;
  std::uint32_t reserved = 0;

  constexpr std::uint32_t slots() const { return max_workers * slots_per_worker; }
  constexpr bool operator==(const Geometry&) const = default;
};

constexpr bool is_valid(const Geometry& g) {
  return g.max_workers >= 1 && g.max_workers <= kMaxWorkers && g.slots_per_worker >= 1 &&
         g.slots_per_worker <= kMaxSlotsPerWorker &&
         std::uint64_t{g.max_workers} * g.slots_per_worker <= kMaxSlots && g.max_clients >= 1 &&
         g.max_clients <= kMaxClients && g.max_waiters >= 1 && g.max_waiters <= kMaxWaiters &&
         g.area_bytes >= kMinAreaBytes && g.area_bytes <= kMaxAreaBytes &&
         g.area_bytes % kPageBytes == 0 && g.warm_bytes >= kPageBytes &&
         g.warm_bytes <= g.area_bytes && g.warm_bytes % kPageBytes == 0 &&
         g.kept_bytes >= g.warm_bytes && g.kept_bytes <= g.area_bytes &&
         g.kept_bytes % kPageBytes == 0 && g.max_sessions <= kMaxSessions && g.reserved == 0;
}

// A name of at most kMaxNameBytes, not terminated.
struct FixedName {
  std::uint8_t bytes;
  char text[kMaxNameBytes];
};

struct alignas(kPageBytes) ControlHeader {
  std::atomic<std::uint64_t> magic;
  std::uint32_t layout_version;
  std::uint32_t header_bytes;
  std::uint64_t layout_hash;
  Geometry geometry;
  std::uint64_t created_ns;  // CLOCK_MONOTONIC
  std::uint64_t instance;    // random: tells this memory from another pool's of the same name
  std::uint64_t call_time_limit_ns;  // how long one call may run; 0: as long as it likes
  std::uint64_t waiting;             // WaitingTerms
  FixedName pool;
  SessionPolicy sessions;
  std::atomic<std::uint32_t> method_count;  // release after the record is written
  // Grows with each supervisor that takes the pool over: a client that sees it change tells the new
  // one that it is there.
  std::atomic<std::uint32_t> supervisor_epoch;
  std::atomic<std::int32_t> supervisor_pid;
  // Changes after each look of the supervisor for scribbled words (client_lib/shm/repair.h): a
  // client that sees it change looks for words that say that it holds what it does not hold.
  std::atomic<std::uint32_t> repair_epoch;
  // Of the newest SettingRecord. seq_cst, after the record: a worker that starts a call afterwards
  // sees it and makes that setting's call first.
  std::atomic<std::uint32_t> settings_epoch;
  // Callers that go to sleep for want of a slot set this and wake the supervisor, which audits the
  // words while, and only while, somebody waits.
  alignas(kCacheLineBytes) std::atomic<std::uint32_t> audit_bell;
  alignas(kCacheLineBytes) std::atomic<std::uint32_t> next_ticket;
};

// Written once by the supervisor, before method_count covers it. Ids start at 1.
using MethodRecord = FixedName;

enum class SeatState : std::uint8_t {
  kVacant = 0,    // never had a worker
  kStarting = 1,  // a worker sets itself up
  kReady = 2,     // its slots may be claimed
  kDraining = 3,  // serves what it has; not to be claimed
  kLost = 4,      // its worker died; its slots are being walked, or a successor is due
  kRetired = 5,   // no successor will come
  kDormant = 6,   // has no worker; one is started when a caller waits
};

constexpr const char* to_string(SeatState state) {
  switch (state) {
    case SeatState::kVacant:
      return "vacant";
    case SeatState::kStarting:
      return "starting";
    case SeatState::kReady:
      return "ready";
    case SeatState::kDraining:
      return "draining";
    case SeatState::kLost:
      return "lost";
    case SeatState::kRetired:
      return "retired";
    case SeatState::kDormant:
      return "dormant";
  }
  return "corrupt";
}

// {generation:32 | reserved:23 | returns:1 | state:8}. Only the supervisor writes it.
struct SeatWord {
  std::uint32_t generation = 0;
  SeatState state = SeatState::kVacant;
  // Of a DRAINING seat: the pool goes on, and a worker is here again when one is wanted.
  bool returns = false;

  static constexpr SeatWord unpack(std::uint64_t word) {
    return {static_cast<std::uint32_t>(word >> 32),
            static_cast<SeatState>(static_cast<std::uint8_t>(word)), (word >> 8 & 1) != 0};
  }
  constexpr std::uint64_t pack() const {
    return std::uint64_t{generation} << 32 | std::uint64_t{returns} << 8 |
           static_cast<std::uint8_t>(state);
  }
  constexpr bool operator==(const SeatWord&) const = default;
};

// How a worker serves the calls of its slots (python_side/slotring/worker.py).
enum class Profile : std::uint8_t {
  kNone = 0,  // the seat has no worker
  kSingle = 1,
  kThreads = 2,
  kAsyncio = 3,
};

constexpr const char* to_string(Profile profile) {
  switch (profile) {
    case Profile::kNone:
      return "none";
    case Profile::kSingle:
      return "single";
    case Profile::kThreads:
      return "threads";
    case Profile::kAsyncio:
      return "asyncio";
  }
  return "corrupt";
}

// {reserved:16 | threads:8 | profile:8}, for observers.
struct ProfileWord {
  Profile profile = Profile::kNone;
  std::uint8_t threads = 0;  // with kThreads

  static constexpr ProfileWord unpack(std::uint32_t word) {
    return {static_cast<Profile>(static_cast<std::uint8_t>(word)),
            static_cast<std::uint8_t>(word >> 8)};
  }
  constexpr std::uint32_t pack() const {
    return std::uint32_t{threads} << 8 | static_cast<std::uint8_t>(profile);
  }
  constexpr bool operator==(const ProfileWord&) const = default;
};
static_assert(kMaxSlotsPerWorker <= 0xFF, "as many threads");

// SeatRecord::wanted. The bits above count wakes, so that a caller that was about to sleep when it
// was woken does not, even where another has set the bit again.
inline constexpr std::uint32_t kSeatWanted = 1;
inline constexpr std::uint32_t kWantedStep = 2;

// A place for one worker at a time; a successor takes the same seat with the next generation.
struct SeatRecord {
  // Read by every claim, written at life events only.
  alignas(kCacheLineBytes) std::atomic<std::uint64_t> word;  // SeatWord
  std::atomic<std::int32_t> pid;
  std::atomic<std::uint32_t> restarts;
  std::atomic<std::uint64_t> pid_start_time;  // clock ticks since boot, of /proc/PID/stat
  std::atomic<std::uint64_t> ready_ns;        // CLOCK_MONOTONIC
  // The generation of the last worker whose slots were walked after its death. A successor is
  // launched only when this is its predecessor's: a supervisor that died in the walk is followed by
  // one that repeats it.
  std::atomic<std::uint32_t> walked;
  // A futex for callers that want a slot of this seat and no other. They set kSeatWanted before
  // they look and sleep; whoever frees a slot of the seat and finds it set clears it, adds
  // kWantedStep and wakes them all.
  std::atomic<std::uint32_t> wanted;
  std::atomic<std::uint32_t> profile;  // ProfileWord of the worker that is there
  // The CPU, plus 1, on which it last started a call; 0: not known. Written by the worker when it
  // has changed, which is seldom.
  std::atomic<std::uint32_t> cpu;
  // The doorbell, see client_lib/shm/doorbell.h.
  alignas(kCacheLineBytes) std::atomic<std::uint32_t> bell;
  // The worker's own counters; only it writes them.
  alignas(kCacheLineBytes) std::atomic<std::uint64_t> calls;
  std::atomic<std::uint64_t> errors;
  std::atomic<std::uint64_t> running;        // RunningWord of the call that it runs; 0 for none
  std::atomic<std::uint64_t> running_since;  // CLOCK_MONOTONIC in ns, written before `running`
  // When a thread of the worker last had the interpreter, CLOCK_MONOTONIC in ns. Renewed while a
  // call runs long: one that is older than the call is a sign of an interpreter that hangs.
  std::atomic<std::uint64_t> interpreter_seen_ns;
  // A futex: grows when a caller leaves a call that runs, so that the worker can tell its handler.
  std::atomic<std::uint32_t> cancel_bell;
  // The newest setting whose call this worker has made, and of those the newest that failed.
  std::atomic<std::uint32_t> settings_epoch;
  std::atomic<std::uint32_t> settings_failed;
};

// {generation:32 | slot of the worker + 1:16 | method id:16} of a call that runs.
struct RunningWord {
  std::uint32_t generation = 0;
  std::uint16_t slot_of_worker = 0;
  std::uint16_t method = 0;

  static constexpr RunningWord unpack(std::uint64_t word) {
    return {static_cast<std::uint32_t>(word >> 32),
            static_cast<std::uint16_t>((word >> 16 & 0xFFFF) - 1),
            static_cast<std::uint16_t>(word)};
  }
  constexpr std::uint64_t pack() const {
    return std::uint64_t{generation} << 32 |
           std::uint64_t{static_cast<std::uint16_t>(slot_of_worker + 1)} << 16 | method;
  }
  constexpr bool operator==(const RunningWord&) const = default;
};

// Of a worker that was no child of the supervisor which found it dead.
inline constexpr std::int32_t kUnknownWaitStatus = -1;

// How a seat's worker of `generation` died; written by the supervisor before any slot word names
// it.
struct Obituary {
  std::atomic<std::uint32_t> generation;
  std::atomic<std::int32_t> wait_status;  // as of waitpid, or kUnknownWaitStatus
  std::atomic<std::int32_t> pid;
  std::atomic<std::uint16_t> tail_bytes;
  std::atomic<std::uint16_t> note_bytes;
  char text[2032];  // why the supervisor ended it, if it did; then the end of its stderr
};

// A call that reached every worker of the pool, and that each later one makes before it serves.
// Written by the supervisor: everything else first, `epoch` last; cleared the other way round. Of
// two with one key the one with the higher epoch holds.
struct SettingRecord {
  alignas(kCacheLineBytes) std::atomic<std::uint32_t> epoch;  // 0: none
  std::uint32_t payload_bytes;
  std::uint8_t payload_kind;  // wire.PayloadKind
  std::uint8_t retracted;     // the key is free again; workers make the call once more
  std::uint8_t reserved[6];
  FixedName key;
  FixedName method;
  std::byte payload[kSettingBytes - 144];
};

enum class ClientState : std::uint8_t {
  kVacant = 0,
  kAttached = 1,
  kReclaiming = 2,
  kLeft = 3,  // says the client itself: everything is released, the place may be taken back
};

struct ClientRecord {
  // Written by the supervisor.
  alignas(kCacheLineBytes) std::atomic<std::uint32_t> state;  // ClientState
  std::atomic<std::uint32_t> epoch;                           // grows with each attach
  std::atomic<std::int32_t> pid;
  std::uint32_t padding;
  std::atomic<std::uint64_t> pid_start_time;
  FixedName name;
  // The client's own counters; only it writes them.
  alignas(kCacheLineBytes) std::atomic<std::uint64_t> calls;
  std::atomic<std::uint64_t> errors;
  // Bit p: page p of the place's rows in client_stats is backed by memory. Never taken back.
  std::atomic<std::uint64_t> stats_pages;
  // A Doorbell (client_lib/shm/owner_bell.h), rung for calls and places in line whose words say
  // kFlagRingOwner, and by the client itself. Anybody in the pool writes it.
  alignas(kCacheLineBytes) std::atomic<std::uint32_t> bell;
};

// {ticket:32 | owner:16 | state:8 | flags:8}; the low half is a futex.
enum class WaiterState : std::uint8_t { kVacant = 0, kWaiting = 1, kWoken = 2 };

// The waiter is asked by its own process to look up: its call was cancelled.
inline constexpr std::uint8_t kFlagStirred = 0x02;

struct WaiterWord {
  std::uint32_t ticket = 0;
  std::uint16_t owner = kNoOwner;
  WaiterState state = WaiterState::kVacant;
  // kFlagListed: the index is (about) in the waiting line; kFlagStirred; kFlagRingOwner: nobody
  // sleeps here, whoever wakes rings the owner's bell
  std::uint8_t flags = 0;

  static constexpr WaiterWord unpack(std::uint64_t word) {
    return {static_cast<std::uint32_t>(word >> 32), static_cast<std::uint16_t>(word >> 16),
            static_cast<WaiterState>(static_cast<std::uint8_t>(word >> 8)),
            static_cast<std::uint8_t>(word)};
  }
  constexpr std::uint64_t pack() const {
    return std::uint64_t{ticket} << 32 | std::uint64_t{owner} << 16 |
           std::uint64_t{static_cast<std::uint8_t>(state)} << 8 | flags;
  }
};

// A ring's counters; its cells follow. See client_lib/shm/hint_ring.h.
struct RingHeader {
  alignas(kCacheLineBytes) std::atomic<std::uint64_t> head;
  alignas(kCacheLineBytes) std::atomic<std::uint64_t> tail;
};

constexpr std::uint64_t align_up(std::uint64_t value, std::uint64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

inline constexpr std::uint64_t kClientStatsBytes = sizeof(CallStats) * kStatsMethods;
static_assert(kClientStatsBytes % kPageBytes == 0 && kClientStatsBytes / kPageBytes <= 64);

// Where each section of a pool's control segment begins. REQUIRES: is_valid(geometry).
struct ControlOffsets {
  std::uint64_t methods, seats, obituaries, words, clients, waiters, waiting_line, free_rings,
      sessions, session_buckets, settings, seat_stats, client_stats, reserved, total;
  std::uint32_t words_stride;          // slot words from one seat's first to the next seat's
  std::uint32_t free_ring_count;       // one a depth
  std::uint32_t free_ring_cells;       // a power of two
  std::uint32_t waiting_line_cells;    // a power of two
  std::uint32_t session_bucket_count;  // a power of two, or 0
  std::uint64_t free_ring_bytes;       // header and cells of one

  explicit constexpr ControlOffsets(const Geometry& g)
      : words_stride(static_cast<std::uint32_t>(align_up(g.slots_per_worker, 8))),
        free_ring_count(g.slots_per_worker < kMaxFreeRings ? g.slots_per_worker : kMaxFreeRings),
        free_ring_cells(std::bit_ceil(2 * g.slots())),
        waiting_line_cells(std::bit_ceil(2 * g.max_waiters)),
        session_bucket_count(g.max_sessions == 0 ? 0 : std::bit_ceil(g.max_sessions)),
        free_ring_bytes(sizeof(RingHeader) +
                        align_up(std::uint64_t{free_ring_cells} * 8, kCacheLineBytes)) {
    std::uint64_t at = sizeof(ControlHeader);
    const auto section = [&at](std::uint64_t bytes) {
      const std::uint64_t begin = at;
      at = align_up(at + bytes, kCacheLineBytes);
      return begin;
    };
    methods = section(sizeof(MethodRecord) * kMaxMethods);
    seats = section(sizeof(SeatRecord) * g.max_workers);
    obituaries = section(sizeof(Obituary) * kObituariesPerSeat * g.max_workers);
    words = section(std::uint64_t{8} * words_stride * g.max_workers);
    clients = section(sizeof(ClientRecord) * g.max_clients);
    waiters = section(std::uint64_t{8} * g.max_waiters);
    waiting_line = section(sizeof(RingHeader) + std::uint64_t{8} * waiting_line_cells);
    free_rings = section(free_ring_bytes * free_ring_count);
    sessions = section(sizeof(SessionRecord) * g.max_sessions);
    session_buckets = section(std::uint64_t{8} * session_bucket_count);
    settings = section(sizeof(SettingRecord) * kMaxSettings);
    seat_stats = section(sizeof(CallStats) * g.max_workers);
    at = align_up(at, kPageBytes);
    reserved = at;
    client_stats = section(kClientStatsBytes * g.max_clients);
    total = align_up(at, kPageBytes);
  }
};

static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);
static_assert(std::endian::native == std::endian::little, "futex words are low halves");

static_assert(sizeof(Geometry) == 48);
static_assert(sizeof(FixedName) == 64);
static_assert(sizeof(ControlHeader) == kPageBytes);
static_assert(offsetof(ControlHeader, magic) == 0);
static_assert(offsetof(ControlHeader, layout_version) == 8);
static_assert(offsetof(ControlHeader, header_bytes) == 12);
static_assert(offsetof(ControlHeader, layout_hash) == 16);
static_assert(offsetof(ControlHeader, geometry) == 24);
static_assert(offsetof(ControlHeader, created_ns) == 72);
static_assert(offsetof(ControlHeader, instance) == 80);
static_assert(offsetof(ControlHeader, call_time_limit_ns) == 88);
static_assert(offsetof(ControlHeader, waiting) == 96);
static_assert(offsetof(ControlHeader, pool) == 104);
static_assert(offsetof(ControlHeader, sessions) == 168);
static_assert(offsetof(ControlHeader, method_count) == 184);
static_assert(offsetof(ControlHeader, supervisor_epoch) == 188);
static_assert(offsetof(ControlHeader, supervisor_pid) == 192);
static_assert(offsetof(ControlHeader, repair_epoch) == 196);
static_assert(offsetof(ControlHeader, settings_epoch) == 200);
static_assert(offsetof(ControlHeader, audit_bell) == 256);
static_assert(offsetof(ControlHeader, next_ticket) == 320);
static_assert(sizeof(SeatRecord) == 192);
static_assert(offsetof(SeatRecord, word) == 0);
static_assert(offsetof(SeatRecord, pid) == 8);
static_assert(offsetof(SeatRecord, restarts) == 12);
static_assert(offsetof(SeatRecord, pid_start_time) == 16);
static_assert(offsetof(SeatRecord, ready_ns) == 24);
static_assert(offsetof(SeatRecord, walked) == 32);
static_assert(offsetof(SeatRecord, wanted) == 36);
static_assert(offsetof(SeatRecord, profile) == 40);
static_assert(offsetof(SeatRecord, cpu) == 44);
static_assert(offsetof(SeatRecord, bell) == 64);
static_assert(offsetof(SeatRecord, calls) == 128);
static_assert(offsetof(SeatRecord, running) == 144);
static_assert(offsetof(SeatRecord, running_since) == 152);
static_assert(offsetof(SeatRecord, interpreter_seen_ns) == 160);
static_assert(offsetof(SeatRecord, cancel_bell) == 168);
static_assert(offsetof(SeatRecord, settings_epoch) == 172);
static_assert(sizeof(SettingRecord) == kSettingBytes);
static_assert(offsetof(SettingRecord, payload) == 144);
static_assert(sizeof(Obituary) == 2048);
static_assert(offsetof(Obituary, tail_bytes) == 12);
static_assert(offsetof(Obituary, note_bytes) == 14);
static_assert(offsetof(Obituary, text) == 16);
static_assert(sizeof(ClientRecord) == 256);
static_assert(offsetof(ClientRecord, state) == 0);
static_assert(offsetof(ClientRecord, epoch) == 4);
static_assert(offsetof(ClientRecord, pid) == 8);
static_assert(offsetof(ClientRecord, pid_start_time) == 16);
static_assert(offsetof(ClientRecord, name) == 24);
static_assert(offsetof(ClientRecord, calls) == 128);
static_assert(offsetof(ClientRecord, stats_pages) == 144);
static_assert(offsetof(ClientRecord, bell) == 192);
static_assert(sizeof(RingHeader) == 128);

// Folds every size and offset above into one number: peers whose builds disagree about a byte
// refuse each other at attach. FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/.
constexpr std::uint64_t layout_hash() {
  constexpr std::uint64_t kFacts[] = {kLayoutVersion,
                                      kMaxMethods,
                                      kMaxFreeRings,
                                      kObituariesPerSeat,
                                      kEnvelopeOffset,
                                      kPayloadOffset,
                                      kMaxEnvelopeBytes,
                                      kStreamEntries,
                                      kToolEntries,
                                      kLaneFrameKinds,
                                      sizeof(FrameDescriptor),
                                      sizeof(AreaHeader),
                                      sizeof(ControlHeader),
                                      sizeof(MethodRecord),
                                      sizeof(SeatRecord),
                                      sizeof(Obituary),
                                      sizeof(ClientRecord),
                                      sizeof(RingHeader),
                                      sizeof(SessionRecord),
                                      sizeof(SettingRecord),
                                      sizeof(CallStats),
                                      kStatsMethods,
                                      kMaxSettings,
                                      offsetof(ControlHeader, sessions),
                                      offsetof(ControlHeader, settings_epoch),
                                      offsetof(SeatRecord, wanted),
                                      offsetof(SeatRecord, profile),
                                      offsetof(SeatRecord, settings_epoch),
                                      offsetof(ClientRecord, stats_pages),
                                      offsetof(ClientRecord, bell),
                                      offsetof(SessionRecord, name),
                                      offsetof(SessionRecord, last_used_ns),
                                      offsetof(SettingRecord, payload),
                                      offsetof(CallStats, latency),
                                      offsetof(ControlHeader, geometry),
                                      offsetof(ControlHeader, pool),
                                      offsetof(ControlHeader, instance),
                                      offsetof(ControlHeader, call_time_limit_ns),
                                      offsetof(ControlHeader, method_count),
                                      offsetof(ControlHeader, supervisor_epoch),
                                      offsetof(ControlHeader, supervisor_pid),
                                      offsetof(ControlHeader, repair_epoch),
                                      offsetof(ControlHeader, waiting),
                                      offsetof(ControlHeader, audit_bell),
                                      offsetof(ControlHeader, next_ticket),
                                      offsetof(SeatRecord, bell),
                                      offsetof(SeatRecord, calls),
                                      offsetof(SeatRecord, pid_start_time),
                                      offsetof(SeatRecord, walked),
                                      offsetof(SeatRecord, running),
                                      offsetof(SeatRecord, running_since),
                                      offsetof(SeatRecord, interpreter_seen_ns),
                                      offsetof(SeatRecord, cancel_bell),
                                      offsetof(SeatRecord, cpu),
                                      offsetof(Obituary, wait_status),
                                      offsetof(Obituary, tail_bytes),
                                      offsetof(Obituary, note_bytes),
                                      offsetof(Obituary, text),
                                      offsetof(ClientRecord, name),
                                      offsetof(ClientRecord, calls),
                                      kFlagListed,
                                      kFlagCallerSleeps,
                                      kFlagLost,
                                      kFlagWorkerWaits,
                                      kFlagRingOwner,
                                      kObituaryMask,
                                      kSlotStates,
                                      std::size(kArrows)};
  std::uint64_t hash = 0xCBF29CE484222325;
  for (std::uint64_t fact : kFacts) {
    for (int byte = 0; byte < 8; ++byte) {
      hash = (hash ^ (fact >> (8 * byte) & 0xFF)) * 0x100000001B3;
    }
  }
  return hash;
}

}  // namespace slotring::layout

#endif  // SLOTRING_SCHEMAS_CONTROL_LAYOUT_H_
