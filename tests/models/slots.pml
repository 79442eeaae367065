/* Slot words, hints, one seat with its successive workers, and the supervisor as reaper.
 *
 * Follows client_lib/shm/slot_pool.cc, reclaim.cc and worker_seat.cc: one statement here for each access to
 * shared memory there. What a caller does when no slot is free is line.pml; how a worker and a caller wake
 * each other is bells.pml: here each simply goes on once the word allows it.
 *
 * Pauses: nothing is fair here, so between any two steps of a process all others may run as far as they can;
 * "stopped at any instruction and resumed later" is every interleaving of the steps.
 * Deaths: each process is a block `unless` it was killed, and Death kills whom it likes between any two steps:
 * clients, workers, and supervisors (also while they bury somebody), up to the numbers below. A new supervisor
 * follows, which knows of the past only what is in the segment.
 *
 * Checked always: an owner finds its word as it left it; a reply that is read is the one to its own request.
 * Checked when nothing can move any more: each live client had exactly one outcome, and each slot is FREE
 * and has a hint (FREE is enough when the seat is retired).
 *
 * Run by tests/models/check, which says with what. The CANARY_s are known bugs: each must be found.
 */
#ifndef CLIENTS
#define CLIENTS 2          /* each makes one call */
#endif
#ifndef SLOTS
#define SLOTS 1
#endif
#ifndef CLIENT_DEATHS
#define CLIENT_DEATHS 1
#endif
#ifndef WORKER_DEATHS
#define WORKER_DEATHS 1
#endif
#ifndef SUPERVISOR_DEATHS
#define SUPERVISOR_DEATHS 1
#endif
#define NOBODY 255

mtype = { FREE, CLAIMED, REQUESTED, RUNNING, REPLIED, ABANDONED };
mtype = { STARTING, READY, GONE, RETIRED };

/* The words, field by field; what a hint ring holds, as a count for each slot: its order does not matter. */
mtype state[SLOTS] = FREE;
byte owner[SLOTS] = NOBODY;
byte generation[SLOTS];
bool listed[SLOTS] = true;
bool lost[SLOTS];
byte hints[SLOTS] = 1;

byte request_of[SLOTS] = NOBODY;   /* whose bytes lie in the request area, */
byte reply_of[SLOTS] = NOBODY;     /* and to whose request the ones in the reply area are */

mtype seat = READY;
bool walked;                       /* SeatRecord::walked is the generation of the last worker */

bool worker_lives = true;
bool kill_worker;
bool kill_supervisor;
bool dead[CLIENTS];
bool buried[CLIENTS];
bool done[CLIENTS];
byte outcomes[CLIENTS];
byte client_deaths = CLIENT_DEATHS;
byte worker_deaths = WORKER_DEATHS;
byte supervisor_deaths = SUPERVISOR_DEATHS;

#define is_mine(s) (owner[s] == me && generation[s] == g)

/* A compare-and-swap to CLAIMED, and one to FREE, for use within atomic. Freed says `unlisted` when the one who
 * freed the slot must push a hint. */
#define take(s) state[s] = CLAIMED; owner[s] = me; g = generation[s]
#define let_go(s) \
  state[s] = FREE; owner[s] = NOBODY; lost[s] = false; generation[s] = (generation[s] + 1) % 4; \
  unlisted = !listed[s]; listed[s] = true

#if SLOTS > 1
#define FOR_SLOT_1(guard, step) :: atomic { guard(1) -> step(1) }
#else
#define FOR_SLOT_1(guard, step)
#endif

#define has_hint(i) hints[i] > 0
#define pop_hint(i) hints[i]--; s = i; goto hinted
#define looks_free(i) state[i] == FREE && seat == READY
#define choose(i) s = i; goto found

proctype Client(byte me) {
  byte s; byte g; bool unlisted; bool ready;
  {
    skip;
claim:
    if
    :: atomic { has_hint(0) -> pop_hint(0) }
    FOR_SLOT_1(has_hint, pop_hint)
    :: atomic { looks_free(0) -> choose(0) }    /* the last slot, or a scan */
    FOR_SLOT_1(looks_free, choose)
    :: atomic { seat == RETIRED -> outcomes[me]++; done[me] = true; goto out }
    fi;

hinted:
    ready = (seat == READY);
    atomic {
      if
      :: state[s] == FREE && ready -> take(s); listed[s] = false; goto owned
#ifdef CANARY_LISTED
      :: else -> goto claim
#else
      :: else -> listed[s] = false; goto claim
#endif
      fi
    };

found:
    atomic { if :: state[s] == FREE -> take(s) :: else -> goto claim fi };

owned:
    atomic { assert(state[s] == CLAIMED && is_mine(s)); request_of[s] = me };
    atomic { assert(state[s] == CLAIMED && is_mine(s)); state[s] = REQUESTED };
    if
    :: seat == RETIRED -> goto end_call
    :: seat != RETIRED
    fi;
    if
    :: state[s] != REQUESTED && state[s] != RUNNING -> goto read
    :: goto end_call                             /* the deadline passed */
    fi;

end_call:
    atomic {
      if :: state[s] == REQUESTED && is_mine(s) -> state[s] = CLAIMED; outcomes[me]++; goto release :: else fi
    };
    atomic {
      if :: state[s] == RUNNING && is_mine(s) -> state[s] = ABANDONED; outcomes[me]++; done[me] = true; goto out :: else fi
    };

read:
    atomic {
      assert(state[s] == REPLIED && is_mine(s));
      assert(lost[s] || reply_of[s] == me);
      outcomes[me]++
    };

release:
    atomic { assert((state[s] == CLAIMED || state[s] == REPLIED) && is_mine(s)); let_go(s) };
    atomic { if :: unlisted -> hints[s]++ :: else fi; done[me] = true };
out:
    skip
  } unless { dead[me] }
}

#define requested(i) state[i] == REQUESTED
#define start(i) state[i] = RUNNING; s = i; me = owner[i]; g = generation[i]; goto serve

#define forget_call s = 0; me = 0; g = 0; answer = 0; unlisted = false

/* The seat's workers, one after another. */
proctype Worker() {
  byte s; byte me; byte g; byte answer; bool unlisted;
end_gone:
  do
  :: worker_lives ->
    {
      skip;
end_idle:
      if
      :: atomic { requested(0) -> start(0) }
      FOR_SLOT_1(requested, start)
      fi;
serve:
      answer = request_of[s];
      reply_of[s] = answer;
      atomic {
        assert((state[s] == RUNNING || state[s] == ABANDONED) && is_mine(s));
        if
        :: state[s] == RUNNING -> state[s] = REPLIED
        :: else -> let_go(s)
        fi;
        if :: !unlisted -> forget_call; goto end_idle :: else fi
      };
      atomic { hints[s]++; forget_call; goto end_idle }
    } unless { atomic { kill_worker -> kill_worker = false; worker_lives = false; forget_call } }
  od
}

#if SLOTS > 1
#define FORGET unlisted = false; s = 0; FORGET_SEEN(0); FORGET_SEEN(1)
#else
#define FORGET unlisted = false; s = 0; FORGET_SEEN(0)
#endif
#define FORGET_SEEN(i) seen[i] = 0; seen_generation[i] = 0; seen_listed[i] = false; hinted[i] = false
#define see(i) \
  seen[i] = state[i]; seen_generation[i] = generation[i]; seen_listed[i] = listed[i]
#define unchanged(i) \
  (state[i] == seen[i] && generation[i] == seen_generation[i] && listed[i] == seen_listed[i])

/* reclaim.cc: all words first, then the rings, then changes to exactly the words that were read, repeated until
 * they are made. A look at a ring, cell by cell, may miss a hint that was popped and pushed meanwhile (MISSES).
 * Only the supervisor itself changes the seat meanwhile. */
inline audit_hints() {
  do
  :: atomic { s < SLOTS -> see(s); s++ }
  :: atomic { else -> s = 0; break }
  od;
  do
  :: atomic { s < SLOTS -> hinted[s] = (hints[s] > 0); s++ }
#ifdef MISSES
  :: atomic { s < SLOTS && hints[s] > 0 -> hinted[s] = false; s++ }
#endif
  :: atomic { s >= SLOTS -> s = 0; break }
  od;
  do
  :: atomic { s < SLOTS && unlisted -> hints[s]++; unlisted = false; s++ }
  :: atomic {
       s < SLOTS && !unlisted ->
       if
       :: hinted[s] -> s++
       :: !hinted[s] && !unchanged(s) ->
#ifdef CANARY_AUDIT
          s++
#else
          see(s)
#endif
       :: !hinted[s] && unchanged(s) ->
          unlisted = (seen[s] == FREE && seat == READY); listed[s] = unlisted;
          if :: !unlisted -> s++ :: else fi
       fi
     }
  :: atomic { s >= SLOTS -> FORGET; break }
  od
}

inline walk_dead_worker() {
  do
  :: atomic { s < SLOTS && unlisted -> hints[s]++; unlisted = false; s++ }
  :: atomic {
       s < SLOTS && !unlisted ->
       if
       :: state[s] == RUNNING || (state[s] == REQUESTED && seat == RETIRED) ->
          state[s] = REPLIED; lost[s] = true
       :: state[s] == ABANDONED -> let_go(s)
       :: else
       fi;
       if :: !unlisted -> s++ :: else fi
     }
  :: atomic { s >= SLOTS -> s = 0; break }
  od;
  audit_hints()
}

inline walk_dead_client(c) {
  do
  :: atomic { s < SLOTS && unlisted -> hints[s]++; unlisted = false; s++ }
  :: atomic {
       s < SLOTS && !unlisted ->
       if
       :: owner[s] == c && state[s] == RUNNING -> state[s] = ABANDONED
       :: owner[s] == c && (state[s] == CLAIMED || state[s] == REQUESTED || state[s] == REPLIED) ->
          let_go(s)
       :: else
       fi;
       if :: !unlisted -> s++ :: else fi
     }
  :: atomic { s >= SLOTS -> s = 0; break }
  od;
  audit_hints()
}

/* `hinted` says here that the word was read and found FREE. */
#define see_for_publishing(i) \
  if \
  :: state[i] == FREE -> \
     seen_generation[0] = generation[i]; seen_listed[0] = listed[i]; hinted[0] = true \
  :: else -> FORGET_SEEN(0); i++ \
  fi

/* SlotPool::publish() of a seat that became READY. A slot that somebody changes under it is looked at again. */
inline publish() {
  do
  :: atomic { s < SLOTS && unlisted -> hints[s]++; FORGET_SEEN(0); unlisted = false; s++ }
  :: atomic { s < SLOTS && !unlisted && !hinted[0] -> see_for_publishing(s) }
  :: atomic {
       s < SLOTS && !unlisted && hinted[0] ->
       if
       :: state[s] == FREE && generation[s] == seen_generation[0] && listed[s] == seen_listed[0] ->
          listed[s] = true; unlisted = true
#ifdef CANARY_PUBLISH
       :: else -> FORGET_SEEN(0); s++
#else
       :: else -> see_for_publishing(s)
#endif
       fi
     }
  :: atomic { s >= SLOTS -> FORGET; break }
  od
}

#ifdef RETIRE
#define bury_seat() \
  atomic { if :: worker_deaths == 0 -> seat = RETIRED :: else -> seat = GONE fi }
#else
#define bury_seat() seat = GONE
#endif

proctype Supervisor() {
  byte s; bool unlisted;
  bool is_new;                     /* what was the one before killed in? */
  mtype seen[SLOTS]; byte seen_generation[SLOTS]; bool seen_listed[SLOTS]; bool hinted[SLOTS];
end_watch:
  do
  :: true ->
    {
      skip;
end_idle:
      do
      :: is_new -> audit_hints(); is_new = false
      :: !worker_lives && !walked ->
         bury_seat();
#ifdef CANARY_SUCCESSOR
         walked = true;
         walk_dead_worker()
#else
         walk_dead_worker();
         walked = true
#endif
      :: atomic { !worker_lives && walked && seat != RETIRED ->
                  seat = STARTING; walked = false; worker_lives = true }
      :: seat == STARTING && worker_lives -> seat = READY; publish()
      :: dead[0] && !buried[0] -> walk_dead_client(0); buried[0] = true
#if CLIENTS > 1
      :: dead[1] && !buried[1] -> walk_dead_client(1); buried[1] = true
#endif
#if CLIENTS > 2
      :: dead[2] && !buried[2] -> walk_dead_client(2); buried[2] = true
#endif
      od
    } unless {
      atomic { kill_supervisor -> kill_supervisor = false; is_new = true; FORGET }
    }
  od
}

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
  :: d_step { worker_deaths > 0 && worker_lives && !kill_worker -> worker_deaths--; kill_worker = true }
  :: d_step { supervisor_deaths > 0 && !kill_supervisor -> supervisor_deaths--; kill_supervisor = true }
     /* As many as that need not die. */
  :: d_step { client_deaths + worker_deaths + supervisor_deaths > 0 ->
              client_deaths = 0; worker_deaths = 0; supervisor_deaths = 0 }
  od
}

active proctype Judge() {
  byte i;
end_watch:
  timeout ->
  assert(worker_lives || seat == RETIRED);
  for (i : 0 .. SLOTS - 1) {
    assert(state[i] == FREE && (hints[i] > 0 || seat == RETIRED))
  }
  for (i : 0 .. CLIENTS - 1) {
    assert(dead[i] -> outcomes[i] <= 1 : done[i] && outcomes[i] == 1)
  }
}

init {
  byte i;
  atomic {
    for (i : 0 .. CLIENTS - 1) { run Client(i) }
    run Worker();
    run Supervisor()
  }
}
