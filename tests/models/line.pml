/* The waiting line: callers that wait for a free slot, those who wake them, and the supervisor's audit.
 *
 * Follows client_lib/shm/waiting_line.cc, SlotPool::claim() and try_release(), and supervisor/pool_audit.cc:
 * one statement here for each access to shared memory or call of futex() there. A slot is only FREE or owned
 * here: what happens to it between claim and release is slots.pml. The ring of waiters is a count for each
 * place: what is checked does not depend on its order.
 *
 * Pauses: nothing is fair here, so between any two steps of a process all others may run as far as they can.
 * Deaths: each process is a block `unless` it was killed, and Death kills clients and supervisors between any
 * two steps, also within wake_one(), enlist() and leave(). A supervisor's two threads die together; a new one
 * follows, which knows of the past only what is in the segment.
 * A caller may give up (its deadline) before it sleeps, never in its sleep: who is forgotten there hangs.
 *
 * Checked always: a slot that is released belongs to its releaser. Checked when nothing can move any more:
 * each live client had exactly one outcome, all slots are FREE, nobody waits, and a place that says `listed` is
 * in the line.
 *
 * Run by tests/models/check, which says with what. The CANARY_s are known bugs: each must be found.
 */
#ifndef CLIENTS
#define CLIENTS 2          /* each claims once and releases */
#endif
#ifndef SLOTS
#define SLOTS 1
#endif
#ifndef PLACES
#define PLACES 2
#endif
#ifndef CLIENT_DEATHS
#define CLIENT_DEATHS 1
#endif
#ifndef SUPERVISOR_DEATHS
#define SUPERVISOR_DEATHS 1
#endif
#define NOBODY 255
#define NONE 255

mtype = { VACANT, WAITING, WOKEN };

byte slot[SLOTS] = NOBODY;         /* its owner, or FREE */
mtype waiter[PLACES] = VACANT;
byte owner[PLACES] = NOBODY;
bool listed[PLACES];
bool asleep[PLACES];               /* whether its owner is in futex_wait() */
byte line[PLACES];

/* The audit's bell: Doorbell's two bits. */
bool bell_rung;
bool bell_sleeps;
bool audit_asleep;

bool kill_supervisor;
bool kill_audit;
bool dead[CLIENTS];
bool buried[CLIENTS];
bool done[CLIENTS];
byte outcomes[CLIENTS];
byte client_deaths = CLIENT_DEATHS;
byte supervisor_deaths = SUPERVISOR_DEATHS;

#if SLOTS > 1
#define some_slot_free (slot[0] == NOBODY || slot[1] == NOBODY)
#else
#define some_slot_free (slot[0] == NOBODY)
#endif
#if PLACES > 2
#define line_empty (line[0] == 0 && line[1] == 0 && line[2] == 0)
#define some_place(test) (test(0) || test(1) || test(2))
#elif PLACES > 1
#define line_empty (line[0] == 0 && line[1] == 0)
#define some_place(test) (test(0) || test(1))
#else
#define line_empty (line[0] == 0)
#define some_place(test) (test(0))
#endif

/* WaitingLine::wake_one(); `w` is the index in its hands. */
inline wake_one() {
  do
  :: atomic { w == NONE && line[0] > 0 -> line[0]--; w = 0 }
#if PLACES > 1
  :: atomic { w == NONE && line[1] > 0 -> line[1]--; w = 1 }
#endif
#if PLACES > 2
  :: atomic { w == NONE && line[2] > 0 -> line[2]--; w = 2 }
#endif
  :: atomic { w == NONE && line_empty -> break }
  :: atomic {
       w != NONE && !woke ->
       listed[w] = false;
       if :: waiter[w] == WAITING -> waiter[w] = WOKEN; woke = true :: else -> w = NONE fi
     }
  :: atomic { w != NONE && woke -> asleep[w] = false; woke = false; w = NONE; break }
  od
}

inline enlist(p) {
  atomic { mine = !listed[p]; listed[p] = true };
  atomic { if :: mine -> line[p]++; mine = false :: else fi }
}

inline leave(p) {
  atomic {
    was_woken = (waiter[p] == WOKEN); waiter[p] = VACANT; owner[p] = NOBODY;
    asleep[p] = false                        /* the reaper's: who slept is dead */
  };
#ifdef CANARY_LEAVE
  was_woken = false
#else
  if :: atomic { was_woken -> was_woken = false }; wake_one() :: else fi
#endif
}

inline ring_audit() {
#ifndef BELL
  skip
#else
  atomic { mine = bell_sleeps; bell_rung = true };
  atomic { if :: mine -> audit_asleep = false; mine = false :: else fi }
#endif
}

/* SlotPool::try_claim_scanning(), which leaves `s` at the slot, or at SLOTS when it found none. */
inline scan() {
  do
  :: atomic { slot[s] == NOBODY -> slot[s] = me; break }
  :: atomic { slot[s] != NOBODY -> s++; if :: s >= SLOTS -> break :: else fi }
  od
}

proctype Client(byte me) {
  byte s; byte p; byte w = NONE; bool woke; bool mine; bool was_woken; bool seen_listed;
  {
    if
    :: line_empty ->
       scan();
       if :: s < SLOTS -> goto owned :: atomic { s >= SLOTS -> s = 0 } fi
    :: !line_empty
    fi;

    do
    :: atomic { p < PLACES && waiter[p] == VACANT -> waiter[p] = WAITING; owner[p] = me; break }
    :: atomic { p < PLACES && waiter[p] != VACANT -> p++; if :: p >= PLACES -> break :: else fi }
    od;
    if
    :: p < PLACES
    :: p >= PLACES ->
       scan();
       if
       :: s < SLOTS -> goto owned
       :: atomic { s >= SLOTS -> outcomes[me]++; done[me] = true; goto out }
       fi
    fi;
#ifndef CANARY_ENLIST
    enlist(p);
#endif

again:
    scan();
    if
    :: s < SLOTS -> leave(p); goto owned
    :: atomic { s >= SLOTS -> s = 0 }
    fi;
#ifdef CANARY_ENLIST
    enlist(p);
#endif
    ring_audit();
    do
    :: atomic { waiter[p] != WAITING -> break }
    :: atomic { waiter[p] == WAITING -> seen_listed = listed[p] };
       if
       :: atomic { waiter[p] == WAITING && listed[p] == seen_listed -> asleep[p] = true };
          !asleep[p]
       :: waiter[p] != WAITING || listed[p] != seen_listed
       :: leave(p); atomic { outcomes[me]++; done[me] = true; goto out }   /* the deadline */
       fi
    od;
    atomic { seen_listed = false; waiter[p] = WAITING };
    enlist(p);
    goto again;

owned:
    atomic { assert(slot[s] == me); slot[s] = NOBODY; s = 0; p = 0; outcomes[me]++ };
#ifndef CANARY_RELEASE
    wake_one();
#endif
    done[me] = true;
out:
    skip
  } unless { dead[me] }
}

/* WaitingLine::mend(): a place that says `listed` and is not in the line stands in line again, if somebody waits
 * there. Before a push or after a pop by somebody alive that may be wrong, and makes a second entry. */
inline mend() {
#ifndef CANARY_MEND
  do
  :: atomic { s < PLACES -> missing[s] = listed[s]; s++ }
  :: atomic { s >= PLACES -> s = 0; break }
  od;
  do
  :: atomic { s < PLACES -> missing[s] = (missing[s] && line[s] == 0); s++ }
  :: atomic { s >= PLACES -> s = 0; break }
  od;
  do
  :: atomic { s < PLACES && !missing[s] -> s++ }
  :: atomic { s < PLACES && missing[s] -> missing[s] = false; listed[s] = false;
              waits = (waiter[s] == WAITING) };
     if :: atomic { waits -> waits = false }; enlist(s) :: else fi;
     s++
  :: atomic { s >= PLACES -> s = 0; break }
  od
#else
  skip
#endif
}

/* The supervisor's main thread, which buries dead clients. */
inline bury(c) {
  s = 0;
  do
  :: atomic { s < SLOTS && slot[s] == c -> slot[s] = NOBODY }; wake_one(); s++
  :: atomic { s < SLOTS && slot[s] != c -> s++ }
  :: atomic { s >= SLOTS -> s = 0; break }
  od;
  do
  :: s < PLACES && owner[s] == c && waiter[s] != VACANT -> leave(s); s++
  :: atomic { s < PLACES && !(owner[s] == c && waiter[s] != VACANT) -> s++ }
  :: atomic { s >= PLACES -> s = 0; break }
  od;
  mend();
  buried[c] = true
}

#if PLACES > 2
#define forget_places missing[0] = false; missing[1] = false; missing[2] = false
#elif PLACES > 1
#define forget_places missing[0] = false; missing[1] = false
#else
#define forget_places missing[0] = false
#endif
#define forget w = NONE; woke = false; was_woken = false; mine = false; waits = false; s = 0; forget_places

proctype Supervisor() {
  byte s; byte w = NONE; bool woke; bool was_woken; bool mine; bool waits; bool is_new;
  bool missing[PLACES];
end_watch:
  do
  :: true ->
    {
      skip;
end_idle:
      do
      :: is_new -> mend(); is_new = false
      :: dead[0] && !buried[0] -> bury(0)
#if CLIENTS > 1
      :: dead[1] && !buried[1] -> bury(1)
#endif
#if CLIENTS > 2
      :: dead[2] && !buried[2] -> bury(2)
#endif
      od
    } unless { atomic { kill_supervisor -> kill_supervisor = false; is_new = true; forget } }
  od
}

#ifdef CANARY_COUNT
#define counts(i) (waiter[i] == WAITING)
#else
#define counts(i) (waiter[i] != VACANT)
#endif
#define is_of_use(i) (waiter[i] == WAITING || asleep[i])

/* WaitingLine::count_waiting(), place by place. */
inline count_waiting() {
  do
  :: atomic { p < PLACES && counts(p) -> found = true; p = 0; break }
  :: atomic { p < PLACES && !counts(p) -> p++ }
  :: atomic { p >= PLACES -> found = false; p = 0; break }
  od
}

/* The supervisor's audit thread. It ticks whenever a tick is of use: one that changes nothing is left out, so
 * that waiting for ever with an audit that ticks in vain is seen as what it is. */
inline wake_all() {
  do
  :: atomic { woke_at == NONE -> if :: waiter[p] == WAITING -> waiter[p] = WOKEN :: else fi; woke_at = p }
  :: atomic { woke_at != NONE -> asleep[p] = false; woke_at = NONE; p++;
              if :: p >= PLACES -> p = 0; break :: else fi }
  od
}
inline tick_while_somebody_waits() {
  do
  :: some_slot_free && some_place(counts) && some_place(is_of_use) -> wake_all()
  :: !some_place(counts) -> break
  od
}
#define forget_audit audit_asleep = false; p = 0; found = false; woke_at = NONE

#ifdef BELL
proctype Audit() {
  byte p; bool found; byte woke_at = NONE;
end_watch:
  do
  :: true ->
    {
      skip;
end_await:
      do
      :: atomic { bell_rung = false; bell_sleeps = false };
         do                                        /* count_waiting(), place by place */
         :: atomic { counts(p) -> found = true; p = 0; break }
         :: atomic { !counts(p) -> p++; if :: p >= PLACES -> p = 0; break :: else fi }
         od;
         if
         :: atomic { found -> found = false };
end_tick:
            tick_while_somebody_waits()
         :: !found ->
            atomic { if :: !bell_rung -> bell_sleeps = true :: else fi };
            atomic { if :: !bell_rung -> audit_asleep = true :: else fi };
end_asleep:
            !audit_asleep
         fi
      od
    } unless { atomic { kill_audit -> kill_audit = false; forget_audit } }
  od
}
#else
/* As if each caller's bell were heard: what BELL proves. */
proctype Audit() {
  byte p; bool found; byte woke_at = NONE;
end_watch:
  do
  :: some_place(counts) ->
    { tick_while_somebody_waits() } unless { atomic { kill_audit -> kill_audit = false; forget_audit } }
  od
}
#endif

#define may_die(c) client_deaths > 0 && !dead[c] && !done[c]

active proctype Death() {
end_spent:
  do
  :: d_step { may_die(0) -> client_deaths--; dead[0] = true }
#if CLIENTS > 1
  :: d_step { may_die(1) -> client_deaths--; dead[1] = true }
#endif
#if CLIENTS > 2
  :: d_step { may_die(2) -> client_deaths--; dead[2] = true }
#endif
  :: d_step { supervisor_deaths > 0 && !kill_supervisor && !kill_audit ->
              supervisor_deaths--; kill_supervisor = true; kill_audit = true }
     /* As many as that need not die. */
  :: d_step { client_deaths + supervisor_deaths > 0 -> client_deaths = 0; supervisor_deaths = 0 }
  od
}

active proctype Judge() {
  byte i;
end_watch:
  timeout ->
  for (i : 0 .. SLOTS - 1) { assert(slot[i] == NOBODY) }
  for (i : 0 .. PLACES - 1) { assert(waiter[i] == VACANT); assert(!listed[i] || line[i] > 0) }
  for (i : 0 .. CLIENTS - 1) {
    assert(dead[i] -> outcomes[i] <= 1 : done[i] && outcomes[i] == 1)
  }
}

init {
  byte i;
  atomic {
    for (i : 0 .. CLIENTS - 1) { run Client(i) }
    run Supervisor();
#ifndef NO_AUDIT                   /* without deaths, those who wait and release do without it */
    run Audit()
#endif
  }
}
