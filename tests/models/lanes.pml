/* The lanes of one running call: how items go both ways while the slot is RUNNING, and who sleeps in between.
 *
 * Follows client_lib/shm/lane.cc, WorkerSeat::await_caller(), sleep_for_caller(), ask_to_be_rung(), tell_caller()
 * and let_go(), ClientCore::await(), sleep_until(), tell_worker(), wake_caller() and end_call(),
 * StreamCall::next(), await_room() and close_writing(), SlotPool::try_abandon(), and reclaim.cc: one statement
 * here for each access to shared memory or call of futex() there. The handler answers each item with one (or
 * only reads, or only writes), or ends before. The client has two threads, one at each end of its stream, which take turns to sleep on the
 * word (word_turn.h); a third requests a stop. How the call got its slot is slots.pml and line.pml. The tools' lanes are the same code.
 *
 * Nothing is fair here, and each process is a block `unless` it was killed: see bells.pml. There is no deadline.
 * Who sleeps looks by itself once a second (next_self_check()), which would hide a wake that is lost. So nobody
 * does here, but for a worker whose client, or a supervisor, has died: they may have died between ABANDONED, or
 * the flag that they took away, and the bell, and only that look finds out.
 * A seat that serves its calls by several threads (SeatWaiting) is not here.
 *
 * Checked: each item arrives once, whole and in order, and all that were published do before a reply or a loss is
 * told; when nothing can move any more, nobody alive is left asleep, and the slot was freed once.
 *
 * Run by tests/models/check, which says with what. The CANARY_s are known bugs: each must be found.
 */
#ifndef ENTRIES
#define ENTRIES 2          /* of a lane: the credit */
#endif
#ifndef OUT
#define OUT 3              /* items from the client */
#endif
#ifndef IN
#define IN 3               /* items to it; as many as OUT, or one of them is 0 */
#endif
#if OUT > 0
#define ITEMS OUT
#else
#define ITEMS IN
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
#ifndef STOPS
#define STOPS 1
#endif

/* The slot word, whose low half is what callers sleep on: a state and two flags. */
#define FREE 0
#define SLEEPS 1           /* kFlagCallerSleeps */
#define WAITS 2            /* kFlagWorkerWaits */
#define REQUESTED 4
#define RUNNING 8
#define REPLIED 16
#define ABANDONED 32
#define flags_of(w) ((w) & 3)
#define is_in(w, states) (((w) & (states)) != 0)
#define under_way(w) is_in(w, REQUESTED | RUNNING)      /* ClientCore::awaits_reply() */

byte word = REQUESTED;
byte frees;

/* A lane each way: from the client, and to it. */
byte out_item[ENTRIES];
byte out_produced;
byte out_consumed;
byte in_item[ENTRIES];
byte in_produced;
byte in_consumed;

bool asleep[2];            /* whether the client's thread is in futex_wait(): the reader, the writer */
bool taken;                /* the turn to sleep on the word */
bool stale[2];             /* whether the turn was passed on since the thread read it */
bool follows[2];           /* whether the thread sleeps until it is */
bool registered[2];        /* their std::stop_callbacks */
bool stop;
mtype = { IDLE, WRITING, CLOSING, CLOSED };
mtype writing = IDLE;      /* StreamCall::writing_ */

/* The doorbell, of which one bit matters. */
bool pending = true;
bool sleeps;
bool worker_asleep;

bool lost;
bool ended_early;
bool walked;
bool worker_lives = true;
bool kill_worker;
bool kill_supervisor;
bool supervisor_died;
bool dead;
bool buried;
bool read_all;
bool wrote_all;
byte client_deaths = CLIENT_DEATHS;
byte worker_deaths = WORKER_DEATHS;
byte supervisor_deaths = SUPERVISOR_DEATHS;

#define wake_all asleep[0] = false; asleep[1] = false

/* SlotPool::ring_worker() */
inline ring_worker() {
  atomic { wakes = sleeps; pending = true };
  atomic { if :: wakes -> worker_asleep = false :: else fi; wakes = false }
}

/* --- the client */

inline tell_worker() {
  seen = word;
  do
  :: atomic { !(is_in(seen, WAITS) && is_in(seen, RUNNING)) -> seen = 0; break }
  :: atomic { is_in(seen, WAITS) && is_in(seen, RUNNING) && word != seen -> seen = word }
  :: atomic { is_in(seen, WAITS) && is_in(seen, RUNNING) && word == seen -> word = word - WAITS; seen = 0 };
     ring_worker();
     break
  od
}

inline wake_caller() {
  seen = word;
  do
  :: atomic { under_way(seen) && word != seen -> seen = word }
  :: atomic { under_way(seen) && word == seen -> word = word & ~SLEEPS; break }
  :: atomic { !under_way(seen) -> break }
  od;
  atomic { wake_all; seen = 0 }
}

/* WordTurn: of the two threads one sleeps on the word, the other on a word of their own; what changes that is one
   step here, since neither can die alone. */
inline pass_on() {
  atomic { stale[0] = true; stale[1] = true; follows[0] = false; follows[1] = false }
}

inline sleep_until(me, ready) {
  atomic { registered[me] = true; stale[me] = false };
#ifdef CANARY_TURN
  sleep_on_word(me, ready);
#else
  if
  :: atomic { !taken -> taken = true };
     sleep_on_word(me, ready);
     taken = false;
     pass_on()
  :: atomic { taken };
     if
     :: stop || !under_way(word)
     :: !stop && under_way(word) ->
        if
        :: ready
        :: !(ready) ->
           if
           :: stale[me]
           :: atomic { !stale[me] -> follows[me] = true }; !follows[me]
           fi
        fi
     fi
  fi;
#endif
  atomic { registered[me] = false; seen = 0 }
}

inline sleep_on_word(me, ready) {
  seen = word;
  do
  :: atomic { !under_way(seen) -> break }
  :: atomic { under_way(seen) && !is_in(seen, SLEEPS) && word != seen -> seen = word }
  :: atomic { under_way(seen) && !is_in(seen, SLEEPS) && word == seen -> word = word | SLEEPS; seen = word }
  :: atomic { under_way(seen) && is_in(seen, SLEEPS) };
     pass_on();
#ifdef CANARY_READY
     if :: stop :: !stop -> futex_wait(me) fi;
#else
     if :: stop :: !stop -> if :: ready :: !(ready) -> futex_wait(me) fi fi;
#endif
     break
  od
}

inline futex_wait(me) {
  if
  :: atomic { word == seen -> asleep[me] = true }; !asleep[me]
  :: word != seen
  fi
}

inline release_read() {
  if
  :: in_consumed != got -> in_consumed = got; tell_worker()
  :: in_consumed == got
  fi
}

inline close_writing() {
  if
  :: atomic { writing == IDLE || writing == CLOSED -> writing = CLOSED }
  :: atomic { writing == WRITING -> writing = CLOSING };
     wake_caller();
     writing == CLOSED
  fi
}

inline free_slot() {
  assert(frees == 0 && word != FREE);
  word = FREE; frees++
}

proctype Reader() {
  byte seen; byte got; bool wakes; bool outcome;
  {
    do
    :: atomic { in_produced != got && !stop };
#ifdef CANARY_RELEASE
       in_consumed = got + 1;
       tell_worker();
#endif
       atomic { assert(in_item[got % ENTRIES] == got + 1); got++ };
       /* The room goes back now, or before it waits. */
       if :: release_read() :: skip fi
    :: in_produced == got && outcome -> break
    :: atomic { in_produced == got && !outcome && !stop };
       release_read();
       /* await() */
       do
       :: in_produced != got -> break
       :: atomic { in_produced == got };
          if
          :: atomic { !under_way(word) };
             close_writing();
#ifdef CANARY_LAST
             goto finished;
#endif
             outcome = true;
             break
          :: atomic { under_way(word) && stop -> break }
          :: atomic { under_way(word) && !stop };
             sleep_until(0, in_produced != got)
          fi
       od
    :: stop && !outcome -> goto given_up
    :: atomic { stop && outcome && in_produced != got -> break }
    od;
    assert(stop || got == in_produced);
    assert(stop || lost || ended_early || got == IN);
finished:
    atomic {
      assert(is_in(word, REPLIED) && (stop || got == in_produced));
      free_slot(); read_all = true; goto over
    };
given_up:
    close_writing();
    /* end_call() */
    if
    :: atomic { is_in(word, REQUESTED | REPLIED) -> free_slot() }
    :: atomic { is_in(word, RUNNING) -> seen = word; word = ABANDONED | flags_of(word) };
#ifndef CANARY_ABANDON
       if
       :: is_in(seen, WAITS) -> ring_worker()
       :: !is_in(seen, WAITS)
       fi
#endif
    fi;
    atomic { seen = 0; read_all = true };
over:
    skip
  } unless { dead }
}

#define has_room (out_produced - out_consumed < ENTRIES)

proctype Writer() {
  byte seen; bool wakes;
  {
    do
    :: out_produced == OUT -> break
    :: out_produced < OUT ->
       if
       :: atomic { writing == CLOSED -> break }
       :: atomic { writing == IDLE -> writing = WRITING }
       fi;
       do
       :: has_room -> goto write
       :: !has_room ->
          if
          :: atomic { writing == CLOSING || !under_way(word) || stop -> goto ended }
          :: atomic { writing != CLOSING && under_way(word) && !stop };
             sleep_until(1, writing == CLOSING || has_room)
          fi
       od;
write:
       out_item[out_produced % ENTRIES] = out_produced + 1;
#ifdef CANARY_TELL
       tell_worker();
       out_produced++;
#else
       out_produced++;
       tell_worker();
#endif
       /* end_write() */
       atomic { if :: writing == WRITING -> writing = IDLE :: writing == CLOSING -> writing = CLOSED fi }
    od;
ended:
    atomic {
      if :: writing == WRITING -> writing = IDLE :: writing == CLOSING -> writing = CLOSED :: else fi;
      wrote_all = true
    }
  } unless { dead }
}

/* Of another thread: who is registered is called. */
proctype Stopper() {
  byte seen;
  {
    skip;
#if STOPS > 0
    if
    :: atomic {
         stop = true;
         if :: registered[0] || registered[1] :: else -> goto over fi
       };
       wake_caller()
    :: skip
    fi;
#endif
over:
    skip
  } unless { dead }
}

/* --- the worker */

#define has_item (out_produced != got)
#define gone (!is_in(word, RUNNING))
#define forget_work got = 0; seen = 0; wakes = false; hands = false; is_gone = false

inline tell_caller() {
  seen = word;
  do
  :: atomic { !(is_in(seen, RUNNING) && is_in(seen, SLEEPS)) -> seen = 0; break }
  :: atomic { is_in(seen, RUNNING) && is_in(seen, SLEEPS) && word != seen -> seen = word }
  :: atomic { is_in(seen, RUNNING) && is_in(seen, SLEEPS) && word == seen -> word = word - SLEEPS; seen = 0 };
     atomic { wake_all };
     break
  od
}

inline ask_to_be_rung() {
  seen = word;
  do
  :: atomic { !is_in(seen, RUNNING) || is_in(seen, WAITS) -> seen = 0; break }
  :: atomic { is_in(seen, RUNNING) && !is_in(seen, WAITS) ->
              if :: word == seen -> word = word | WAITS; seen = word :: else -> seen = word fi }
  od
}

/* Woken, or by itself (see above). */
inline sleep_on_bell(done) {
  if
  :: pending -> atomic { pending = false; sleeps = false; hands = true }
  :: !pending ->
     if
     :: atomic { pending }
     :: atomic { !pending -> sleeps = true };
        if
        :: atomic { pending }
        :: atomic { !pending -> worker_asleep = true };
           if
           :: !worker_asleep
           :: atomic { worker_asleep && (dead || supervisor_died) && (gone || (done)) -> worker_asleep = false }
           fi
        fi
     fi
  fi
}

inline await_caller(done) {
  do
  :: atomic { done -> is_gone = false; break }
  :: atomic { !(done) };
     if
     :: atomic { gone -> is_gone = true; break }
     :: atomic { !gone };
#ifdef CANARY_FLAG
        if :: done :: !(done) -> if :: gone :: !gone -> ask_to_be_rung(); sleep_on_bell(done) fi fi
#else
        ask_to_be_rung();
        if :: done :: !(done) -> if :: gone :: !gone -> sleep_on_bell(done) fi fi
#endif
     fi
  od
}

inline serve() {
  do
  :: got < ITEMS ->
#if OUT > 0
     await_caller(has_item);
     if :: is_gone -> break :: else fi;
     atomic { assert(out_item[got % ENTRIES] == got + 1); got++ };
     out_consumed = got;
     tell_caller();
#else
     got++;
#endif
#if IN > 0
     await_caller(in_produced - in_consumed < ENTRIES);
     if :: is_gone -> break :: else fi;
     in_item[in_produced % ENTRIES] = got;
     in_produced++;
     tell_caller()
#endif
  :: got == ITEMS -> break
  :: atomic { got < ITEMS -> ended_early = true; break }
  od;
  /* let_go() */
  if
  :: atomic { is_in(word, RUNNING) -> seen = word; word = REPLIED | flags_of(word) };
     if :: is_in(seen, SLEEPS) -> atomic { wake_all } :: !is_in(seen, SLEEPS) fi
  :: atomic { is_in(word, ABANDONED) -> free_slot() }
  fi;
  atomic { got = 0; seen = 0; is_gone = false }
}

/* The seat's workers, one after another. */
proctype Worker() {
  byte got; byte seen; bool wakes; bool hands; bool is_gone;
end_gone:
  do
  :: worker_lives ->
    {
      atomic { hands = true };
end_idle:
      do
      :: atomic { !hands && pending -> pending = false; sleeps = false; hands = true }
      :: atomic { !hands && !pending && sleeps -> worker_asleep = true };
end_asleep:
         !worker_asleep
      :: atomic { !hands && !pending && !sleeps -> sleeps = true }
      :: atomic { hands ->
           hands = false;
           if
           :: is_in(word, REQUESTED) -> word = RUNNING | flags_of(word)
           :: else -> goto end_idle
           fi
         };
         serve()
      od
    } unless {
      atomic { kill_worker -> kill_worker = false; worker_lives = false; worker_asleep = false; forget_work }
    }
  od
}

/* --- the supervisor */

inline walk_dead_worker() {
  atomic {
    if
    :: is_in(word, RUNNING) -> word = REPLIED | flags_of(word); lost = true
    :: is_in(word, ABANDONED) -> free_slot()
    :: else
    fi;
    wakes = is_in(word, REPLIED)
  };
  /* Whatever the flags say: the worker may have died between the flag and the wake. */
#ifdef CANARY_WALK
  atomic { wakes = false };
#endif
  atomic { if :: wakes -> wake_all :: else fi; wakes = false };
  walked = true
}

inline bury() {
  atomic {
    if
    :: is_in(word, REQUESTED | REPLIED) -> free_slot()
    :: is_in(word, RUNNING) -> seen = word; word = ABANDONED | flags_of(word)
    :: else
    fi
  };
  if
  :: is_in(seen, WAITS) -> ring_worker()
  :: !is_in(seen, WAITS)
  fi;
  atomic { seen = 0; buried = true }
}

proctype Supervisor() {
  byte seen; bool wakes;
end_watch:
  do
  :: true ->
    {
      skip;
end_idle:
      do
      :: !worker_lives && !walked -> walk_dead_worker()
      :: atomic { !worker_lives && walked -> walked = false; worker_lives = true }
      :: dead && !buried -> bury()
      od
    } unless { atomic { kill_supervisor -> kill_supervisor = false; supervisor_died = true; seen = 0; wakes = false } }
  od
}

active proctype Death() {
end_spent:
  do
  :: d_step { client_deaths > 0 && !(read_all && wrote_all) -> client_deaths--; dead = true }
  :: d_step { worker_deaths > 0 && worker_lives && !kill_worker -> worker_deaths--; kill_worker = true }
  :: d_step { supervisor_deaths > 0 && !kill_supervisor -> supervisor_deaths--; kill_supervisor = true }
     /* As many as that need not die. */
  :: d_step { client_deaths + worker_deaths + supervisor_deaths > 0 ->
              client_deaths = 0; worker_deaths = 0; supervisor_deaths = 0 }
  od
}

active proctype Judge() {
end_watch:
  timeout ->
  assert(worker_lives);
  assert(word == FREE && frees == 1);
  assert(dead || (read_all && wrote_all))
}

init {
  atomic {
    run Reader();
    run Writer();
    run Stopper();
    run Worker();
    run Supervisor()
  }
}
