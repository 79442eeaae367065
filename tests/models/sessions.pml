/* One chain of the session table: processes that create, find and end sessions of two names, and the audit
 * after deaths.
 *
 * Follows client_lib/shm/session_chain.cc and session_table.cc: one statement here for each access to shared
 * memory there. A record's word (state, incarnation, and who creates it) is one, its link (next, own incarnation,
 * mark) is one, the bucket (first record, its incarnation) is one; a name is written and read at once, which the
 * look at the word after it makes up for there. Which vacant record is taken is left open.
 *
 * Pauses: nothing is fair here, so between any two steps of a process all others may run as far as they can.
 * Deaths: each process is a block `unless` it was killed, and Death kills users and supervisors between any two
 * steps. A new supervisor follows, which knows of the past only who is dead.
 *
 * Checked always: no two records are ACTIVE with one name; no record is ACTIVE that no link leads to; no chain is
 * one that a walk calls broken. Checked when nothing can move any more: the ACTIVE records, and they alone, are in
 * the chain, and all others are VACANT, whoever died.
 *
 * Run by tests/models/check, which says with what. The CANARY_s are known bugs: each must be found.
 */
#ifndef USERS
#define USERS 2
#endif
#ifndef RECORDS
#define RECORDS 2
#endif
#ifndef ROUNDS
#define ROUNDS 2           /* each: find or create, and perhaps end it */
#endif
#ifndef NAMES
#define NAMES 2
#endif
#ifndef USER_DEATHS
#define USER_DEATHS 1
#endif
#ifndef SUPERVISOR_DEATHS
#define SUPERVISOR_DEATHS 1
#endif
#define NONE 255
#define BUCKET 254         /* where a walk came from, if not a record */

mtype = { VACANT, CREATING, ACTIVE, ENDED };

/* The bucket, a link: record + 1, and that record's incarnation. */
byte bucket;
byte bucket_inc;
/* Words. */
mtype state[RECORDS] = VACANT;
byte inc[RECORDS];
byte creator[RECORDS] = NONE;
/* Links: record + 1, the incarnation of the record that holds it, and the mark. */
byte next[RECORDS];
byte next_inc[RECORDS];
bool marked[RECORDS];
byte name[RECORDS] = NONE;

bool dead[USERS];
bool buried[USERS];
bool done[USERS];
bool kill_supervisor;
bool burying;              /* at other times a supervisor's death changes nothing */
byte user_deaths = USER_DEATHS;
byte supervisor_deaths = SUPERVISOR_DEATHS;

#define active_with(r, n) (state[r] == ACTIVE && name[r] == n)
#if RECORDS > 2
#define others_active(r) ((r != 0 && active_with(0, name[r])) || (r != 1 && active_with(1, name[r])) || \
                          (r != 2 && active_with(2, name[r])))
#else
#define others_active(r) ((r != 0 && active_with(0, name[r])) || (r != 1 && active_with(1, name[r])))
#endif

#ifdef CANARY_TAG
#define same_tag(r, i) true
#else
#define same_tag(r, i) (next_inc[r] == i)
#endif
/* The link that led here is what it was. */
#define unchanged ((from == BUCKET && bucket == link && bucket_inc == from_inc) || \
                   (from < RECORDS && next[from] == link && same_tag(from, from_inc) && !marked[from]))

#define forget_record at = NONE; seen = VACANT; seen_inc = 0; after = 0; after_inc = 0; after_marked = false
#define pass from = at; link = after; from_inc = after_inc; forget_record
#define forget_walk from = BUCKET; link = 0; from_inc = 0; head = 0; head_inc = 0; then_inc = 0; forget_record

#define start_over from = BUCKET; link = bucket; from_inc = bucket_inc; head = link; head_inc = from_inc

/* Of a record's word, to ACTIVE. */
inline activate(r) {
  state[r] = ACTIVE; creator[r] = NONE; assert(!others_active(r))
}

/* SessionWalk::next(), from the record that it handed out last: leaves `link` at the next, or at 0. A
 * compare-and-swap that fails, or a look that finds the link changed, and the load that starts over are one step
 * here: what was in a link never comes back, so the first of the two would fail at the time of the second, too. */
inline walk() {
  do
  :: atomic { link == 0 -> break }
  :: atomic { link != 0 -> at = link - 1; seen = state[at]; seen_inc = inc[at] };
     atomic { after = next[at]; after_inc = next_inc[at]; after_marked = marked[at] };
     atomic {
       if
       :: !unchanged -> forget_record; start_over
       :: else ->
          /* SessionWalk::fits() */
#ifndef CANARY_TAG
          assert(after_inc == seen_inc);
#endif
          assert(seen != VACANT && (from != BUCKET || from_inc == seen_inc));
#ifdef CANARY_MARK
          after_marked = (seen == ENDED);
#endif
          if :: seen != ENDED && !after_marked -> break :: else fi
       fi
     };
     if
     :: atomic {
          at != NONE && !after_marked ->
          if
          :: next[at] == after && same_tag(at, after_inc) && !marked[at] -> marked[at] = true; after_marked = true
          :: else -> forget_record
          fi
        }
     :: atomic { at == NONE || after_marked }
     fi;
     if
     :: atomic { at != NONE && from == BUCKET && after != 0 -> then_inc = inc[after - 1] }
     :: atomic { at == NONE || from != BUCKET || after == 0 }
     fi;
     atomic {
       if
       :: at == NONE
       :: at != NONE && unchanged ->
          if
          :: from == BUCKET -> bucket = after; bucket_inc = then_inc; head = after; head_inc = then_inc;
                               from_inc = then_inc
          :: else -> next[from] = after
          fi;
          link = after; then_inc = 0; forget_record
       :: at != NONE && !unchanged -> then_inc = 0; forget_record; start_over
       fi
     }
  od
}

/* NamedChain::find(): leaves `found` and `found_inc`, or NONE. */
inline find(n) {
  atomic { start_over };
  do
  :: walk();
     if
     :: atomic { link == 0 -> break }
     :: atomic { link != 0 && name[at] != n -> pass }
     :: atomic { link != 0 && name[at] == n };
        if
        :: atomic { inc[at] == seen_inc && state[at] == ACTIVE -> found = at; found_inc = seen_inc; break }
           /* The look and the compare-and-swap are two steps there: at worst the second one fails, and repeats the
              first. */
        :: atomic { inc[at] == seen_inc && state[at] == CREATING ->
                    activate(at); found = at; found_inc = seen_inc; break }
        :: atomic { inc[at] != seen_inc || state[at] == ENDED || state[at] == VACANT -> pass }
        fi
     fi
  od;
  atomic { from = BUCKET; link = 0; from_inc = 0; forget_record }
}

/* Walks to the end, and makes the ended record vacant, if it is still that. */
inline finish(r, r_inc) {
#ifndef CANARY_VACATE
  atomic { start_over };
  do
  :: walk();
     if
     :: atomic { link == 0 -> forget_walk; break }
     :: atomic { link != 0 -> pass }
     fi
  od;
#endif
  atomic { if :: state[r] == ENDED && inc[r] == r_inc -> state[r] = VACANT :: else fi }
}

inline take(r) {
  atomic { state[r] == VACANT -> mine = r; inc[r]++; mine_inc = inc[r]; creator[r] = me; state[r] = CREATING }
}

inline find_or_create(n) {
  find(n);
  if
  :: atomic { found != NONE -> head = 0; head_inc = 0 }
  :: found == NONE ->
     if
     :: take(0)
     :: take(1)
#if RECORDS > 2
     :: take(2)
#endif
     :: atomic { state[0] == ENDED -> mine = 0; mine_inc = inc[0] }; finish(mine, mine_inc);
        atomic { mine = NONE; mine_inc = 0 }
     :: else            /* SESSION_LIMIT */
     fi;
     do
     :: atomic { mine == NONE -> break }
     :: atomic { mine != NONE && name[mine] != n -> name[mine] = n };
     :: atomic { mine != NONE && name[mine] == n ->
                 next[mine] = head; next_inc[mine] = mine_inc; marked[mine] = false };
        if
        :: atomic { bucket == head && bucket_inc == head_inc ->
                    bucket = mine + 1; bucket_inc = mine_inc; head = 0; head_inc = 0 };
           atomic { if :: state[mine] == CREATING && inc[mine] == mine_inc -> activate(mine) :: else fi;
                    found = mine; found_inc = mine_inc; mine = NONE; mine_inc = 0; break }
        :: atomic { bucket != head || bucket_inc != head_inc };
#ifdef CANARY_RESCAN
           atomic { head = bucket; head_inc = bucket_inc }
#else
           find(n);
           if
           :: atomic { found == NONE }
           :: atomic { found != NONE -> creator[mine] = NONE; state[mine] = VACANT;
                       mine = NONE; mine_inc = 0; head = 0; head_inc = 0; break }
           fi
#endif
        fi
     od
  fi;
  atomic { head = 0; head_inc = 0 }
}

#define WALK_VARIABLES \
  byte from = BUCKET; byte link; byte from_inc; byte head; byte head_inc; byte then_inc; \
  byte at = NONE; mtype seen = VACANT; byte seen_inc; byte after; byte after_inc; bool after_marked; \
  byte found = NONE; byte found_inc

proctype User(byte me) {
  WALK_VARIABLES;
  byte mine = NONE; byte mine_inc; byte n; byte round;
  {
    do
    :: atomic { round < ROUNDS -> n = 0 };
#if NAMES > 1
       if :: n = 0 :: n = 1 fi;
#endif
       find_or_create(n);
       if
       :: atomic { found == NONE }
       :: atomic { found != NONE }                      /* a call, and no end */
       :: atomic { found != NONE && state[found] == ACTIVE && inc[found] == found_inc ->
                   state[found] = ENDED };              /* try_end() */
          finish(found, found_inc)
       fi;
       atomic { found = NONE; found_inc = 0; n = 0; round++ }
    :: atomic { round >= ROUNDS -> done[me] = true; round = 0; break }
    od
  } unless { atomic { dead[me] -> forget_walk; found = NONE; found_inc = 0; mine = NONE; mine_inc = 0; n = 0;
                      round = 0 } }
}

/* audit_sessions() after the death of `who`: of its records, and of what has ended. */
inline bury(who) {
  burying = true;
  do
  :: atomic { r < RECORDS && state[r] == CREATING && creator[r] == who -> r_inc = inc[r] };
     /* NamedChain::has() */
#ifndef CANARY_AUDIT
     atomic { start_over };
     do
     :: walk();
        if
        :: atomic { link == 0 -> break }
        :: atomic { link != 0 && at == r && seen_inc == r_inc -> found = r; break }
        :: atomic { link != 0 && !(at == r && seen_inc == r_inc) -> pass }
        fi
     od;
#endif
     atomic {
       if
       :: state[r] == CREATING && inc[r] == r_inc ->
          if :: found == r -> activate(r) :: else -> state[r] = VACANT; creator[r] = NONE fi
       :: else
       fi;
       found = NONE; forget_walk; r_inc = 0; r++
     }
  :: atomic { r < RECORDS && state[r] == ENDED -> r_inc = inc[r] };
     finish(r, r_inc);
     atomic { r_inc = 0; r++ }
  :: atomic { r < RECORDS && !(state[r] == CREATING && creator[r] == who) && state[r] != ENDED -> r++ }
  :: atomic { r >= RECORDS -> r = 0; buried[who] = true; burying = false; break }
  od
}

proctype Supervisor() {
  WALK_VARIABLES;
  byte r; byte r_inc;
end_watch:
  do
  :: true ->
    {
      skip;
end_idle:
      do
      :: dead[0] && !buried[0] -> bury(0)
      :: dead[1] && !buried[1] -> bury(1)
#if USERS > 2
      :: dead[2] && !buried[2] -> bury(2)
#endif
      od
    } unless { atomic { kill_supervisor -> kill_supervisor = false; burying = false; forget_walk; found = NONE;
                        found_inc = 0; r = 0; r_inc = 0 } }
  od
}

#define may_die(u) user_deaths > 0 && !dead[u] && !done[u]

active proctype Death() {
end_spent:
  do
  :: d_step { may_die(0) -> user_deaths--; dead[0] = true }
  :: d_step { may_die(1) -> user_deaths--; dead[1] = true }
#if USERS > 2
  :: d_step { may_die(2) -> user_deaths--; dead[2] = true }
#endif
  :: d_step { supervisor_deaths > 0 && burying && !kill_supervisor -> supervisor_deaths--; kill_supervisor = true }
  od
}

active proctype Judge() {
  byte i; byte links; byte actives; byte at;
end_watch:
  timeout ->
  atomic {
    for (i : 0 .. USERS - 1) { assert(dead[i] || done[i]) }
    for (i : 0 .. RECORDS - 1) {
      assert(state[i] == ACTIVE || state[i] == VACANT);
      if :: state[i] == ACTIVE -> actives++ :: else fi
    }
    at = bucket;
    do
    :: at != 0 ->
       assert(state[at - 1] == ACTIVE && !marked[at - 1] && links < RECORDS);
       links++; at = next[at - 1]
    :: at == 0 -> break
    od;
    assert(links == actives)
  }
}

init {
  byte i;
  atomic {
    run Supervisor();
    for (i : 0 .. USERS - 1) { run User(i) }
  }
}
