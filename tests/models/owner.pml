/* The owner's bell: how the one thread that looks after a client's asynchronous calls learns of each reply,
 * with itself asleep in between.
 *
 * Follows client_lib/shm/owner_bell.h and doorbell.h, AsyncCalls::put_in_place(), look_at() and sleep(),
 * WorkerSeat::let_go(), and reclaim_worker(): one statement here for each access to shared memory, to the
 * places of calls, or call of futex() there. Each caller has a slot of its own.
 *
 * Pauses: nothing is fair here. Deaths: each process is a block `unless` it was killed; Death kills workers
 * and supervisors between any two steps: between REPLIED and the ring, between the ring and the wake.
 * The thread has no clock here: what it looks at by itself once in a while may be of use only to those that
 * a peer scribbled over.
 *
 * Checked when nothing can move any more: each call had its outcome, once, and all slots are free.
 *
 * Run by tests/models/check, which says with what. The CANARY_s are known bugs: each must be found.
 */
#ifndef CALLERS
#define CALLERS 2
#endif
#ifndef CALLS
#define CALLS 1            /* of each */
#endif
#ifndef WORKER_DEATHS
#define WORKER_DEATHS 1
#endif
#ifndef SUPERVISOR_DEATHS
#define SUPERVISOR_DEATHS 1
#endif

mtype = { FREE, REQUESTED, RUNNING, REPLIED };

mtype state[CALLERS] = FREE;
bool in_place[CALLERS];            /* AsyncCalls::sent_ */
byte outcomes[CALLERS];

/* The bell: one word. */
bool pending[CALLERS];
bool sleeps;
bool asleep;                       /* whether the thread is in futex_wait() */

bool walked;
bool worker_lives = true;
bool kill_worker;
bool kill_supervisor;
byte worker_deaths = WORKER_DEATHS;
byte supervisor_deaths = SUPERVISOR_DEATHS;

#if CALLERS > 1
#define any(bits) (bits[0] || bits[1])
#define move_bits(from, to) to[0] = from[0]; to[1] = from[1]; from[0] = false; from[1] = false
#else
#define any(bits) (bits[0])
#define move_bits(from, to) to[0] = from[0]; from[0] = false
#endif

/* ring_owner(): two steps, and who dies between them wakes nobody. */
#ifdef CANARY_RINGER
#define ring(s) atomic { pending[s] = true; wakes = sleeps; sleeps = false }
#else
#define ring(s) atomic { pending[s] = true; wakes = sleeps }
#endif
#define wake() atomic { if :: wakes -> asleep = false :: else fi; wakes = false }

proctype Caller(byte me) {
  byte calls; bool wakes;
next:
  /* Its slot may be had again from when it is free. */
  atomic { state[me] == FREE -> state[me] = REQUESTED };
  in_place[me] = true;
#ifndef CANARY_PLACE
  if
  :: atomic { state[me] == REPLIED -> pending[me] = true; wakes = sleeps }; wake()
  :: state[me] != REPLIED
  fi;
#endif
  atomic { calls++; if :: calls < CALLS -> goto next :: else fi }
}

proctype Thread() {
  byte s; bool hands[CALLERS];
end_idle:
  do
  :: atomic { !any(hands) && any(pending) -> move_bits(pending, hands); sleeps = false }
  :: atomic { !any(hands) && !any(pending) && !sleeps -> sleeps = true }
#ifdef CANARY_SLEEP
  :: !any(hands) && !any(pending) && sleeps -> asleep = true;
#else
  :: atomic { !any(hands) && !any(pending) && sleeps -> asleep = true };
#endif
end_asleep:
     !asleep
  :: atomic {
       any(hands) ->
       s = 0;
       do :: !hands[s] -> s++ :: else -> break od;
       hands[s] = false
     };
     /* Out of its place while it may end. */
     if
     :: atomic { in_place[s] -> in_place[s] = false };
        if
        :: atomic { state[s] == REPLIED -> outcomes[s]++; state[s] = FREE }
        :: atomic { state[s] != REPLIED -> skip }; in_place[s] = true
        fi
     :: !in_place[s]
     fi;
     s = 0
  od
}

proctype Worker() {
  byte s; bool wakes;
end_gone:
  do
  :: worker_lives ->
    {
end_idle:
      do
      :: atomic { state[0] == REQUESTED -> state[0] = RUNNING; s = 0 }; state[s] = REPLIED; ring(s); wake()
#if CALLERS > 1
      :: atomic { state[1] == REQUESTED -> state[1] = RUNNING; s = 1 }; state[s] = REPLIED; ring(s); wake()
#endif
      od
    } unless {
      atomic { kill_worker -> kill_worker = false; worker_lives = false; s = 0; wakes = false }
    }
  od
}

proctype Supervisor() {
  byte s; bool wakes;
end_watch:
  do
  :: true ->
    {
end_idle:
      do
      :: !worker_lives && !walked ->
         s = 0;
         do
         :: s < CALLERS ->
            atomic { if :: state[s] == RUNNING -> state[s] = REPLIED :: else fi };
#ifndef CANARY_WALK
            if
            :: state[s] == REPLIED -> ring(s); wake()
            :: state[s] != REPLIED
            fi;
#endif
            s++
         :: s == CALLERS -> s = 0; break
         od;
         walked = true
      :: atomic { !worker_lives && walked -> walked = false; worker_lives = true }
      od
    } unless { atomic { kill_supervisor -> kill_supervisor = false; s = 0; wakes = false } }
  od
}

active proctype Death() {
end_spent:
  do
  :: d_step { worker_deaths > 0 && worker_lives && !kill_worker -> worker_deaths--; kill_worker = true }
  :: d_step { supervisor_deaths > 0 && !kill_supervisor -> supervisor_deaths--; kill_supervisor = true }
     /* As many as that need not die. */
  :: d_step { worker_deaths + supervisor_deaths > 0 -> worker_deaths = 0; supervisor_deaths = 0 }
  od
}

active proctype Judge() {
  byte i;
end_watch:
  timeout ->
  for (i : 0 .. CALLERS - 1) {
    assert(state[i] == FREE && !in_place[i]);
    assert(outcomes[i] == CALLS)
  }
}

init {
  byte i;
  atomic {
    for (i : 0 .. CALLERS - 1) { run Caller(i) }
    run Thread();
    run Worker();
    run Supervisor()
  }
}
