/* The threads that serve one seat: how each learns of a request, or of what the caller of its own call sent,
 * with all of them asleep in between.
 *
 * Follows client_lib/shm/seat_waiting.cc, WorkerSeat::try_next() and await_caller_beside_others(), and
 * ClientCore::tell_worker(). What a thread does under the mutex is one step here, since nobody else is
 * inside; all else is one statement for each access to shared memory or call of futex(). Of waiters that may
 * be woken for a request, any may be. Interrupts and listen() are left out.
 *
 * Each call is a dialogue of one turn: its thread waits for an item of the caller. With DEPENDS the handler of
 * slot 0 works, instead, until the other call is over. Pauses: nothing is fair.
 * Deaths: of clients, between any two steps, such as between the ring and the wake; a worker's threads die
 * together, and the successor looks at all words (bells.pml).
 * Nothing wakes by itself here: who is forgotten in its sleep hangs.
 *
 * Checked when nothing can move any more: each live client had its reply, and no call runs.
 *
 * Run by tests/models/check, which says with what. The CANARY_s are known bugs: each must be found.
 */
#ifndef THREADS
#define THREADS 2          /* 2 or 3 */
#endif
#ifndef CLIENTS
#define CLIENTS 2
#endif
#ifndef CLIENT_DEATHS
#define CLIENT_DEATHS 0
#endif

mtype = { FREE, REQUESTED, RUNNING, REPLIED };

mtype state[CLIENTS] = FREE;
bool worker_waits[CLIENTS];        /* kFlagWorkerWaits */
bool item[CLIENTS];                /* in the lane */
bool gone[CLIENTS];                /* ABANDONED */
bool dead[CLIENTS];
bool buried[CLIENTS];
bool done_client[CLIENTS];
byte client_deaths = CLIENT_DEATHS;

/* The bell: one word. */
bool pending[CLIENTS];
bool attention;
bool sleeps;
bool leader_asleep;                /* in futex_wait() on it */

/* SeatWaiting. */
#define NOBODY 255
#define NOT 0                      /* it does not wait */
#define FOR_REQUEST 1              /* else: for the caller of slot kind - 2 */
bool requests[CLIENTS];
byte leader = NOBODY;
byte kind[THREADS];
bool told[THREADS];                /* Waiter::done */
bool signalled[THREADS];
bool asleep[THREADS];

#if CLIENTS > 1
#define any(bits) (bits[0] || bits[1])
#define clear(bits) bits[0] = false; bits[1] = false
#define move_bits(from, to) to[0] = from[0]; to[1] = from[1]; clear(from)
#define add_bits(from, to) to[0] = to[0] || from[0]; to[1] = to[1] || from[1]; clear(from)
#else
#define any(bits) (bits[0])
#define clear(bits) bits[0] = false
#define move_bits(from, to) to[0] = from[0]; clear(from)
#define add_bits(from, to) to[0] = to[0] || from[0]; clear(from)
#endif
#define rung (any(pending) || attention)

inline signal(w) {
  signalled[w] = true;
  if
  :: w != leader -> asleep[w] = false
  :: else ->
     attention = true;
     if :: sleeps -> leader_asleep = false :: else fi
  fi
}

#if THREADS > 2
#define some(condition) (condition(0) || condition(1) || condition(2))
#define pick(w, condition) if :: condition(0) -> w = 0 :: condition(1) -> w = 1 :: condition(2) -> w = 2 fi
#else
#define some(condition) (condition(0) || condition(1))
#define pick(w, condition) if :: condition(0) -> w = 0 :: condition(1) -> w = 1 fi
#endif
#define for_request(w) (kind[w] == FOR_REQUEST)
#define woken(w) (kind[w] == FOR_REQUEST && told[w])
#define waiting(w) (kind[w] != NOT)

inline wake_one_for_request(taker) {
  if
  :: taker != NOBODY && for_request(me) -> told[me] = true
  :: else ->
     if
     :: some(woken) || !some(for_request)
     :: else -> pick(w, for_request); told[w] = true; signal(w)
     fi
  fi
}

/* Of what was taken from the bell. */
inline hand_out(taker) {
  for (w : 0 .. THREADS - 1) {
    if
    :: kind[w] > FOR_REQUEST && taken[kind[w] - 2] ->
       taken[kind[w] - 2] = false; told[w] = true; signal(w)
    :: else
    fi
  }
  if
  :: any(taken) -> add_bits(taken, requests); wake_one_for_request(taker)
  :: else
  fi
}
#define take_bell() move_bits(pending, taken); attention = false; sleeps = false

inline leave() {
  kind[me] = NOT; told[me] = false; signalled[me] = false;
#ifndef CANARY_LEAVE
  if
  :: leader == NOBODY && some(waiting) -> pick(w, waiting); signal(w)
  :: else
  fi
#endif
}

/* Leads, or follows until it is signalled. */
inline wait_once() {
  if
  :: atomic { leader == NOBODY -> leader = me };
     do
     :: rung || signalled[me] -> break
     :: atomic { !rung && !signalled[me] -> skip };
        if
        :: atomic { !rung -> sleeps = true };
           if
           :: atomic { !rung && sleeps -> leader_asleep = true };
end_leads:    !leader_asleep
           :: rung || !sleeps
           fi
        :: rung
        fi
     od;
     atomic {
       leader = NOBODY; signalled[me] = false;
       if :: rung -> take_bell(); hand_out(me) :: else fi;
       w = 0
     }
  :: atomic { leader != NOBODY -> skip };
     if
     :: atomic { !signalled[me] -> asleep[me] = true };
end_follows: !asleep[me]
     :: signalled[me]
     fi;
     signalled[me] = false
  fi
}

proctype Thread(byte me) {
  byte s; byte w; bool hands[CLIENTS]; bool taken[CLIENTS];
next:
  atomic {
    if :: leader == NOBODY && rung -> take_bell(); hand_out(NOBODY) :: else fi;
    move_bits(requests, hands); w = 0
  };
  do
  :: atomic {
       any(hands) ->
       s = 0;
       do :: !hands[s] -> s++ :: else -> break od;
       hands[s] = false;
       if
       :: state[s] == REQUESTED -> state[s] = RUNNING; goto serve
       :: else -> s = 0
       fi
     }
  :: !any(hands) -> break
  od;

  /* await_request() */
  atomic { kind[me] = FOR_REQUEST; told[me] = false; signalled[me] = false };
  do
  :: atomic { !told[me] && !any(requests) -> skip }; wait_once()
  :: atomic { told[me] || any(requests) -> leave(); w = 0; goto next }
  od;

serve:
  atomic {
#ifdef CANARY_GIVE
    add_bits(hands, requests);
#else
    if :: any(hands) -> add_bits(hands, requests); wake_one_for_request(NOBODY) :: else fi;
#endif
    w = 0
  };
#ifdef DEPENDS
  /* This handler waits for no caller: it works until the other call is over. */
  if
  :: s == 0 -> done_client[1] || dead[1]; goto end_call
  :: s != 0
  fi;
#endif
  /* await_slot() */
  atomic { kind[me] = s + 2; told[me] = false; signalled[me] = false };
  do
  :: atomic { if :: !gone[s] -> worker_waits[s] = true :: else fi };
     if
     :: atomic { item[s] || gone[s] -> break }
     :: atomic { !item[s] && !gone[s] -> skip }
     fi;
     do
     :: atomic { !told[me] -> skip }; wait_once()
     :: atomic { told[me] -> told[me] = false; break }
     od
  od;
  atomic { leave(); w = 0 };
end_call:
  atomic {
    assert(state[s] == RUNNING);
    worker_waits[s] = false;
    state[s] = (gone[s] -> FREE : REPLIED);
    s = 0
  };
  goto next
}

#define ring(c) atomic { pending[c] = true; wakes = sleeps }
#define wake() atomic { if :: wakes -> leader_asleep = false :: else fi; wakes = false }

proctype Client(byte me) {
  bool wakes; bool tells;
  {
    state[me] = REQUESTED;
    ring(me);
    wake();
    item[me] = true;
    atomic { tells = (state[me] == RUNNING && worker_waits[me]); worker_waits[me] = false };
    if
    :: tells -> ring(me); wake()
    :: !tells
    fi;
    atomic { state[me] == REPLIED -> state[me] = FREE; done_client[me] = true }
  } unless { dead[me] }
}

#define may_die(c) client_deaths > 0 && !dead[c] && !done_client[c]

/* And the reaper. */
active proctype Death() {
  bool wakes; bool tells;
end_spent:
  do
  :: atomic { may_die(0) -> client_deaths--; dead[0] = true };
     atomic {
       if
       :: state[0] == REQUESTED || state[0] == REPLIED -> state[0] = FREE
       :: state[0] == RUNNING ->
          gone[0] = true;
#ifdef CANARY_WALK
          tells = worker_waits[0];
#else
          tells = true;
#endif
          worker_waits[0] = false
       :: else
       fi
     };
     if
     :: tells -> ring(0); wake()
     :: !tells
     fi;
     atomic { buried[0] = true; tells = false }
  :: atomic { client_deaths > 0 -> client_deaths = 0 }
  od
}

active proctype Judge() {
  byte i;
end_watch:
  timeout ->
  for (i : 0 .. CLIENTS - 1) {
    assert(state[i] == FREE);
    assert(done_client[i] || (dead[i] && buried[i]))
  }
}

init {
  byte i;
  atomic {
    for (i : 0 .. CLIENTS - 1) { run Client(i) }
    for (i : 0 .. THREADS - 1) { run Thread(i) }
  }
}
