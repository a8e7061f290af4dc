/*
 * The cache protocol (HACKING.md), one player and season, as small as it can be and still go wrong: readers, writers, the
 * stewards' leases, the relay, Redis and its faults, and MySQL as one primary. README.md says which step is which function,
 * and how to read a trace.
 *
 * What is asserted, in seen_by_reader(): a read that starts after a write was acknowledged never returns less than it
 * (always), nor less than an earlier read has returned (-DORDER).
 *
 * Set from outside: WRITERS, READERS, TRIES, EPOCHS, the numbers of faults, and one of the variants (each takes away one
 * ingredient, and must be found out).
 */

/* How much of each: 0 takes a fault away. */
#ifndef TRIES
#define TRIES 2 /* of one write's transaction */
#endif
#ifndef EPOCHS
#define EPOCHS 1
#endif
#ifndef EVICTIONS
#define EVICTIONS 0 /* keys that Redis forgets: eviction, expiry, a flush */
#endif
#ifndef LATE
#define LATE 0 /* writers' commands executed after their sender has given up on them */
#endif
#ifndef LOSSES
#define LOSSES 0 /* writers' commands that fail, executed or not: lost, a host cut off, an open breaker; 9: without end */
#endif
#ifndef RESTARTS
#define RESTARTS 0 /* of the first Redis: empty, or with an old snapshot */
#endif
#ifndef FAILOVERS
#define FAILOVERS 0 /* 1: the replica becomes a master, with older data; the old master goes on answering */
#endif
#ifndef REJOINS
#define REJOINS 0 /* the first Redis becomes a replica of the second and a master again: other data, the same process */
#endif
#ifndef SEASONS
#define SEASONS 0 /* changes of the season's definition */
#endif
#ifndef CRASHES
#define CRASHES 1 /* of whoever holds locks; one who holds none simply does not go on */
#endif
#ifndef SWITCHES_OFF
#define SWITCHES_OFF 0 /* 1: who cannot fence may turn the cache off for everybody */
#endif
#ifndef DISTRUSTS
#define DISTRUSTS 2 /* rows of cache_distrust, one after another; 0: the switch for everybody is all there is */
#endif
#ifndef OLD_LEASES
#define OLD_LEASES 1 /* hosts whose lease is as old as it can be; beside them there is one whose steward ticks just now */
#endif

/*
 * A value in Redis is one number: kind, revision (or floor), season revision, nonce (or token). 0 is an absent key. To
 * compare two of them is to compare what the scripts compare.
 */
#define VALUE(kind, revision, id) ((kind) * 1024 + (revision) * 128 + (id))
#define L(token) VALUE(1, 0, token)
#define T(floor, nonce) VALUE(2, floor, nonce)
#define V(revision, season_revision) VALUE(3, revision, season_revision)
#define KIND(value) ((value) / 1024)
#define REVISION(value) (((value) / 128) % 8)
#define SEASON(value) ((value) % 128)
#define IS_L(value) (KIND(value) == 1)
#define IS_T(value) (KIND(value) == 2)
#define IS_V(value) (KIND(value) == 3)
#define HAS_REVISION(value) (KIND(value) >= 2)
#define NO_FENCE_OF_MINE 1 /* what no key ever holds */

#ifdef NONCE_TWICE
#define NONCE(process, count) 1
#else
#define NONCE(process, count) ((process) * 16 + (count))
#endif

/* MySQL: the player's row, the idempotency key of each write, cache_control, the player's row of cache_distrust. */
byte row_revision = 0;
bool row_locked = false;
bool key_known[2];
byte sharers = 0; /* of cache_control: nobody changes it meanwhile */
byte epoch = 0;
byte life = 1; /* identity of the Redis that holds the keys; 0 is nobody's */
byte change = 0;
bool caching = true;
bool settled = true;
byte distrust = 0; /* distrust_id; 0: no row */
bool distrust_settled = false;
byte distrusts = 0; /* rows there have been */

/* Redis: the first server and its replica. A connection is good for one life of one server. */
byte lives = 1;
byte life_of[2]; /* 0: not a master */
short keys[2 * EPOCHS];
#define KEY(server, epoch) keys[(server) * EPOCHS + (epoch)]
#define ALIVE(life) (life_of[0] == (life) || life_of[1] == (life))
#define SERVER(life) (life_of[0] == (life) -> 0 : 1)

/*
 * The lease of a host, in its shared memory. That it is there means that it has not run out; a reader may go without one at
 * any time, so a lease that runs out earlier than it must is not a step of its own.
 */
typedef lease {
	bool given;
	bool distrusted;
	byte epoch;
	byte life;
};
lease leases[OLD_LEASES];

/* One command on its way, given up by its sender. */
mtype = {nothing, late_fence, late_confirm, late_unfence};
mtype late = nothing;
byte late_life, late_epoch, late_revision;
short late_own, late_value, late_fresh;

byte season = 0;

/* What the players know. */
byte acknowledged = 0;
byte returned = 0;
byte readers = 0; /* have started: they are alike, so they start in one order only */

/* What is left of the faults. */
byte evictions_left = EVICTIONS, late_left = LATE, losses_left = LOSSES, restarts_left = RESTARTS, failovers_left = FAILOVERS,
     rejoins_left = REJOINS, seasons_left = SEASONS, crashes_left = CRASHES;

#define RAISE(what, to) what = ((what) < (to) -> (to) : (what))

/* The scripts (cache/scripts.c). */

inline script_fill(key, seen, value)
{
	if
#ifdef FILL_ABSENT
	:: key == 0 -> key = value
#endif
#ifdef FILL_ANY_FENCE
	:: IS_T(key) && REVISION(key) <= REVISION(value) -> key = value
#endif
	:: key == seen && (!HAS_REVISION(key) || REVISION(key) <= REVISION(value)) -> key = value
	:: else
	fi
}

inline script_fence(key, floor, nonce)
{
	if
	:: HAS_REVISION(key) && REVISION(key) >= (floor)
	:: else -> key = T(floor, nonce)
	fi
}

inline script_unfence(key, own, lowered)
{
	if
	:: key == (own) -> key = lowered
	:: else
	fi
}

inline script_confirm(key, revision, own, value, fresh)
{
	if
	:: key == (own) -> key = value
	:: else ->
		if
		:: HAS_REVISION(key) && REVISION(key) >= (revision)
		:: else -> key = fresh
		fi
	fi
}

/* Everything about the world that acts by itself: the stewards' ticks, who settles, Redis's faults, late commands. */

#define MAY_GIVE (caching && settled && ALIVE(life))

inline give_lease(host)
{
	leases[host].given = true;
	leases[host].epoch = epoch;
	leases[host].life = life;
	leases[host].distrusted = distrust != 0
}

inline drop_lease(host)
{
	leases[host].given = false;
	leases[host].epoch = 0;
	leases[host].life = 0;
	leases[host].distrusted = false
}

inline drop_leases()
{
#ifdef NO_WAIT
	skip
#else
	drop_lease(0);
#if OLD_LEASES > 1
	drop_lease(1)
#endif
#endif
}

#ifndef NO_WAIT
#define FORGETS(host) leases[host].given && !leases[host].distrusted
#else
#define FORGETS(host) false
#endif

/* The time has passed in which every lease from before the row has died. Later ones have it. */
inline drop_trusting_lease(host)
{
	if
	:: FORGETS(host) -> drop_lease(host)
	:: else
	fi
}

/* One UPDATE, waiting for those who share the row. No lease can be alive when the cache is off and settled. */
inline begin_epoch(server)
{
	epoch++;
	change++;
	life = life_of[server];
#ifdef EPOCH_AT_ONCE
	settled = true;
#else
	settled = !caching;
#endif
	caching = true
}

#define MAY_BEGIN_EPOCH (settled && sharers == 0 && epoch + 1 < EPOCHS)

active proctype steward()
{
end:
	do
	:: d_step { MAY_GIVE -> give_lease(0) }
#if OLD_LEASES > 1
	:: d_step { MAY_GIVE -> give_lease(1) }
#endif
	:: d_step { !settled -> drop_leases(); settled = true }
#if DISTRUSTS
	:: d_step {
		distrust != 0 && !distrust_settled ->
		drop_trusting_lease(0);
#if OLD_LEASES > 1
		drop_trusting_lease(1);
#endif
		distrust_settled = true
	}
#endif
#if EPOCHS > 1
	:: d_step { MAY_BEGIN_EPOCH && life_of[0] != 0 && (!caching || life != life_of[0]) -> begin_epoch(0) }
	:: d_step { MAY_BEGIN_EPOCH && life_of[1] != 0 && (!caching || life != life_of[1]) -> begin_epoch(1) }
#endif
	od
}

inline copy_keys(from, to)
{
	KEY(to, 0) = KEY(from, 0);
#if EPOCHS > 1
	KEY(to, 1) = KEY(from, 1);
#endif
#if EPOCHS > 2
	KEY(to, 2) = KEY(from, 2);
#endif
}

inline forget_keys(server)
{
	KEY(server, 0) = 0;
#if EPOCHS > 1
	KEY(server, 1) = 0;
#endif
#if EPOCHS > 2
	KEY(server, 2) = 0;
#endif
}

inline forget_late()
{
	late = nothing;
	late_life = 0;
	late_epoch = 0;
	late_revision = 0;
	late_own = 0;
	late_value = 0;
	late_fresh = 0
}

/* Where only the order of reads is asked for, fences are not evicted: that they hold until CONFIRM is what it rests on. */
#ifdef ORDER
#define EVICTABLE(key) ((key) != 0 && !IS_T(key))
#else
#define EVICTABLE(key) ((key) != 0)
#endif

#define NEW_LIFE(server) lives++; life_of[server] = lives

init
{
	byte started = 0;

	atomic {
		life_of[0] = 1;
		if
		:: true
		:: KEY(0, 0) = V(0, 0)
		fi;
		do
		:: started < WRITERS -> run writer(started); started++
		:: else -> break
		od;
		started = 0;
		do
		:: started < READERS -> run reader(started); started++
		:: else -> break
		od;
		started = 0
	}
end:
	do
	:: false
#if EVICTIONS
	:: d_step { evictions_left > 0 && ALIVE(life) && EVICTABLE(KEY(SERVER(life), epoch)) ->
		KEY(SERVER(life), epoch) = 0; evictions_left-- }
#endif
#if RESTARTS + FAILOVERS + REJOINS
	/* The replica follows; where it has not been promoted it is the snapshot, too. */
	:: d_step { life_of[1] == 0 && (restarts_left > 0 || failovers_left > 0) -> copy_keys(0, 1) }
#endif
#if RESTARTS
	:: d_step { restarts_left > 0 -> restarts_left--; NEW_LIFE(0); forget_keys(0) }
	:: d_step { restarts_left > 0 && life_of[1] == 0 -> restarts_left--; NEW_LIFE(0); copy_keys(1, 0) }
#endif
#if FAILOVERS
	:: d_step { failovers_left > 0 -> failovers_left--; NEW_LIFE(1) }
#endif
#if REJOINS
	/* What a promotion changes is the replication id, not the run_id. */
	:: d_step { rejoins_left > 0 && life_of[1] != 0 -> rejoins_left--; copy_keys(1, 0);
#ifndef RUN_ID_ONLY
		NEW_LIFE(0)
#endif
	}
#endif
#if SEASONS
	:: d_step { seasons_left > 0 -> seasons_left--; season++ }
#endif
#if LATE
	:: d_step { late == late_fence && ALIVE(late_life) ->
		script_fence(KEY(SERVER(late_life), late_epoch), late_revision, SEASON(late_own)); forget_late() }
	:: d_step { late == late_unfence && ALIVE(late_life) ->
		script_unfence(KEY(SERVER(late_life), late_epoch), late_own, late_fresh); forget_late() }
	:: d_step { late == late_confirm && ALIVE(late_life) ->
		script_confirm(KEY(SERVER(late_life), late_epoch), late_revision, late_own, late_value, late_fresh);
		forget_late() }
#endif
	od
}

inline send_late(command, own, value, fresh)
{
	late_left--;
	late = command;
	late_life = my_life;
	late_epoch = my_epoch;
	late_revision = revision;
	late_own = own;
	late_value = value;
	late_fresh = fresh
}

/*
 * A command of a writer has four ends: executed and answered; executed, the answer lost; not executed; executed late. All
 * but the first are one to the writer: it failed.
 */
#define MAY_FAIL (losses_left > 0)
#if LOSSES == 9
#define FAIL skip
#else
#define FAIL losses_left--
#endif
#define CAN_SEND_LATE (late_left > 0 && late == nothing && ALIVE(my_life))
#define HERE KEY(SERVER(my_life), my_epoch)

inline send_fence()
{
	atomic {
		nonces++;
		own = T(revision, NONCE(me, nonces));
		if
		:: ALIVE(my_life) -> d_step { script_fence(HERE, revision, NONCE(me, nonces)); ok = true }
		:: !ALIVE(my_life) -> ok = false
#if LOSSES
		:: MAY_FAIL && ALIVE(my_life) -> d_step {
			FAIL; script_fence(HERE, revision, NONCE(me, nonces)); ok = false }
		:: MAY_FAIL -> d_step { FAIL; ok = false }
#endif
#if LATE
		:: CAN_SEND_LATE -> d_step { send_late(late_fence, own, 0, 0); ok = false }
#endif
		fi
	}
}

inline send_unfence()
{
	atomic {
		nonces++;
		if
		:: ALIVE(my_life) -> d_step { script_unfence(HERE, own, T(revision - 1, NONCE(me, nonces))) }
		:: true
#if LATE && defined(LATE_UNFENCE)
		:: CAN_SEND_LATE -> d_step { send_late(late_unfence, own, 0, T(revision - 1, NONCE(me, nonces))) }
#endif
		fi
	}
}

inline send_confirm()
{
	atomic {
		nonces++;
		if
		:: ALIVE(my_life) -> d_step {
			script_confirm(HERE, revision, own, V(revision, my_season), T(revision, NONCE(me, nonces)));
			ok = true }
		:: !ALIVE(my_life) -> ok = false
#if LOSSES
		:: MAY_FAIL && ALIVE(my_life) -> d_step {
			FAIL;
			script_confirm(HERE, revision, own, V(revision, my_season), T(revision, NONCE(me, nonces)));
			ok = false }
		:: MAY_FAIL -> d_step { FAIL; ok = false }
#endif
#if LATE
		:: CAN_SEND_LATE -> d_step {
			send_late(late_confirm, own, V(revision, my_season), T(revision, NONCE(me, nonces))); ok = false }
#endif
		fi
	}
}

#ifdef NO_SHARE_LOCK
#define SHARE
#define UNSHARE
#else
#define SHARE sharers++
#define UNSHARE sharers--
#endif

/* BEGIN .. the player's row is locked. Both at once: who waits for the row only keeps cache_control as it is. */
inline begin_and_lock()
{
	row_locked = true;
	SHARE;
	my_epoch = epoch;
	my_life = life;
	my_change = change;
	my_caching = caching
}

inline end_transaction()
{
	row_locked = false;
	UNSHARE
}

/* What a writer does who cannot fence or confirm, in a transaction of its own. */
inline make_distrusted()
{
	atomic {
		if
		:: false
#if DISTRUSTS
		:: distrust == 0 && distrusts < DISTRUSTS ->
			distrusts++;
			distrust = distrusts;
#ifdef NO_WAIT
			distrust_settled = true;
#else
			distrust_settled = false;
#endif
			my_distrust = distrust
		:: distrust != 0 -> my_distrust = distrust
#endif
#if SWITCHES_OFF
		:: sharers == 0 ->
			if
			:: change == my_change && caching -> caching = false; change++;
#ifdef NO_WAIT
				settled = true
#else
				settled = false
#endif
			:: else
			fi
#endif
		fi
	}
	/* A row that is gone was settled, and the relay has fenced what it found in the database. */
	if
	:: my_distrust != 0 -> (distrust != my_distrust || distrust_settled); my_distrust = 0
	:: my_distrust == 0 -> settled
	fi
}

/* service/transaction.c. Even writers have the first idempotency key, odd ones the second, unless SAME_KEY. */
#ifdef SAME_KEY
#define KNOWN key_known[0]
#else
#define KNOWN key_known[me]
#endif

proctype writer(byte me)
{
	byte my_epoch, my_life, my_change, revision, nonces, tries, my_distrust, my_season;
	bool my_caching, ok;
	short own;

	do
	:: atomic {
		tries < TRIES && settled && !row_locked ->
		tries++;
		begin_and_lock();
		my_season = season;
		own = NO_FENCE_OF_MINE;
		if
		:: KNOWN -> /* a replay: ROLLBACK, and acknowledged like a write */
			revision = row_revision;
			end_transaction();
			goto committed
		:: else -> revision = row_revision + 1
		fi
	}
#ifdef NO_FENCE
		goto commit;
#endif
		if
		:: !my_caching -> goto commit
		:: else
		fi;
		send_fence();
		if
		:: ok -> goto commit
		:: else
		fi;
#ifdef BREAKER_SKIPS_FENCE
		own = NO_FENCE_OF_MINE;
		goto commit;
#endif
#ifdef UNFENCE
		send_unfence(); /* lowers the floor before ROLLBACK: not part of the protocol, see the row late-unfence */
#endif
		own = NO_FENCE_OF_MINE;
		if
		:: atomic { distrust != 0 && distrust_settled -> my_distrust = distrust }; goto commit
		:: atomic { !(distrust != 0 && distrust_settled) -> end_transaction() }
		fi;
		make_distrusted()
	:: tries == TRIES -> goto gave_up
	od;

commit:	atomic {
		if
		:: row_revision = revision; KNOWN = true
		:: crashes_left > 0 -> crashes_left--; end_transaction(); goto gave_up
		fi;
		end_transaction()
	}
	if
	:: my_distrust != 0 -> my_distrust = 0; goto answer /* readers ask the database until the relay has fenced */
	:: else
	fi;
committed:
#ifdef NO_CONFIRM
	goto answer;
#endif
#ifdef REPLAY_UNCONFIRMED
	if
	:: own == NO_FENCE_OF_MINE -> goto answer
	:: else
	fi;
#endif
	if
	:: !my_caching -> goto answer
	:: else
	fi;
	send_confirm();
	if
	:: ok
#ifdef BREAKER_SKIPS_FENCE
	:: !ok
#else
	:: !ok -> make_distrusted()
#endif
	fi;
answer:	atomic { RAISE(acknowledged, revision) }
gave_up:
	atomic { my_epoch = 0; my_life = 0; my_change = 0; revision = 0; nonces = 0; tries = 0; my_season = 0; own = 0;
		my_caching = false; ok = false; my_distrust = 0 }
}

/* The relay: a steward that reaches Redis takes a settled row of cache_distrust away. */
#if DISTRUSTS
active proctype relay()
{
	byte my_epoch, my_life, my_change, floor, saw, rounds;
	bool my_caching, ok;
	byte me = 2;

	do
#ifdef RELAY_NO_GATE
	:: atomic { rounds < DISTRUSTS && caching -> my_epoch = epoch; my_life = life; my_caching = true }
#else
	:: true
#endif
#ifdef RELAY_ANY_ROW
	atomic { rounds < DISTRUSTS && distrust != 0 -> rounds++ }
#else
	atomic { rounds < DISTRUSTS && distrust != 0 && distrust_settled -> saw = distrust; rounds++ }
#endif
	atomic {
#ifdef RELAY_NO_ROW_LOCK
		SHARE; my_epoch = epoch; my_life = life; my_caching = caching;
#else
		!row_locked ->
#ifdef RELAY_NO_GATE
		row_locked = true; SHARE;
#else
		begin_and_lock();
#endif
#endif
		floor = row_revision;
		if
#ifndef RELAY_ANY_ROW
		:: distrust != saw -> goto rollback
#endif
		:: distrust == 0 -> goto rollback
		:: !my_caching && !settled -> goto rollback
		:: else
		fi
	}
	if
	:: !my_caching
	:: my_caching && ALIVE(my_life) -> d_step { script_fence(HERE, floor, NONCE(me, rounds)) }
	:: my_caching -> goto rollback
	fi;
	/* DELETE and COMMIT; or it dies before. */
	atomic {
		if
		:: distrust = 0; distrust_settled = false
		:: true
		fi;
rollback:
#ifdef RELAY_NO_ROW_LOCK
		UNSHARE;
#else
		end_transaction();
#endif
		my_epoch = 0; my_life = 0; my_change = 0; my_caching = false; floor = 0; saw = 0
	}
	od
}
#endif

/* service/progress.c */

inline seen_by_reader(what)
{
	assert((what) >= needed);
#ifdef ORDER
	assert((what) >= earlier);
	RAISE(returned, what);
#endif
}

#define TAKES_FRESH MAY_GIVE && distrust == 0 -> my_epoch = epoch; my_life = life
#define TAKES(host) leases[host].given && !leases[host].distrusted -> \
	my_epoch = leases[host].epoch; my_life = leases[host].life

proctype reader(byte me)
{
	byte my_epoch, my_life, needed, earlier, revision, my_season;
	short seen;

	/* The read starts, and looks at lease and list. */
	atomic {
		readers == me -> readers++;
		needed = acknowledged;
		earlier = returned;
#if SEASONS
		if
		:: my_season = season
		:: season > 0 -> my_season = season - 1 /* this process has not heard of it yet */
		fi;
#endif
		if
		:: TAKES_FRESH
		:: TAKES(0)
#if OLD_LEASES > 1
		:: TAKES(1)
#endif
		:: goto database /* no lease, or the player is distrusted, or the breaker is open */
		fi
	}
	/* SET NX GET; an answer that is lost leaves a token that nobody fills over. */
	atomic {
		if
		:: ALIVE(my_life) ->
			seen = HERE;
			if
			:: seen == 0 -> seen = L(me); HERE = seen
			:: IS_V(seen) && SEASON(seen) == my_season -> seen_by_reader(REVISION(seen)); goto done
			:: IS_V(seen) && SEASON(seen) > my_season -> seen = 0
			:: IS_V(seen) && SEASON(seen) < my_season
			:: IS_L(seen) -> seen = 0
			:: IS_T(seen)
			fi
		:: !ALIVE(my_life)
		fi
	}
database:
	atomic {
		revision = row_revision;
		seen_by_reader(revision);
		needed = 0;
		earlier = 0
	}
	/* The fill: whenever it comes, if it comes. */
	if
	:: seen == 0
	:: seen != 0 -> atomic { ALIVE(my_life) -> d_step { script_fill(HERE, seen, V(revision, my_season)) } }
	fi;
done:	atomic { my_epoch = 0; my_life = 0; needed = 0; earlier = 0; revision = 0; seen = 0; my_season = 0 }
}
