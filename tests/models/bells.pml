/* The bells: how a worker learns of a request, and a caller of its reply, with both asleep in between.
 *
 * Follows client_lib/shm/doorbell.h, WorkerSeat::try_next() and wait(), ClientCore::ring_bell() and
 * sleep_until_replied(), and reclaim_worker(): one statement here for each access to shared memory or call of
 * futex() there. Each client has a slot of its own: how it gets one is slots.pml and line.pml.
 *
 * Pauses: nothing is fair here, so between any two steps of a process all others may run as far as they can.
 * Deaths: each process is a block `unless` it was killed, and Death kills clients, workers and supervisors
 * between any two steps: a worker with the pending bits in its hands, or between REPLIED and the wake; a
 * client between its bit and the wake.
 * Callers have no deadline: who is forgotten in its sleep hangs.
 *
 * Checked when nothing can move any more: each live client had an outcome for each of its calls, and no
 * slot is left in a call.
 *
 * Run by tests/models/check, which says with what. The CANARY_s are known bugs: each must be found.
 */
#ifndef CLIENTS
#define CLIENTS 2
#endif
#ifndef CALLS
#define CALLS 1            /* of each client */
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

mtype = { FREE, REQUESTED, RUNNING, REPLIED, ABANDONED };

mtype state[CLIENTS] = FREE;
bool caller_sleeps[CLIENTS];       /* kFlagCallerSleeps */
bool caller_asleep[CLIENTS];       /* whether the caller is in futex_wait() */

/* The doorbell: one word. */
bool pending[CLIENTS];
bool sleeps;
bool worker_asleep;

bool walked;                       /* SeatRecord::walked is the generation of the last worker */
bool worker_lives = true;
bool kill_worker;
bool kill_supervisor;
bool dead[CLIENTS];
bool buried[CLIENTS];
bool done[CLIENTS];
byte client_deaths = CLIENT_DEATHS;
byte worker_deaths = WORKER_DEATHS;
byte supervisor_deaths = SUPERVISOR_DEATHS;

#if CLIENTS > 1
#define any(bits) (bits[0] || bits[1])
#define move_bits(from, to) to[0] = from[0]; to[1] = from[1]; from[0] = false; from[1] = false
#define set_bits(bits, value) bits[0] = value; bits[1] = value
#else
#define any(bits) (bits[0])
#define move_bits(from, to) to[0] = from[0]; from[0] = false
#define set_bits(bits, value) bits[0] = value
#endif

proctype Client(byte me) {
  byte calls; bool wakes; bool seen_sleeps; mtype seen;
  {
    skip;
next:
    atomic { assert(state[me] == FREE); state[me] = REQUESTED; caller_sleeps[me] = false };
    atomic {
      pending[me] = true; wakes = sleeps;
#ifdef CANARY_RINGER
      sleeps = false
#endif
    };
    atomic { if :: wakes -> worker_asleep = false; wakes = false :: else fi };

    do
    :: atomic { state[me] == REPLIED -> break }
    :: atomic { state[me] != REPLIED -> seen = state[me]; seen_sleeps = caller_sleeps[me] };
#ifndef CANARY_CALLER
       if
       :: atomic { state[me] == seen && caller_sleeps[me] == seen_sleeps ->
                   caller_sleeps[me] = true; seen_sleeps = true }
       :: atomic { !(state[me] == seen && caller_sleeps[me] == seen_sleeps) -> goto looked }
       fi;
#endif
       /* futex_wait() */
       if
       :: atomic { state[me] == seen && caller_sleeps[me] == seen_sleeps -> caller_asleep[me] = true };
          !caller_asleep[me]
       :: !(state[me] == seen && caller_sleeps[me] == seen_sleeps)
       fi;
looked:
       atomic { seen = 0; seen_sleeps = false }
    od;
    atomic {
      state[me] = FREE; caller_sleeps[me] = false; calls++;
      if :: calls < CALLS -> goto next :: else -> done[me] = true fi
    }
  } unless { dead[me] }
}

#define forget_work s = 0; wakes = false; set_bits(hands, false)

/* The seat's workers, one after another. */
proctype Worker() {
  byte s; bool wakes; bool hands[CLIENTS]; bool is_new;
end_gone:
  do
  :: worker_lives ->
    {
      /* The bits that its predecessor had in its hands are gone: it looks at all words. */
#ifdef CANARY_BITS
      skip;
#else
      atomic { set_bits(hands, true) };
#endif
end_idle:
      do
      :: atomic { !any(hands) && any(pending) -> move_bits(pending, hands); sleeps = false }
      :: atomic { !any(hands) && !any(pending) && sleeps -> worker_asleep = true };
end_asleep:
         !worker_asleep
      :: atomic { !any(hands) && !any(pending) && !sleeps -> sleeps = true }
      :: atomic {
           any(hands) ->
           s = 0;
           do :: !hands[s] -> s++ :: else -> break od;
           hands[s] = false;
           if
           :: state[s] == REQUESTED -> state[s] = RUNNING
           :: else -> s = 0; goto end_idle
           fi
         };
         atomic {
           assert(state[s] == RUNNING || state[s] == ABANDONED);
           if
           :: state[s] == RUNNING -> state[s] = REPLIED; wakes = caller_sleeps[s]
           :: else -> state[s] = FREE; caller_sleeps[s] = false
           fi
         };
         atomic { if :: wakes -> caller_asleep[s] = false :: else fi; wakes = false; s = 0 }
      od
    } unless {
      atomic { kill_worker -> kill_worker = false; worker_lives = false; worker_asleep = false; forget_work }
    }
  od
}

inline walk_dead_worker() {
  do
  :: atomic {
       if
       :: state[s] == RUNNING -> state[s] = REPLIED
       :: state[s] == ABANDONED -> state[s] = FREE; caller_sleeps[s] = false
       :: else
       fi;
       wakes = (state[s] == REPLIED)
     };
#ifdef CANARY_WALK
     atomic { wakes = false; s++; if :: s >= CLIENTS -> s = 0; break :: else fi }
#else
     atomic { if :: wakes -> caller_asleep[s] = false :: else fi; wakes = false;
              s++; if :: s >= CLIENTS -> s = 0; break :: else fi }
#endif
  od
}

inline bury(c) {
  atomic {
    if
    :: state[c] == REQUESTED || state[c] == REPLIED -> state[c] = FREE; caller_sleeps[c] = false
    :: state[c] == RUNNING -> state[c] = ABANDONED
    :: else
    fi
  };
  buried[c] = true
}

proctype Supervisor() {
  byte s; bool wakes;
end_watch:
  do
  :: true ->
    {
      skip;
end_idle:
      do
      :: !worker_lives && !walked -> walk_dead_worker(); walked = true
      :: atomic { !worker_lives && walked -> walked = false; worker_lives = true }
      :: dead[0] && !buried[0] -> bury(0)
#if CLIENTS > 1
      :: dead[1] && !buried[1] -> bury(1)
#endif
      od
    } unless { atomic { kill_supervisor -> kill_supervisor = false; s = 0; wakes = false } }
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
  assert(worker_lives);
  for (i : 0 .. CLIENTS - 1) {
    assert(state[i] == FREE);
    assert(dead[i] || done[i])
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
