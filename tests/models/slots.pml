/* Slots, hints, the waiting line, one seat with successors, and the reaper; processes may die at any step.
 *
 * Follows client_lib/shm/slot_pool.cc, waiting_line.cc and reclaim.cc, a statement here for each atomic
 * operation there. A ring is a count of entries a value: its order does not matter for what is checked.
 *
 * Checked, when nothing can move any more: every live client has had exactly one outcome, every slot is FREE
 * and has a hint, nobody waits. And always: an owner finds its own word as it left it, and the reply
 * that it reads is the one to its own request.
 *
 *   spin -a slots.pml && cc -O2 -o pan pan.c && ./pan -m200000
 *   -DCANARY seeds a known bug (a popped hint of a busy slot keeps `listed`): the check must then fail.
 */
#ifndef NC
#define NC 2             /* clients; each makes one call */
#endif
#ifndef CLIENT_DEATHS
#define CLIENT_DEATHS 1
#endif
#ifndef WORKER_DEATHS
#define WORKER_DEATHS 1
#endif
#define NS 2
#define NOBODY 255

mtype = { FREE, CLAIMED, REQUESTED, RUNNING, REPLIED, ABANDONED };
mtype = { VACANT, WAITING, WOKEN };

mtype state[NS]; byte owner[NS]; byte gen[NS]; bool listed[NS]; byte hints[NS];
byte request_of[NS];     /* whose bytes lie in the request area, and */
byte reply_of[NS];       /* whose reply in the reply area */
bool lost[NS];

mtype waiter[NC]; bool in_line_flag[NC]; byte line[NC];
bool dead[NC]; bool reaped[NC]; byte outcomes[NC]; byte finished = 0;
bool worker_dead = false;
byte client_deaths = 0; byte worker_deaths = 0;

#define MAY_DIE \
  if :: client_deaths < CLIENT_DEATHS -> client_deaths++; dead[me] = true; finished++; goto gone \
     :: true fi

#define line_empty (line[0] == 0 && line[1] == 0 LINE_EMPTY_3)
#if NC > 2
#define LINE_EMPTY_3 && line[2] == 0
#else
#define LINE_EMPTY_3
#endif

/* WaitingLine::wake_one(): pops until it wakes somebody or the line is empty. Uses `w` and `woke`. The reaper is
 * not killed in here; a killed client or worker is covered by dying before or after each pop. */
inline wake_one() {
  woke = false;
  do
  :: woke || line_empty -> break
  :: !woke && line[0] > 0 -> line[0]--; w = 0; try_wake()
  :: !woke && line[1] > 0 -> line[1]--; w = 1; try_wake()
#if NC > 2
  :: !woke && line[2] > 0 -> line[2]--; w = 2; try_wake()
#endif
  od
}
inline try_wake() {
  atomic {
    in_line_flag[w] = false;
    if :: waiter[w] == WAITING -> waiter[w] = WOKEN; woke = true :: else fi
  }
}
inline enlist(i) {
  atomic { if :: !in_line_flag[i] -> in_line_flag[i] = true; mine = true :: else -> mine = false fi };
  if :: mine -> line[i]++ :: else fi
}
inline leave(i) {
  atomic { was_woken = (waiter[i] == WOKEN); waiter[i] = VACANT };
  if :: was_woken -> wake_one() :: else fi
}
/* SlotPool::try_release() after its CAS, which set `listed`; `mine` says that it was not set before. */
#define FREE_SLOT(s) \
  state[s] = FREE; gen[s] = (gen[s] + 1) % 4; owner[s] = NOBODY; lost[s] = false; \
  mine = !listed[s]; listed[s] = true

proctype Client(byte me) {
  byte s; byte g; byte w; bool woke; bool mine; bool was_woken; bool got;

  if :: line_empty -> skip :: else -> goto wait fi;
  /* the last slot, or a hint */
  if
  :: atomic { state[0] == FREE -> state[0] = CLAIMED; owner[0] = me; g = gen[0]; s = 0 }; goto owned
  :: atomic { hints[0] > 0 -> hints[0]--; s = 0 }
  :: atomic { hints[1] > 0 -> hints[1]--; s = 1 }
  :: hints[0] == 0 && hints[1] == 0 -> goto wait
  fi;
  MAY_DIE;
  atomic {
    if
    :: state[s] == FREE -> state[s] = CLAIMED; owner[s] = me; g = gen[s]; listed[s] = false; got = true
#ifdef CANARY
    :: else -> got = false
#else
    :: else -> listed[s] = false; got = false
#endif
    fi
  };
  if :: got -> goto owned :: else fi;

wait:
  waiter[me] = WAITING;
  MAY_DIE;
  enlist(me);
again:
  MAY_DIE;
  got = false; s = 0;
  do
  :: s < NS && !got ->
     atomic {
       if :: state[s] == FREE -> state[s] = CLAIMED; owner[s] = me; g = gen[s]; got = true
          :: else -> s++ fi
     }
  :: else -> break
  od;
  if
  :: got -> MAY_DIE; leave(me); goto owned
  :: else
  fi;
  (waiter[me] == WOKEN);
  MAY_DIE;
  waiter[me] = WAITING;
  enlist(me);
  goto again;

owned:
  MAY_DIE;
  assert(state[s] == CLAIMED && owner[s] == me && gen[s] == g);
  request_of[s] = me;
  state[s] = REQUESTED;
  MAY_DIE;
  if
  :: atomic { state[s] == REPLIED -> assert(owner[s] == me && gen[s] == g) };
     assert(lost[s] || reply_of[s] == me);
     outcomes[me]++
  :: atomic { state[s] == REQUESTED && owner[s] == me -> state[s] = CLAIMED }; outcomes[me]++
  :: atomic { state[s] == RUNNING && owner[s] == me && gen[s] == g -> state[s] = ABANDONED };
     outcomes[me]++; goto done
  fi;
  MAY_DIE;
  atomic { assert(owner[s] == me && gen[s] == g); FREE_SLOT(s) };
  MAY_DIE;
  if :: mine -> hints[s]++ :: else fi;
  MAY_DIE;
  wake_one();
done:
  finished++;
gone:
  skip
}

proctype Worker() {
  byte s; byte w; bool woke; bool mine; byte answered;
end_idle:
  do
  :: atomic { !worker_dead && state[0] == REQUESTED -> state[0] = RUNNING; s = 0 } -> goto serve
  :: atomic { !worker_dead && state[1] == REQUESTED -> state[1] = RUNNING; s = 1 } -> goto serve
  od;
serve:
  answered = request_of[s];
  if :: worker_deaths < WORKER_DEATHS -> worker_deaths++; worker_dead = true; goto end_idle :: true fi;
  reply_of[s] = answered;
  atomic {
    if :: state[s] == RUNNING -> state[s] = REPLIED; goto end_idle
       :: state[s] == ABANDONED -> FREE_SLOT(s) fi
  };
  if :: worker_deaths < WORKER_DEATHS -> worker_deaths++; worker_dead = true; goto end_idle :: true fi;
  if :: mine -> hints[s]++ :: else fi;
  if :: worker_deaths < WORKER_DEATHS -> worker_deaths++; worker_dead = true; goto end_idle :: true fi;
  wake_one();
  goto end_idle
}

/* audit_hints(): the words first, then the rings; a change only to exactly the word that was read, and again
 * until it is made (-DCANARY_AUDIT gives up instead, which loses slots). */
inline audit_hints() {
  s = 0;
  do
  :: s < NS ->
     seen = state[s]; seen_gen = gen[s]; seen_listed = listed[s]; hinted = (hints[s] > 0);
     do
     :: hinted -> mine = false; break
     :: else ->
        atomic {
          if
          :: state[s] != seen || gen[s] != seen_gen || listed[s] != seen_listed ->
#ifdef CANARY_AUDIT
             mine = false; hinted = true
#else
             seen = state[s]; seen_gen = gen[s]; seen_listed = listed[s]
#endif
          :: else ->
             mine = (seen == FREE); listed[s] = mine; break
          fi
        }
     od;
     if :: mine -> hints[s]++; wake_one() :: else fi;
     s++
  :: else -> break
  od
}
#define SOMEBODY_STRANDED \
  ((waiter[0] == WAITING && !dead[0]) || (waiter[1] == WAITING && !dead[1]) STRANDED_3)
#if NC > 2
#define STRANDED_3 || (waiter[2] == WAITING && !dead[2])
#else
#define STRANDED_3
#endif
inline wake_all() {
  w = 0;
  do
  :: w < NC -> atomic { if :: waiter[w] == WAITING -> waiter[w] = WOKEN :: else fi }; w++
  :: else -> break
  od
}

proctype Reaper() {
  byte s; byte c; byte w; bool woke; bool mine; bool was_woken; bool hinted; bool seen_listed;
  byte seen_gen; mtype seen;
end_watch:
  do
  :: worker_dead ->
     s = 0;
     do
     :: s < NS ->
        atomic {
          mine = false; woke = false;
          if :: state[s] == RUNNING -> state[s] = REPLIED; lost[s] = true
             :: state[s] == ABANDONED -> FREE_SLOT(s); woke = true
             :: else fi
        };
        if :: mine -> hints[s]++ :: else fi;
        if :: woke -> wake_one() :: else fi;
        s++
     :: else -> break
     od;
     audit_hints();
     worker_dead = false
  :: dead[0] && !reaped[0] -> c = 0; goto reap
  :: dead[1] && !reaped[1] -> c = 1; goto reap
#if NC > 2
  :: dead[2] && !reaped[2] -> c = 2; goto reap
#endif
  :: SOMEBODY_STRANDED && (state[0] == FREE || state[1] == FREE) -> wake_all()
  od;
reap:
  s = 0;
  do
  :: s < NS ->
     atomic {
       mine = false; woke = false;
       if
       :: owner[s] == c && (state[s] == CLAIMED || state[s] == REQUESTED || state[s] == REPLIED) ->
          FREE_SLOT(s); woke = true
       :: owner[s] == c && state[s] == RUNNING -> state[s] = ABANDONED
       :: else
       fi
     };
     if :: mine -> hints[s]++ :: else fi;
     if :: woke -> wake_one() :: else fi;
     s++
  :: else -> break
  od;
  if :: waiter[c] != VACANT -> leave(c) :: else fi;
  audit_hints();
  reaped[c] = true;
  goto end_watch
}

active proctype Judge() {
  byte i;
end_judge:
  timeout ->
  assert(finished == NC && !worker_dead);
  i = 0;
  do
  :: i < NS -> assert(state[i] == FREE && listed[i] && hints[i] > 0); i++
  :: else -> break
  od;
  i = 0;
  do
  :: i < NC ->
     assert(dead[i] -> outcomes[i] <= 1 : outcomes[i] == 1);
     assert(waiter[i] == VACANT); i++
  :: else -> break
  od
}

init {
  byte i;
  atomic {
    i = 0;
    do
    :: i < NS -> state[i] = FREE; owner[i] = NOBODY; listed[i] = true; hints[i] = 1; i++
    :: else -> break
    od;
    i = 0;
    do
    :: i < NC -> waiter[i] = VACANT; run Client(i); i++
    :: else -> break
    od;
    run Worker(); run Reaper()
  }
}
