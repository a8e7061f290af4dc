/*
 * What the store keeps besides XP: on a real MariaDB, all that save() writes is read back by the port and by the
 * records, two couriers never get the same row, what is not there rolls nothing back, and revisions of a season take
 * force one after the other.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "mariadb_server.h"
#include "store/store.h"
#include "tap.h"

enum { NOW_MS = 1700000000, COURIERS = 8, ROWS = 400, TAKE = 16, HOLD_MS = 60000 };

static const struct season_entry s1 = {.id = "s1"};
static const struct season_entry s2 = {.id = "s2"};
static const unsigned char hash_a[AUDIT_HASH_SIZE] = "\0\xff'\\\n chain's head";
static const unsigned char request_hash[16] = "\x01'\\\"";

static struct mariadb_server server;
static struct store *store;
static const struct store_port *port;
static const struct records_port *records;
static struct arena arena;

/* --- a transaction --- */

static struct progress_row row; /* locked */

static enum err
end_one(struct store *by, const struct uuid *owner, const struct delivery_row *delivery)
{
	const int64_t at_once = 0;

	return store_end_deliveries(by, owner, &delivery, &at_once, 1);
}

static void
lock_in(const char *player, const struct season_entry *season)
{
	struct progress_row *rows[] = {&row};
	struct write_gate gate;

	row = (struct progress_row){.player = str_from(player), .season = season};
	CU_ASSERT_EQUAL_FATAL(port->begin(port->self, &gate), ERR_OK);
	CU_ASSERT_EQUAL_FATAL(port->lock(port->self, rows, 1, &arena), ERR_OK);
}

static void
lock(const char *player)
{
	lock_in(player, &s1);
}

static enum err
save(const struct changes *changes)
{
	struct progress_row *rows[] = {&row};
	struct write_set set = {.rows = rows, .row_count = 1};

	if (changes)
		set.changes = *changes;
	return port->save(port->self, &set);
}

static void
commit(const struct changes *changes)
{
	CU_ASSERT_EQUAL_FATAL(save(changes), ERR_OK);
	CU_ASSERT_EQUAL_FATAL(port->commit(port->self), ERR_OK);
}

/* --- rows --- */

/* Ids in the order of their numbers. */
static struct uuid
id_of(unsigned number)
{
	struct uuid id = {{0x01, 0x8f}};

	id.bytes[12] = (unsigned char)(number >> 24);
	id.bytes[13] = (unsigned char)(number >> 16);
	id.bytes[14] = (unsigned char)(number >> 8);
	id.bytes[15] = (unsigned char)number;
	return id;
}

static unsigned
number_of(const struct uuid *id)
{
	return (unsigned)id->bytes[12] << 24 | (unsigned)id->bytes[13] << 16 | (unsigned)id->bytes[14] << 8 |
	       id->bytes[15];
}

static struct claim_row
claim_of(const char *reward, unsigned delivery)
{
	return (struct claim_row){
		.player = row.player,
		.season = row.season->id,
		.tier = 3,
		.pass = STR("premium"),
		.reward = str_from(reward),
		.claimed_at_ms = NOW_MS + delivery,
		.delivery = id_of(delivery),
	};
}

static struct delivery_row
delivery_of(unsigned number)
{
	return (struct delivery_row){
		.id = id_of(number),
		.player = row.player,
		.season = row.season->id,
		.reward = STR("t3"),
		.kind = STR("currency"),
		.item = STR("coins"),
		.quantity = 50,
		.created_at_ms = NOW_MS,
		.updated_at_ms = NOW_MS,
	};
}

static struct purchase_row
purchase_of(unsigned number, const char *pass)
{
	return (struct purchase_row){
		.fresh = true,
		.id = id_of(number),
		.player = row.player,
		.season = row.season->id,
		.pass = str_from(pass),
		.tiers = pass ? 0 : 5,
		.live = pass != NULL,
		.currency = STR("gems"),
		.amount = 950,
		.state = PURCHASE_DEBITING,
		.due_in_ms = -1,
		.created_at_ms = NOW_MS,
		.updated_at_ms = NOW_MS,
	};
}

/* The next of the locked player's chain. */
static struct audit_entry
entry_of(unsigned number, const char *action, const char *key)
{
	struct audit_entry entry = {
		.player = row.player,
		.season = row.season->id,
		.sequence = ++row.audit_count,
		.id = id_of(number),
		.action = action,
		.idempotency_key = str_from(key),
		.author = {STR("support-1"), "support", STR("it's \"us\" \\ \xf0\x9f\x94\xa5"), STR("req-1")},
		.subject = STR("subject"),
		.revision = 7,
		.xp_before = 10,
		.xp_after = XP_MAX - 1,
		.before = STR("{\"xp\":10}"),
		.after = STR("{\"xp\":11}"),
		.result = STR("\"a\":1"),
		.entered_at_ms = NOW_MS + number,
	};

	memcpy(entry.request_hash, request_hash, sizeof(request_hash));
	memcpy(entry.hash, hash_a, sizeof(hash_a));
	return entry;
}

static bool
says(struct str text, const char *expected)
{
	return str_equal(text, str_from(expected));
}

static void
clear_tables(void)
{
	static const char *const tables[] = {"progress",     "pass_ownership", "claim",    "forgotten_claim",
					     "player_reset", "purchase",       "delivery", "audit_log",
					     "xp_grant",     "chore"};
	char sql[64];

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		snprintf(sql, sizeof(sql), "DELETE FROM %s", tables[i]);
		mariadb_server_run(&server, sql);
	}
	arena_reset(&arena);
}

/* --- rows and what hangs on them --- */

static void
test_row(void)
{
	struct pass_row pass = {.player = STR("p1"), .season = "s1", .pass = {STR("premium"), NOW_MS, false}};
	struct pass_row other = {&pass, STR("p1"), "s1", {STR("plus"), NOW_MS + 1, true}};

	clear_tables();
	lock("p1");
	CU_ASSERT_EQUAL(row.audit_count, 0);
	CU_ASSERT_EQUAL(row.revision, 0);

	struct claim_row claim = claim_of("t3-coins", 1);
	struct audit_entry entry = entry_of(1, "claim", NULL);
	struct changes changes = {.claims = &claim, .passes = &other, .entries = &entry};

	row.xp = 123;
	row.revision = 4;
	row.updated_at_ms = NOW_MS;
	row.pass_count = 2;
	row.claim_count = 1;
	row.overflow_paid = 9;
	memcpy(row.audit_hash, hash_a, sizeof(hash_a));
	commit(&changes);

	lock("p1");
	CU_ASSERT_EQUAL(row.xp, 123);
	CU_ASSERT_EQUAL(row.revision, 4);
	CU_ASSERT_EQUAL(row.updated_at_ms, NOW_MS);
	CU_ASSERT_EQUAL(row.overflow_paid, 9);
	CU_ASSERT_EQUAL(row.audit_count, 1);
	CU_ASSERT_EQUAL(memcmp(row.audit_hash, hash_a, sizeof(hash_a)), 0);
	CU_ASSERT_EQUAL_FATAL(row.pass_count, 2);
	CU_ASSERT(says(row.passes[0].pass, "plus") && row.passes[0].active);
	CU_ASSERT(says(row.passes[1].pass, "premium") && !row.passes[1].active);
	CU_ASSERT_EQUAL_FATAL(row.claim_count, 1);
	CU_ASSERT(says(row.claims[0], "t3-coins"));
	port->rollback(port->self);

	struct progress_row read = {.player = STR("p1"), .season = &s1};
	struct progress_row *rows[] = {&read};

	CU_ASSERT_EQUAL_FATAL(port->load(port->self, rows, 1, &arena), ERR_OK);
	CU_ASSERT_EQUAL_FATAL(read.pass_count, 2);
	CU_ASSERT(read.passes[0].active && !read.passes[1].active);
	CU_ASSERT_EQUAL(read.claim_count, 1);
}

/* The hottest write sends no chain: what stands there stays. */
static void
test_grant_alone(void)
{
	clear_tables();
	lock("p1");

	struct audit_entry entry = entry_of(1, "claim", NULL);
	struct changes changes = {.entries = &entry};

	memcpy(row.audit_hash, hash_a, sizeof(hash_a));
	commit(&changes);

	struct grant_row grant = {.player = STR("p1"), .season = "s1", .idempotency_key = STR("k"), .amount = 5};
	const struct grant_row *grants[] = {&grant};
	struct progress_row *rows[] = {&row};
	struct write_set set = {rows, 1, grants, 1, {.entries = NULL}};

	lock("p1");
	row.xp = 5;
	row.revision = 1;
	row.audit_count = 77;
	CU_ASSERT_EQUAL(port->save(port->self, &set), ERR_OK);
	CU_ASSERT_EQUAL(port->commit(port->self), ERR_OK);
	lock("p1");
	CU_ASSERT_EQUAL(row.xp, 5);
	CU_ASSERT_EQUAL(row.audit_count, 1);
	CU_ASSERT_EQUAL(memcmp(row.audit_hash, hash_a, sizeof(hash_a)), 0);
	CU_ASSERT_EQUAL(port->save(port->self, &set), ERR_STORE_DUPLICATE);
	port->rollback(port->self);
	CU_ASSERT_EQUAL(mariadb_server_number(&server, "SELECT COUNT(*) FROM xp_grant"), 1);
}

static void
test_known_entries(void)
{
	clear_tables();
	lock("p1");

	struct audit_entry entry = entry_of(1, "reset", "key'\\1");
	struct audit_entry keyless = entry_of(2, "claim", NULL);
	struct audit_entry keyless_too = entry_of(3, "claim", NULL);
	struct changes changes = {.entries = &entry};

	entry.next = &keyless;
	keyless.next = &keyless_too;
	commit(&changes);

	struct audit_entry wanted = {.next = &entry,
				     .player = STR("p1"),
				     .season = "s1",
				     .action = "reset",
				     .idempotency_key = STR("key'\\1")};
	struct audit_entry other_action = wanted;
	struct audit_entry other_season = wanted;
	struct audit_entry twin = wanted;
	struct audit_entry no_key = {.player = STR("p1"), .season = "s1", .action = "claim"};
	struct audit_entry *entries[] = {&other_action, &wanted, &no_key, &twin, &other_season};
	bool found[5] = {false};

	other_action.action = "claim";
	other_season.season = "s2";
	lock("p1");
	CU_ASSERT_EQUAL_FATAL(port->find_entries(port->self, entries, 5, found, &arena), ERR_OK);
	CU_ASSERT(!found[0] && found[1] && !found[2] && found[3] && !found[4]);
	CU_ASSERT_PTR_EQUAL(wanted.next, &entry);
	CU_ASSERT_EQUAL(wanted.sequence, 1);
	CU_ASSERT_EQUAL(memcmp(&wanted.id, &entry.id, sizeof(entry.id)), 0);
	CU_ASSERT_EQUAL(memcmp(wanted.request_hash, request_hash, sizeof(request_hash)), 0);
	CU_ASSERT_EQUAL(memcmp(wanted.hash, hash_a, sizeof(hash_a)), 0);
	CU_ASSERT(str_equal(wanted.author.reason, entry.author.reason));
	CU_ASSERT(says(wanted.author.actor, "support-1") && strcmp(wanted.author.role, "support") == 0);
	CU_ASSERT(says(wanted.author.request_id, "req-1") && says(wanted.subject, "subject"));
	CU_ASSERT(says(wanted.before, "{\"xp\":10}") && says(wanted.after, "{\"xp\":11}"));
	CU_ASSERT(says(wanted.result, "\"a\":1"));
	CU_ASSERT_EQUAL(wanted.revision, 7);
	CU_ASSERT_EQUAL(wanted.xp_before, 10);
	CU_ASSERT_EQUAL(wanted.xp_after, XP_MAX - 1);
	CU_ASSERT_EQUAL(wanted.entered_at_ms, NOW_MS + 1);
	CU_ASSERT(str_equal(twin.after, wanted.after));

	/* The key again: nothing of the transaction stays. */
	struct audit_entry again = entry_of(4, "reset", "key'\\1");

	changes.entries = &again;
	row.xp = 99;
	CU_ASSERT_EQUAL(save(&changes), ERR_STORE_DUPLICATE);
	port->rollback(port->self);
	CU_ASSERT_EQUAL(mariadb_server_number(&server, "SELECT COUNT(*) FROM audit_log"), 3);
	CU_ASSERT_EQUAL(mariadb_server_number(&server, "SELECT xp FROM progress"), 0);
	CU_ASSERT_EQUAL(mariadb_server_number(&server, "SELECT COUNT(*) FROM audit_log WHERE idempotency_key IS NULL"),
			2);
}

static void
test_pass_last_word(void)
{
	struct pass_row given = {NULL, STR("p1"), "s1", {STR("premium"), NOW_MS, true}};
	struct pass_row taken = {&given, STR("p1"), "s1", {STR("premium"), NOW_MS, false}};
	struct changes changes = {.passes = &taken}; /* the list grew at its head */

	clear_tables();
	lock("p1");
	commit(&changes);
	CU_ASSERT_EQUAL(mariadb_server_number(&server, "SELECT COUNT(*) FROM pass_ownership WHERE NOT active"), 1);
}

/* --- purchases --- */

static void
test_purchase(void)
{
	struct purchase_row read;
	struct uuid id = id_of(1);

	clear_tables();
	lock("p1");

	struct purchase_row purchase = purchase_of(1, "premium");
	struct purchase_row tiers = purchase_of(2, NULL);
	struct changes changes = {.purchases = &purchase};

	purchase.next = &tiers;
	purchase.due_in_ms = 5000;
	commit(&changes);

	lock("p1");
	CU_ASSERT_EQUAL_FATAL(port->find_purchase(port->self, STR("p1"), "s1", &id, &arena, &read), ERR_OK);
	CU_ASSERT(says(read.player, "p1") && strcmp(read.season, "s1") == 0 && says(read.pass, "premium"));
	CU_ASSERT(read.live && !read.fresh && read.tiers == 0 && read.amount == 950 && says(read.currency, "gems"));
	CU_ASSERT(read.state == PURCHASE_DEBITING && read.tries == 0);
	CU_ASSERT(read.due_in_ms > 1000 && read.due_in_ms <= 5000);
	CU_ASSERT(read.age_ms > INT64_C(1000000000) && read.created_at_ms == NOW_MS);
	CU_ASSERT_EQUAL(port->live_purchase(port->self, STR("p1"), "s1", STR("premium"), &arena, &read), ERR_OK);
	CU_ASSERT_EQUAL(number_of(&read.id), 1);

	/* What is not there, of whatever kind, leaves the transaction and its locks as they are. */
	CU_ASSERT_EQUAL(port->live_purchase(port->self, STR("p1"), "s1", STR("plus"), &arena, &read),
			ERR_PURCHASE_NOT_FOUND);
	CU_ASSERT_EQUAL(port->find_purchase(port->self, STR("p2"), "s1", &id, &arena, &read), ERR_PURCHASE_NOT_FOUND);
	CU_ASSERT_EQUAL(port->find_purchase(port->self, STR("p1"), "s2", &id, &arena, &read), ERR_PURCHASE_NOT_FOUND);

	struct reset_row reset;

	CU_ASSERT_EQUAL(port->find_reset(port->self, STR("p1"), "s1", &id, &arena, &reset), ERR_RESET_NOT_FOUND);
	mariadb_server_run(&server, "SET innodb_lock_wait_timeout = 0");
	CU_ASSERT_EQUAL(mariadb_server_number(&server, "SELECT COUNT(*) FROM progress WHERE xp = 1"), 0);

	read = purchase;
	read.next = NULL;
	read.fresh = false;
	read.live = false;
	read.state = PURCHASE_REFUNDING;
	read.xp_given = 300;
	read.amount = 1; /* the price is fixed: this is not written */
	read.updated_at_ms = NOW_MS + 1;
	changes.purchases = &read;
	row.xp = 1;
	commit(&changes);
	CU_ASSERT_EQUAL(mariadb_server_number(&server, "SELECT xp FROM progress"), 1);
	CU_ASSERT_EQUAL(mariadb_server_number(&server, "SELECT COUNT(*) FROM purchase WHERE pass_id = 'premium' AND "
						       "live_pass IS NULL AND state = 'refunding' AND xp_given = 300 "
						       "AND amount = 950 AND updated_at_ms = 1700000001"),
			1);

	/* Another one of this pass may stand now, but not a third. */
	lock("p1");

	struct purchase_row second = purchase_of(3, "premium");
	struct purchase_row third = purchase_of(4, "premium");

	changes.purchases = &second;
	commit(&changes);
	lock("p1");
	changes.purchases = &third;
	CU_ASSERT_EQUAL(save(&changes), ERR_INTERNAL);
	port->rollback(port->self);
	CU_ASSERT_EQUAL(mariadb_server_number(&server, "SELECT COUNT(*) FROM purchase"), 3);
}

/* Stored and decided in one transaction. */
static void
test_purchase_twice_in_one(void)
{
	clear_tables();
	lock("p1");

	struct purchase_row purchase = purchase_of(1, "premium");
	struct purchase_row granted = purchase;
	struct purchase_row refunding = purchase;
	struct changes changes = {.purchases = &refunding};

	granted.fresh = refunding.fresh = false;
	granted.state = PURCHASE_GRANTED;
	refunding.state = PURCHASE_REFUNDING;
	refunding.next = &granted;
	granted.next = &purchase;
	commit(&changes);
	CU_ASSERT_STRING_EQUAL(mariadb_server_text(&server, "SELECT state FROM purchase"), "refunding");
}

/* --- resets --- */

static struct reset_row
reset_of(unsigned number, bool forget)
{
	return (struct reset_row){
		.player = row.player,
		.season = row.season->id,
		.id = id_of(number),
		.xp_removed = 500,
		.overflow_paid = 2,
		.forget = forget,
		.reset_at_ms = NOW_MS,
	};
}

static void
claim_some(void)
{
	lock("p1");

	struct claim_row a = claim_of("a", 1);
	struct claim_row b = claim_of("b", 2);
	struct changes changes = {.claims = &a};

	a.next = &b;
	row.claim_count = 2;
	commit(&changes);
}

static void
test_reset_and_undo(void)
{
	struct uuid id = id_of(10);
	struct reset_row found;

	clear_tables();
	mariadb_server_run(&server, "INSERT INTO claim VALUES ('p1', 's2', 1, 'free', 'a', 1, x'01'), "
				    "('p2', 's1', 1, 'free', 'a', 1, x'02')");
	claim_some();
	lock("p1");

	struct reset_row reset = reset_of(10, true);
	struct changes changes = {.resets = &reset};

	row.claim_count = 0;
	commit(&changes);
	CU_ASSERT_EQUAL(mariadb_server_number(&server, "SELECT COUNT(*) FROM claim WHERE player_id = 'p1' AND "
						       "season_id = 's1'"),
			0);
	CU_ASSERT_EQUAL(mariadb_server_number(&server, "SELECT COUNT(*) FROM claim"), 2);

	/* Earned again since. */
	lock("p1");

	struct claim_row again = claim_of("a", 7);

	changes = (struct changes){.claims = &again};
	row.claim_count = 1;
	commit(&changes);

	lock("p1");
	CU_ASSERT_EQUAL_FATAL(port->find_reset(port->self, STR("p1"), "s1", &id, &arena, &found), ERR_OK);
	CU_ASSERT(found.forget && !found.undone && found.xp_removed == 500 && found.overflow_paid == 2);
	CU_ASSERT_EQUAL_FATAL(found.forgotten_count, 2);
	CU_ASSERT(says(found.forgotten[0], "a") && says(found.forgotten[1], "b"));
	found.undone = true;
	changes = (struct changes){.resets = &found};
	row.claim_count = 2;
	commit(&changes);

	lock("p1");
	CU_ASSERT_EQUAL(row.claim_count, 2);
	CU_ASSERT_EQUAL(mariadb_server_number(&server, "SELECT claimed_at_ms FROM claim WHERE reward_id = 'a' AND "
						       "player_id = 'p1' AND season_id = 's1'"),
			NOW_MS + 7);
	CU_ASSERT_EQUAL(mariadb_server_number(&server, "SELECT claimed_at_ms FROM claim WHERE reward_id = 'b'"),
			NOW_MS + 2);
	CU_ASSERT_EQUAL(mariadb_server_number(&server, "SELECT COUNT(*) FROM forgotten_claim"), 0);
	CU_ASSERT_EQUAL(port->find_reset(port->self, STR("p1"), "s1", &id, &arena, &reset), ERR_OK);
	CU_ASSERT(reset.undone && reset.forgotten_count == 0);
	row.xp = 500;
	CU_ASSERT_EQUAL(save(&changes), ERR_INTERNAL); /* a second undo gives nothing */
	port->rollback(port->self);
	CU_ASSERT_EQUAL(mariadb_server_number(&server, "SELECT xp FROM progress"), 0);
}

static void
test_reset_keeps_claims(void)
{
	struct uuid id = id_of(10);

	clear_tables();
	claim_some();
	lock("p1");

	struct reset_row reset = reset_of(10, false);
	struct changes changes = {.resets = &reset};

	commit(&changes);
	lock("p1");
	CU_ASSERT_EQUAL(row.claim_count, 2);
	CU_ASSERT_EQUAL(port->find_reset(port->self, STR("p1"), "s1", &id, &arena, &reset), ERR_OK);
	CU_ASSERT(!reset.forget && reset.forgotten_count == 0);
	reset.undone = true;
	commit(&changes);
	CU_ASSERT_EQUAL(mariadb_server_number(&server, "SELECT COUNT(*) FROM claim"), 2);
}

/* The first of two has the claims, and undoing it brings them back. */
static void
test_two_resets_in_one(void)
{
	clear_tables();
	claim_some();
	lock("p1");

	struct reset_row first = reset_of(10, true);
	struct reset_row second = reset_of(11, true);
	struct changes changes = {.resets = &second};
	char sql[128];

	second.next = &first;
	row.claim_count = 0;
	commit(&changes);
	snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM forgotten_claim WHERE reset_id = x'018f%028x'", 10);
	CU_ASSERT_EQUAL(mariadb_server_number(&server, sql), 2);
}

/* --- lists --- */

enum { LISTED = 10, PAGE = 3 };

/* Ten of everything for three players in two seasons. */
static void
fill_lists(void)
{
	static const char *const players[] = {"p1", "p2", "p1"};
	static const struct season_entry *const seasons[] = {&s1, &s1, &s2};
	unsigned number = 1;

	clear_tables();
	for (int i = 0; i < LISTED; i++) {
		for (int who = 0; who < 3; who++, number++) {
			lock_in(players[who], seasons[who]);

			char reward[16];
			struct claim_row claim = claim_of(reward, number);
			struct delivery_row delivery = delivery_of(number);
			struct purchase_row purchase = purchase_of(number, NULL);
			struct audit_entry entry = entry_of(number, i % 2 ? "claim" : "reset", NULL);
			struct changes changes = {
				.entries = &entry, .claims = &claim, .deliveries = &delivery, .purchases = &purchase};

			snprintf(reward, sizeof(reward), "r%u", number);
			claim.reward = str_from(reward);
			entry.author.actor = row.player;
			purchase.state = (enum purchase_state)(number % PURCHASE_STATE_COUNT);
			delivery.state = (enum delivery_state)(number % DELIVERY_STATE_COUNT);
			row.claim_count++;
			commit(&changes);
		}
	}
}

/* Asks for one page; how many there are, and the number of each. */
typedef size_t page_reader(const struct page_query *query, const char *state, unsigned numbers[]);

/* Reads a list page by page and compares it with the numbers from 3 * LISTED down that `belongs` says are in it. */
static void
check_pages(page_reader *read, struct page_query query, const char *state, bool (*belongs)(unsigned))
{
	unsigned numbers[PAGE];
	unsigned next = 3 * LISTED;
	size_t count;

	query.from_newest = true;
	query.limit = PAGE;
	do {
		count = read(&query, state, numbers);
		for (size_t i = 0; i < count; i++, next--) {
			while (next && !belongs(next))
				next--;
			CU_ASSERT_EQUAL(numbers[i], next);
			query.before = id_of(numbers[i]);
		}
		query.from_newest = false;
		arena_reset(&arena);
	} while (count == PAGE);
	while (next && !belongs(next))
		next--;
	CU_ASSERT_EQUAL(next, 0);
}

static size_t
read_claims(const struct page_query *query, const char *state, unsigned numbers[])
{
	struct claim_row *rows;
	size_t count;

	(void)state;
	CU_ASSERT_EQUAL_FATAL(records->claims(records->self, query, &arena, &rows, &count), ERR_OK);
	for (size_t i = 0; i < count; i++) {
		numbers[i] = number_of(&rows[i].delivery);
		CU_ASSERT_EQUAL(rows[i].delivery_state, numbers[i] % DELIVERY_STATE_COUNT);
		CU_ASSERT(rows[i].tier == 3 && rows[i].claimed_at_ms == NOW_MS + numbers[i]);
	}
	return count;
}

static size_t
read_purchases(const struct page_query *query, const char *state, unsigned numbers[])
{
	struct purchase_row *rows;
	size_t count;

	CU_ASSERT_EQUAL_FATAL(records->purchases(records->self, query, state, &arena, &rows, &count), ERR_OK);
	for (size_t i = 0; i < count; i++) {
		numbers[i] = number_of(&rows[i].id);
		CU_ASSERT_EQUAL(rows[i].state, numbers[i] % PURCHASE_STATE_COUNT);
	}
	return count;
}

static size_t
read_deliveries(const struct page_query *query, const char *state, unsigned numbers[])
{
	struct delivery_row *rows;
	size_t count;

	CU_ASSERT_EQUAL_FATAL(records->deliveries(records->self, query, state, &arena, &rows, &count), ERR_OK);
	for (size_t i = 0; i < count; i++) {
		numbers[i] = number_of(&rows[i].id);
		CU_ASSERT_EQUAL(rows[i].state, numbers[i] % DELIVERY_STATE_COUNT);
		CU_ASSERT(says(rows[i].item, "coins") && rows[i].quantity == 50);
	}
	return count;
}

static struct entry_query entry_filter;

static size_t
read_entries(const struct page_query *query, const char *state, unsigned numbers[])
{
	struct audit_entry *rows;
	size_t count;

	(void)state;
	entry_filter.page = *query;
	CU_ASSERT_EQUAL_FATAL(records->entries(records->self, &entry_filter, &arena, &rows, &count), ERR_OK);
	for (size_t i = 0; i < count; i++)
		numbers[i] = number_of(&rows[i].id);
	return count;
}

/* By the order in which fill_lists goes: p1 in s1, p2 in s1, p1 in s2. */
static bool
any(unsigned number)
{
	return number > 0;
}

static bool
is_p1(unsigned number)
{
	return number % 3 != 2;
}

static bool
is_p1_s1(unsigned number)
{
	return number % 3 == 1;
}

static bool
is_p2(unsigned number)
{
	return number % 3 == 2;
}

static bool
is_stuck(unsigned number)
{
	return number % PURCHASE_STATE_COUNT == PURCHASE_STUCK;
}

static bool
is_failed_p1(unsigned number)
{
	return is_p1(number) && number % DELIVERY_STATE_COUNT == DELIVERY_FAILED;
}

static bool
is_failed(unsigned number)
{
	return number % DELIVERY_STATE_COUNT == DELIVERY_FAILED;
}

static bool
is_reset(unsigned number)
{
	return (number - 1) / 3 % 2 == 0;
}

static bool
is_early(unsigned number)
{
	return number >= 5 && number < 12;
}

static bool
is_reset_of_p2(unsigned number)
{
	return is_reset(number) && is_p2(number);
}

static void
test_pages(void)
{
	struct page_query everybody = {.limit = PAGE};
	struct page_query p1 = {.player = STR("p1")};
	struct page_query p1_s1 = {.player = STR("p1"), .season = "s1"};

	fill_lists();
	check_pages(read_claims, p1, NULL, is_p1);
	check_pages(read_claims, p1_s1, NULL, is_p1_s1);
	check_pages(read_purchases, everybody, NULL, any);
	check_pages(read_purchases, everybody, "stuck", is_stuck);
	check_pages(read_purchases, p1, NULL, is_p1);
	check_pages(read_purchases, p1_s1, NULL, is_p1_s1);
	check_pages(read_deliveries, everybody, NULL, any);
	check_pages(read_deliveries, everybody, "failed", is_failed);
	check_pages(read_deliveries, p1, "failed", is_failed_p1);
	check_pages(read_deliveries, p1_s1, NULL, is_p1_s1);
}

static void
test_entry_pages(void)
{
	struct page_query everybody = {.limit = PAGE};

	fill_lists();
	entry_filter = (struct entry_query){.to_ms = INT64_MAX};
	check_pages(read_entries, everybody, NULL, any);
	check_pages(read_entries, (struct page_query){.player = STR("p1")}, NULL, is_p1);
	check_pages(read_entries, (struct page_query){.player = STR("p1"), .season = "s1"}, NULL, is_p1_s1);
	entry_filter.actor = STR("p2");
	check_pages(read_entries, everybody, NULL, is_p2);
	entry_filter.action = STR("reset");
	check_pages(read_entries, everybody, NULL, is_reset_of_p2);
	entry_filter.actor = STR_NONE;
	check_pages(read_entries, everybody, NULL, is_reset);
	entry_filter = (struct entry_query){.from_ms = NOW_MS + 5, .to_ms = NOW_MS + 12};
	check_pages(read_entries, everybody, NULL, is_early);
}

/* --- single records --- */

static void
test_single_records(void)
{
	struct uuid id = id_of(4);
	struct uuid nowhere = id_of(999);
	struct purchase_row purchase;
	struct delivery_row delivery;

	fill_lists();
	CU_ASSERT_EQUAL(records->purchase(records->self, STR("p1"), "s1", &id, &arena, &purchase), ERR_OK);
	CU_ASSERT_EQUAL(number_of(&purchase.id), 4);
	CU_ASSERT_EQUAL(records->purchase(records->self, STR("p2"), "s1", &id, &arena, &purchase),
			ERR_PURCHASE_NOT_FOUND);
	for (unsigned number = 4; number < 7; number++) { /* one of each state */
		id = id_of(number);
		CU_ASSERT_EQUAL(records->delivery(records->self, &id, &arena, &delivery), ERR_OK);
		CU_ASSERT_EQUAL(number_of(&delivery.id), number);
	}
	CU_ASSERT_EQUAL(records->delivery(records->self, &nowhere, &arena, &delivery), ERR_DELIVERY_NOT_FOUND);
	mariadb_server_run(&server, "UPDATE purchase SET state = 'odd' WHERE player_id = 'p2'");
	id = id_of(2);
	CU_ASSERT_EQUAL(records->purchase(records->self, STR("p2"), "s1", &id, &arena, &purchase), ERR_INTERNAL);
}

static void
test_standings(void)
{
	struct season_standing *rows;
	size_t count;

	fill_lists();
	mariadb_server_run(&server,
			   "UPDATE progress SET xp = 7, revision = 8, updated_at_ms = 9 WHERE season_id = 's2'");
	CU_ASSERT_EQUAL_FATAL(records->standings(records->self, STR("p1"), &arena, &rows, &count), ERR_OK);
	CU_ASSERT_EQUAL_FATAL(count, 2);
	CU_ASSERT(says(rows[0].season, "s1") && says(rows[1].season, "s2"));
	CU_ASSERT(rows[1].xp == 7 && rows[1].revision == 8 && rows[1].updated_at_ms == 9);
	CU_ASSERT_EQUAL(records->standings(records->self, STR("nobody"), &arena, &rows, &count), ERR_OK);
	CU_ASSERT_EQUAL(count, 0);
}

static struct str
uuid_text(unsigned number)
{
	char text[UUID_TEXT_SIZE];
	struct uuid id = id_of(number);

	uuid_format(&id, text);
	return arena_str(&arena, str_from(text));
}

static void
test_history(void)
{
	static const struct {
		unsigned purchase;
		const char *action;
	} steps[] = {{1, "purchase_debiting"}, {2, "purchase_debiting"},  {1, "purchase_granted"},
		     {3, "purchase_debiting"}, {1, "purchase_refunding"}, {1, "reset"}};
	struct purchase_row purchases[] = {{.id = id_of(1), .season = "s1"}, {.id = id_of(2), .season = "s1"}};
	struct purchase_step *read;
	size_t count;

	clear_tables();
	for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		lock("p1");

		struct audit_entry entry = entry_of(100 - i, steps[i].action, NULL); /* ids do not count here */
		struct changes changes = {.entries = &entry};

		entry.subject = uuid_text(steps[i].purchase);
		commit(&changes);
	}
	CU_ASSERT_EQUAL_FATAL(records->history(records->self, STR("p1"), purchases, 2, &arena, &read, &count), ERR_OK);
	CU_ASSERT_EQUAL_FATAL(count, 4);
	CU_ASSERT(number_of(&read[0].purchase) == 1 && read[0].state == PURCHASE_DEBITING);
	CU_ASSERT(number_of(&read[1].purchase) == 2 && read[1].state == PURCHASE_DEBITING);
	CU_ASSERT(number_of(&read[2].purchase) == 1 && read[2].state == PURCHASE_GRANTED);
	CU_ASSERT(number_of(&read[3].purchase) == 1 && read[3].state == PURCHASE_REFUNDING);
	CU_ASSERT_EQUAL(read[2].at_ms, NOW_MS + 98);
	CU_ASSERT_EQUAL(records->history(records->self, STR("p1"), purchases, 0, &arena, &read, &count), ERR_OK);
	CU_ASSERT_EQUAL(count, 0);
}

/* --- chains --- */

/* How many entries and heads a walk in pages finds; each must stand behind the one before. */
static void
check_chain(const char *player, const char *season, size_t expected)
{
	struct chain_position at = {.sequence = 0};
	struct audit_entry *rows;
	size_t all = 0;
	size_t count;

	do {
		CU_ASSERT_EQUAL_FATAL(records->chain(records->self, player, season, &at, 4, &arena, &rows, &count),
				      ERR_OK);
		for (size_t i = 0; i < count; i++, all++) {
			int order = strcmp(rows[i].player.ptr, at.player);

			if (order == 0)
				order = strcmp(rows[i].season, at.season);
			CU_ASSERT(order > 0 ? rows[i].sequence == 1
					    : order == 0 && rows[i].sequence == at.sequence + 1);
			snprintf(at.player, sizeof(at.player), "%s", rows[i].player.ptr);
			snprintf(at.season, sizeof(at.season), "%s", rows[i].season);
			at.sequence = rows[i].sequence;
		}
	} while (count);
	CU_ASSERT_EQUAL(all, expected);
}

static void
check_heads(const char *player, const char *season, size_t expected)
{
	struct chain_position at = {.sequence = 0};
	struct chain_head *heads;
	size_t all = 0;
	size_t count;

	do {
		CU_ASSERT_EQUAL_FATAL(
			records->chain_heads(records->self, player, season, &at, 1, &arena, &heads, &count), ERR_OK);
		for (size_t i = 0; i < count; i++, all++) {
			CU_ASSERT(strcmp(heads[i].player, at.player) > 0 || strcmp(heads[i].season, at.season) > 0);
			CU_ASSERT_EQUAL(heads[i].count, LISTED);
			memcpy(at.player, heads[i].player, sizeof(at.player));
			memcpy(at.season, heads[i].season, sizeof(at.season));
		}
	} while (count);
	CU_ASSERT_EQUAL(all, expected);
}

static void
test_chains(void)
{
	fill_lists();
	lock("without-entries");
	commit(NULL);
	check_chain(NULL, NULL, 3 * LISTED);
	check_chain("p1", NULL, 2 * LISTED);
	check_chain("p1", "s2", LISTED);
	check_chain(NULL, "s1", 2 * LISTED);
	check_heads(NULL, NULL, 3);
	check_heads("p1", NULL, 2);
	check_heads("p1", "s2", 1);
	check_heads(NULL, "s1", 2);
}

/* --- the courier --- */

static void
add_deliveries(unsigned count)
{
	for (unsigned number = 1; number <= count;) {
		char player[32];

		snprintf(player, sizeof(player), "p%u", number % 7);
		lock(player);

		struct delivery_row deliveries[50];
		size_t added = 0;

		for (; added < 50 && number <= count; number++, added++) {
			deliveries[added] = delivery_of(number);
			deliveries[added].next = added ? &deliveries[added - 1] : NULL;
		}
		commit(&(struct changes){.deliveries = &deliveries[added - 1]});
	}
}

static void
test_take_deliveries(void)
{
	struct uuid me = id_of(1000001);
	struct uuid other = id_of(1000002);
	struct delivery_row *rows;
	size_t count;

	clear_tables();
	add_deliveries(5);
	mariadb_server_run(&server, "UPDATE delivery SET state = 'delivered' WHERE delivery_id LIKE '%\\x05'");
	CU_ASSERT_EQUAL(store_take_deliveries(store, &me, HOLD_MS, 2, &arena, &rows, &count), ERR_OK);
	CU_ASSERT_EQUAL_FATAL(count, 2);
	CU_ASSERT_EQUAL(rows[0].tries, 1);

	struct delivery_row mine[2] = {rows[0], rows[1]};

	CU_ASSERT_EQUAL(store_take_deliveries(store, &me, HOLD_MS, 10, &arena, &rows, &count), ERR_OK);
	CU_ASSERT_EQUAL(count, 3); /* not those that are mine already */
	CU_ASSERT_EQUAL(store_take_deliveries(store, &other, HOLD_MS, 10, &arena, &rows, &count), ERR_OK);
	CU_ASSERT_EQUAL(count, 0);

	/* Given back: due again for anybody; somebody else's word counts for nothing. */
	mine[0].state = DELIVERY_PENDING;
	mine[0].last_error = STR("503 \xff\nService's");
	CU_ASSERT_EQUAL(end_one(store, &other, &mine[0]), ERR_OK);
	CU_ASSERT_EQUAL(mariadb_server_number(&server, "SELECT COUNT(*) FROM delivery WHERE last_error <> ''"), 0);
	CU_ASSERT_EQUAL(end_one(store, &me, &mine[0]), ERR_OK);
	CU_ASSERT_STRING_EQUAL(mariadb_server_text(&server, "SELECT last_error FROM delivery WHERE last_error <> ''"),
			       "503 ??Service's");
	mine[1].state = DELIVERY_DELIVERED;
	CU_ASSERT_EQUAL(end_one(store, &me, &mine[1]), ERR_OK);
	CU_ASSERT_EQUAL(store_take_deliveries(store, &other, HOLD_MS, 10, &arena, &rows, &count), ERR_OK);
	CU_ASSERT_EQUAL_FATAL(count, 1);
	CU_ASSERT_EQUAL(memcmp(&rows[0].id, &mine[0].id, sizeof(rows[0].id)), 0);
	CU_ASSERT_EQUAL(rows[0].tries, 2);
	CU_ASSERT(says(rows[0].last_error, "503 ??Service's"));

	/* What is held too long is anybody's. */
	mariadb_server_run(&server, "UPDATE delivery SET due_at_ms = 1 WHERE state = 'pending'");
	CU_ASSERT_EQUAL(store_take_deliveries(store, &me, HOLD_MS, 10, &arena, &rows, &count), ERR_OK);
	CU_ASSERT_EQUAL(count, 4);
	CU_ASSERT_EQUAL(end_one(store, &other, &mine[0]), ERR_OK); /* too late */
	CU_ASSERT_EQUAL(store_take_deliveries(store, &other, HOLD_MS, 10, &arena, &rows, &count), ERR_OK);
	CU_ASSERT_EQUAL(count, 0);
}

static void
test_retry_delivery(void)
{
	clear_tables();
	add_deliveries(3);
	mariadb_server_run(&server, "UPDATE delivery SET state = 'failed', tries = 9, due_at_ms = 1");
	lock("p1");

	struct delivery_row retry = delivery_of(1);
	struct changes changes = {.retries = &retry};

	mariadb_server_run(&server, "UPDATE delivery SET player_id = 'p1'");
	commit(&changes);
	CU_ASSERT_EQUAL(mariadb_server_number(&server, "SELECT COUNT(*) FROM delivery WHERE state = 'pending' AND "
						       "tries = 0 AND due_at_ms > 1"),
			1);
	mariadb_server_run(&server, "UPDATE delivery SET state = 'delivered', tries = 1");
	lock("p1");
	commit(&changes);
	CU_ASSERT_EQUAL(mariadb_server_number(&server, "SELECT COUNT(*) FROM delivery WHERE state = 'delivered' AND "
						       "tries = 1"),
			3);
}

static void
test_take_purchases(void)
{
	static const enum purchase_state states[] = {PURCHASE_DEBITING, PURCHASE_GRANTED, PURCHASE_CANCELLING,
						     PURCHASE_REFUNDING, PURCHASE_STUCK};
	struct uuid me = id_of(1000001);
	struct uuid other = id_of(1000002);
	struct purchase_row *rows;
	size_t count;

	clear_tables();
	for (unsigned i = 0; i < 5; i++) {
		lock("p1");

		struct purchase_row purchase = purchase_of(i + 1, NULL);

		purchase.state = states[i];
		purchase.due_in_ms = -100 * (int64_t)i;
		commit(&(struct changes){.purchases = &purchase});
	}
	lock("p2");

	struct purchase_row later = purchase_of(9, NULL);

	later.due_in_ms = HOLD_MS;
	commit(&(struct changes){.purchases = &later});

	/* The longest due come first. */
	CU_ASSERT_EQUAL(store_take_purchases(store, &me, HOLD_MS, 2, &arena, &rows, &count), ERR_OK);
	CU_ASSERT_EQUAL_FATAL(count, 2);
	CU_ASSERT(rows[0].state == PURCHASE_CANCELLING && rows[1].state == PURCHASE_REFUNDING);
	CU_ASSERT(rows[0].tries == 1 && rows[0].due_in_ms > HOLD_MS / 2 && rows[0].age_ms > 0);

	struct purchase_row mine = rows[0];

	CU_ASSERT_EQUAL(store_take_purchases(store, &other, HOLD_MS, 9, &arena, &rows, &count), ERR_OK);
	CU_ASSERT_EQUAL_FATAL(count, 1);
	CU_ASSERT_EQUAL(rows[0].state, PURCHASE_DEBITING);
	CU_ASSERT_EQUAL(store_put_off_purchase(store, &other, &mine, -1), ERR_OK);
	CU_ASSERT_EQUAL(store_take_purchases(store, &other, HOLD_MS, 9, &arena, &rows, &count), ERR_OK);
	CU_ASSERT_EQUAL(count, 0);
	CU_ASSERT_EQUAL(store_put_off_purchase(store, &me, &mine, -1), ERR_OK);
	CU_ASSERT_EQUAL(store_take_purchases(store, &other, HOLD_MS, 9, &arena, &rows, &count), ERR_OK);
	CU_ASSERT_EQUAL_FATAL(count, 1);
	CU_ASSERT_EQUAL(rows[0].tries, 2);
}

/* --- many at once --- */

/* Runs work(number, fd) in so many processes and collects the bytes that each writes to fd. */
static size_t
in_processes(void (*work)(unsigned number, int out), unsigned count, unsigned char *bytes, size_t size)
{
	int pipes[2];
	size_t read_bytes = 0;
	ssize_t got;

	CU_ASSERT_EQUAL_FATAL(pipe(pipes), 0);
	fflush(stdout);
	for (unsigned number = 0; number < count; number++) {
		pid_t pid = fork();

		CU_ASSERT_FATAL(pid >= 0);
		if (pid == 0) {
			close(pipes[0]);
			store = store_new(server.conf, STORE_REPLY_S); /* connections are not shared over a fork */
			port = store_port(store);
			arena_init(&arena);
			work(number, pipes[1]);
			_exit(0);
		}
	}
	close(pipes[1]);
	while ((got = read(pipes[0], bytes + read_bytes, size - read_bytes)) > 0)
		read_bytes += (size_t)got;
	close(pipes[0]);
	for (unsigned number = 0; number < count; number++) {
		int status = 0;

		CU_ASSERT(wait(&status) > 0 && status == 0);
	}
	return read_bytes;
}

static void
write_numbers(int out, const struct uuid *id)
{
	unsigned number = number_of(id);

	if (write(out, &number, sizeof(number)) != sizeof(number))
		_exit(3);
}

/* Takes until nothing was due several times; an error of any kind ends it with a status. */
static void
courier(unsigned number, int out)
{
	struct uuid me = id_of(2000000 + number);
	struct delivery_row *rows;
	size_t count;

	for (int idle = 0; idle < 3; idle++) {
		if (store_take_deliveries(store, &me, HOLD_MS, TAKE, &arena, &rows, &count) != ERR_OK)
			_exit(1);
		for (size_t i = 0; i < count; i++) {
			write_numbers(out, &rows[i].id);
			rows[i].state = DELIVERY_DELIVERED;
			if (end_one(store, &me, &rows[i]) != ERR_OK)
				_exit(2);
			idle = -1;
		}
		arena_reset(&arena);
	}
}

static void
check_each_once(const unsigned *numbers, size_t count)
{
	unsigned seen[ROWS + 1] = {0};
	size_t wrong = 0;

	for (size_t i = 0; i < count; i++)
		seen[numbers[i] <= ROWS ? numbers[i] : 0]++;
	for (unsigned number = 1; number <= ROWS; number++)
		wrong += seen[number] != 1;
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_EQUAL(seen[0], 0);
}

static void
test_couriers_at_once(void)
{
	static unsigned numbers[ROWS * COURIERS];

	clear_tables();
	add_deliveries(ROWS);

	size_t size = in_processes(courier, COURIERS, (unsigned char *)numbers, sizeof(numbers));

	check_each_once(numbers, size / sizeof(numbers[0]));
	CU_ASSERT_EQUAL(mariadb_server_number(&server, "SELECT COUNT(*) FROM delivery WHERE state = 'delivered' AND "
						       "tries = 1"),
			ROWS);
}

/* Half of them take purchases, the others buy: both meet in the same index. */
static void
buyer_or_courier(unsigned number, int out)
{
	struct uuid me = id_of(2000000 + number);
	unsigned share = ROWS / (COURIERS / 2);
	unsigned first = 1 + number / 2 * share;
	struct purchase_row *rows;
	size_t count;
	char player[32];

	for (unsigned i = 0; number % 2 == 0 && i < share; i++) {
		snprintf(player, sizeof(player), "p%u", i % 5);
		lock(player);

		struct purchase_row purchase = purchase_of(first + i, NULL);

		if (save(&(struct changes){.purchases = &purchase}) != ERR_OK || port->commit(port->self) != ERR_OK)
			_exit(1);
		arena_reset(&arena);
	}
	for (int idle = 0; number % 2 == 1 && idle < 50; idle++) {
		if (store_take_purchases(store, &me, HOLD_MS, TAKE, &arena, &rows, &count) != ERR_OK)
			_exit(2);
		for (size_t i = 0; i < count; i++, idle = -1) {
			write_numbers(out, &rows[i].id);
			if (store_put_off_purchase(store, &me, &rows[i], HOLD_MS) != ERR_OK)
				_exit(3);
		}
		arena_reset(&arena);
		if (count == 0)
			clock_sleep_ms(10);
	}
}

static void
test_buyers_and_couriers_at_once(void)
{
	static unsigned numbers[ROWS * COURIERS];

	clear_tables();

	size_t size = in_processes(buyer_or_courier, COURIERS, (unsigned char *)numbers, sizeof(numbers));

	check_each_once(numbers, size / sizeof(numbers[0]));
}

static void
chore_holder(unsigned number, int out)
{
	struct uuid me = id_of(2000000 + number);
	struct store_chore chore;
	bool held = false;

	if (store_hold_chore(store, "claim:s1", &me, HOLD_MS, &held, &chore) != ERR_OK)
		_exit(1);
	if (held && write(out, "x", 1) != 1)
		_exit(2);
}

static void
test_chore(void)
{
	struct uuid me = id_of(1);
	struct uuid other = id_of(2);
	struct store_chore chore;
	unsigned char bytes[COURIERS];
	bool held = false;

	clear_tables();
	CU_ASSERT_EQUAL(in_processes(chore_holder, COURIERS, bytes, sizeof(bytes)), 1);
	mariadb_server_run(&server, "DELETE FROM chore");

	CU_ASSERT_EQUAL(store_hold_chore(store, "c", &me, HOLD_MS, &held, &chore), ERR_OK);
	CU_ASSERT(held && !chore.done && chore.position[0] == '\0');
	CU_ASSERT_EQUAL(store_hold_chore(store, "c", &me, HOLD_MS, &held, &chore), ERR_OK);
	CU_ASSERT(held);
	CU_ASSERT_EQUAL(store_hold_chore(store, "c", &other, HOLD_MS, &held, &chore), ERR_OK);
	CU_ASSERT(!held);

	struct store_chore left = {.position = "player-17"};

	CU_ASSERT_EQUAL(store_leave_chore(store, "c", &other, &(struct store_chore){.done = true}), ERR_OK);
	CU_ASSERT_EQUAL(store_leave_chore(store, "c", &me, &left), ERR_OK);
	CU_ASSERT_EQUAL(store_hold_chore(store, "c", &other, HOLD_MS, &held, &chore), ERR_OK);
	CU_ASSERT(held && !chore.done && strcmp(chore.position, "player-17") == 0);

	/* A hold that has run out. */
	mariadb_server_run(&server, "UPDATE chore SET held_until_ms = 1");
	left.done = true;
	CU_ASSERT_EQUAL(store_leave_chore(store, "c", &other, &left), ERR_OK);
	CU_ASSERT_EQUAL(store_hold_chore(store, "c", &me, HOLD_MS, &held, &chore), ERR_OK);
	CU_ASSERT(held && !chore.done);
}

static void
test_season_players(void)
{
	struct str *players;
	size_t count;

	clear_tables();
	mariadb_server_run(&server, "INSERT INTO progress (player_id, season_id) VALUES ('c', 's1'), ('a', 's1'), "
				    "('b', 's1'), ('B', 's1'), ('x', 's2')");
	CU_ASSERT_EQUAL(store_season_players(store, "s1", STR_NONE, 3, &arena, &players, &count), ERR_OK);
	CU_ASSERT_EQUAL_FATAL(count, 3);
	CU_ASSERT(says(players[0], "B") && says(players[1], "a") && says(players[2], "b"));
	CU_ASSERT_EQUAL(store_season_players(store, "s1", players[2], 3, &arena, &players, &count), ERR_OK);
	CU_ASSERT_EQUAL_FATAL(count, 1);
	CU_ASSERT(says(players[0], "c"));
}

static void
test_backlog(void)
{
	struct store_backlog backlog;

	clear_tables();
	CU_ASSERT_EQUAL(store_backlog(store, &backlog), ERR_OK);
	CU_ASSERT(backlog.purchases_open == 0 && backlog.purchases_stuck == 0 && backlog.deliveries_pending == 0 &&
		  backlog.deliveries_failed == 0 && backlog.oldest_pending_ms == 0);
	fill_lists(); /* numbers 1 to 30 */
	CU_ASSERT_EQUAL(store_backlog(store, &backlog), ERR_OK);
	CU_ASSERT_EQUAL(backlog.purchases_open,
			mariadb_server_number(&server, "SELECT COUNT(*) FROM purchase WHERE state IN ('debiting', "
						       "'cancelling', 'refunding')"));
	CU_ASSERT_EQUAL(backlog.purchases_stuck, 3);
	CU_ASSERT_EQUAL(backlog.deliveries_pending, 10);
	CU_ASSERT_EQUAL(backlog.deliveries_failed, 10);
	CU_ASSERT(backlog.oldest_pending_ms > INT64_C(1000000000));
}

static void
expect_distrust(struct distrust_row *wanted, bool there, bool settled)
{
	CU_ASSERT_EQUAL(port->find_distrust(port->self, wanted, 1), ERR_OK);
	CU_ASSERT(wanted->there == there && wanted->settled == settled);
}

/* A row is what it was made as until it is forgotten; who settles it must mean this very one. */
static void
test_distrust(void)
{
	struct distrust_row rows[] = {{.player = STR("p1"), .season = "s1", .id = uuid_new(1)},
				      {.player = STR("p1"), .season = "s2", .id = uuid_new(1)}};
	struct distrust_row again[] = {rows[0]};
	struct distrust_row none = {.player = STR("p1"), .season = "s3"};

	mariadb_server_run(&server, "DELETE FROM cache_distrust");
	expect_distrust(&none, false, false);
	again[0].id = uuid_new(2);
	CU_ASSERT_EQUAL(port->distrust(port->self, rows, 2), ERR_OK);
	CU_ASSERT_EQUAL(port->distrust(port->self, again, 1), ERR_OK); /* there is one already */
	CU_ASSERT_EQUAL(port->settle_distrust(port->self, again, 1), ERR_OK);
	expect_distrust(&again[0], true, false);
	CU_ASSERT_EQUAL(memcmp(&again[0].id, &rows[0].id, sizeof(again[0].id)), 0);
	CU_ASSERT_EQUAL(port->settle_distrust(port->self, rows, 2), ERR_OK);
	expect_distrust(&rows[0], true, true);
	expect_distrust(&rows[1], true, true);
	expect_distrust(&none, false, false);
}

/* In the transaction that forgets it, and in no other before it commits. */
static void
test_forget_distrust(void)
{
	struct distrust_row wanted = {.player = STR("p1"), .season = "s1", .id = uuid_new(1)};
	struct distrust_row *page;
	size_t count;

	clear_tables();
	mariadb_server_run(&server, "DELETE FROM cache_distrust");
	CU_ASSERT_EQUAL(port->distrust(port->self, &wanted, 1), ERR_OK);
	CU_ASSERT_EQUAL(store_distrust_page(store, 60000, 10, &arena, &page, &count), ERR_OK);
	CU_ASSERT_EQUAL(count, 0);
	CU_ASSERT_EQUAL(store_distrust_page(store, 0, 10, &arena, &page, &count), ERR_OK);
	CU_ASSERT_EQUAL_FATAL(count, 1);
	CU_ASSERT(says(page[0].player, "p1") && strcmp(page[0].season, "s1") == 0);
	lock("p1");
	CU_ASSERT_EQUAL(port->forget_distrust(port->self, &wanted, 1), ERR_OK);
	expect_distrust(&wanted, false, false);
	CU_ASSERT_EQUAL(mariadb_server_number(&server, "SELECT COUNT(*) FROM cache_distrust"), 1);
	port->rollback(port->self);
	expect_distrust(&wanted, true, false);
	lock("p1");
	CU_ASSERT_EQUAL(port->forget_distrust(port->self, &wanted, 1), ERR_OK);
	CU_ASSERT_EQUAL(port->commit(port->self), ERR_OK);
	expect_distrust(&wanted, false, false);
}

/* The steward's one question: it names all, or says that there are too many. */
static void
test_control(void)
{
	static struct store_control control;

	mariadb_server_run(&server, "DELETE FROM cache_distrust");
	CU_ASSERT_EQUAL(store_control_read(store, &control), ERR_OK);
	CU_ASSERT(control.distrusted_count == 0 && control.directory_version != 0 && control.gate.epoch != 0);
	mariadb_server_run(
		&server, "INSERT INTO cache_distrust SELECT CONCAT('p', seq), 's1', x'00', TRUE, 0 FROM seq_1_to_1000");
	CU_ASSERT_EQUAL(store_control_read(store, &control), ERR_OK);
	CU_ASSERT_EQUAL(control.distrusted_count, 1000);
	for (uint32_t i = 0; i < control.distrusted_count; i++)
		CU_ASSERT(control.distrusted[i].player[0] == 'p' && strcmp(control.distrusted[i].season, "s1") == 0);
	mariadb_server_run(&server, "INSERT INTO cache_distrust VALUES ('q', 's1', x'00', TRUE, 0)");
	CU_ASSERT_EQUAL(store_control_read(store, &control), ERR_OK);
	CU_ASSERT_TRUE(control.distrusted_count > DISTRUSTED_MAX);
	mariadb_server_run(&server, "DELETE FROM cache_distrust");
}

static void
expect_reached(const struct uuid *asking, const char *redis_id, bool expected)
{
	bool reach = !expected;

	CU_ASSERT_EQUAL(port->others_reach(port->self, asking, redis_id, &reach), ERR_OK);
	CU_ASSERT_EQUAL(reach, expected);
}

static void
test_hosts(void)
{
	struct uuid hosts[] = {uuid_new(1), uuid_new(1)};

	expect_reached(&hosts[0], "aa", false);
	CU_ASSERT_EQUAL(store_say_host(store, &hosts[0], "aa"), ERR_OK);
	expect_reached(&hosts[0], "aa", false); /* itself is no other */
	expect_reached(&hosts[1], "aa", true);
	expect_reached(&hosts[1], "bb", false);
	CU_ASSERT_EQUAL(store_say_host(store, &hosts[0], ""), ERR_OK);
	expect_reached(&hosts[1], "aa", false);
	CU_ASSERT_EQUAL(store_say_host(store, &hosts[0], "aa"), ERR_OK);
	mariadb_server_run(&server, "UPDATE cache_host SET seen_at_ms = seen_at_ms - 4000");
	expect_reached(&hosts[1], "aa", false); /* what it said is too old */
	CU_ASSERT_EQUAL(store_forget_hosts(store), ERR_OK);
	CU_ASSERT_EQUAL(mariadb_server_number(&server, "SELECT COUNT(*) FROM cache_host"), 1);
	mariadb_server_run(&server, "UPDATE cache_host SET seen_at_ms = seen_at_ms - 3600000");
	CU_ASSERT_EQUAL(store_forget_hosts(store), ERR_OK);
	CU_ASSERT_EQUAL(mariadb_server_number(&server, "SELECT COUNT(*) FROM cache_host"), 0);
}

/* A transaction whose connection is lost is over: a read must not open another one on which its save would pass. */
/* --- seasons --- */

static const struct season_times first_times = {1000, 2000, 3000, 4000, 500};
static const struct season_times later_times = {1001, 2001, 3001, 4001, 501};

static bool
same_times(const struct season_times *a, const struct season_times *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static enum err
publish(const char *document, const struct season_times *times, int64_t lead_ms, struct season_publication *publication)
{
	CU_ASSERT_EQUAL(store_season_import(store, "s1", str_from(document), times, NOW_MS), ERR_OK);
	*publication = (struct season_publication){
		.season = "s1", .document = str_from(document), .times = *times, .lead_ms = lead_ms};
	return store_season_publish(store, publication);
}

static const struct season_entry *
read_directory(void)
{
	static struct directory_content content;

	CU_ASSERT_EQUAL_FATAL(store_directory(store, 7, &content), ERR_OK);
	CU_ASSERT_EQUAL(content.version, 7);
	return directory_find(&content, STR("s1"));
}

/* The moment by the database's clock, which here is ours. */
static void
check_moment(const struct season_publication *publication, int64_t before_ms)
{
	CU_ASSERT(publication->in_force_at_ms >= before_ms + publication->lead_ms);
	CU_ASSERT(publication->in_force_at_ms <= clock_unix_ms() + publication->lead_ms);
}

static void
check_switch(const struct season_entry *entry, const struct season_publication *publication)
{
	CU_ASSERT_PTR_NOT_NULL_FATAL(entry);
	CU_ASSERT_EQUAL(entry->stored_state, SEASON_PUBLISHED);
	CU_ASSERT_EQUAL(entry->revision, publication->revision - 1);
	CU_ASSERT_EQUAL(entry->next.revision, publication->revision);
	CU_ASSERT_EQUAL(entry->next.at_ms, publication->in_force_at_ms);
	CU_ASSERT(same_times(&entry->next.times, &publication->times));
}

static void
check_document(uint64_t revision, const char *expected)
{
	struct str document;

	CU_ASSERT_EQUAL_FATAL(store_season_document(store, "s1", revision, &arena, &document), ERR_OK);
	CU_ASSERT(str_equal(document, str_from(expected)));
}

static void
test_publish(void)
{
	struct season_publication publication;
	uint64_t version = mariadb_server_number(&server, "SELECT version FROM season_directory");
	int64_t before_ms = clock_unix_ms();

	/* The first is not in force before its moment, either. */
	CU_ASSERT_EQUAL(publish("{1}", &first_times, 300, &publication), ERR_OK);
	CU_ASSERT_EQUAL(publication.revision, 1);
	check_moment(&publication, before_ms);
	check_switch(read_directory(), &publication);
	CU_ASSERT_EQUAL(mariadb_server_number(&server, "SELECT version FROM season_directory"), version + 1);
	/* One that comes too soon changes nothing, and is told how long it has to wait. */
	CU_ASSERT_EQUAL(publish("{2}", &later_times, 300, &publication), ERR_SEASON_SWITCH_PENDING);
	CU_ASSERT(publication.wait_ms > 0 && publication.wait_ms <= 300);
	CU_ASSERT_EQUAL(mariadb_server_number(&server, "SELECT version FROM season_directory"), version + 1);
	CU_ASSERT_EQUAL(mariadb_server_number(&server, "SELECT revision FROM season WHERE season_id = 's1'"), 1);
	check_document(0, "{2}");
	clock_sleep_ms(publication.wait_ms);
	before_ms = clock_unix_ms();
	CU_ASSERT_EQUAL(store_season_publish(store, &publication), ERR_OK);
	CU_ASSERT_EQUAL(publication.revision, 2);
	check_moment(&publication, before_ms);
	check_switch(read_directory(), &publication);
	CU_ASSERT(same_times(&read_directory()->times, &first_times));
	check_document(1, "{1}");
	check_document(2, "{2}");
	clock_sleep_ms(300);
}

static void
test_publish_another_document(void)
{
	struct season_publication publication;
	uint64_t version = mariadb_server_number(&server, "SELECT version FROM season_directory");

	CU_ASSERT_EQUAL(publish("{3}", &first_times, 0, &publication), ERR_OK);
	CU_ASSERT_EQUAL(store_season_publish(store, &publication), ERR_NOT_FOUND);
	CU_ASSERT_EQUAL(store_season_import(store, "s1", STR("{4}"), &first_times, NOW_MS), ERR_OK);
	CU_ASSERT_EQUAL(store_season_publish(store, &publication), ERR_REVISION_CHANGED);
	CU_ASSERT_EQUAL(mariadb_server_number(&server, "SELECT version FROM season_directory"), version + 1);
}

/* What a build does that knows no moments: its revision counts, at once where none is waited for. */
static void
test_publish_by_an_older_build(void)
{
	const struct season_entry *entry;
	struct directory_content *content = calloc(1, sizeof(*content));
	struct directory_content *seasons = calloc(1, sizeof(*seasons));

	mariadb_server_run(&server, "INSERT INTO season (season_id, revision, stored_state, starts_at_ms, "
				    "purchase_closes_at_ms, ends_at_ms, claim_until_ms, late_window_ms, updated_at_ms) "
				    "VALUES ('old', 4, 'published', 1000, 2000, 3000, 4000, 500, 0)");
	mariadb_server_run(&server, "UPDATE season SET revision = 9, starts_at_ms = 1002 WHERE season_id = 's1'");
	CU_ASSERT_EQUAL_FATAL(store_directory(store, 8, content), ERR_OK);
	entry = directory_find(content, STR("old"));
	CU_ASSERT_PTR_NOT_NULL_FATAL(entry);
	CU_ASSERT(entry->revision == 4 && entry->next.revision == 0 && same_times(&entry->times, &first_times));
	directory_resolve(content, clock_unix_ms(), seasons);
	entry = directory_find(seasons, STR("s1"));
	CU_ASSERT_PTR_NOT_NULL_FATAL(entry);
	CU_ASSERT(entry->revision == 9 && entry->times.starts_at_ms == 1002);
	free(seasons);
	free(content);
}

static void
test_lost_inside(void)
{
	struct season_standing *rows;
	size_t count;
	char sql[64];

	clear_tables();
	lock("p1");
	snprintf(sql, sizeof(sql), "KILL %llu",
		 (unsigned long long)mariadb_server_number(&server,
							   "SELECT ID FROM information_schema.PROCESSLIST WHERE "
							   "DB = 'battlepass' AND ID <> CONNECTION_ID()"));
	mariadb_server_run(&server, sql);
	CU_ASSERT_EQUAL(records->standings(records->self, STR("p1"), &arena, &rows, &count), ERR_STORE_RETRY);
	row.xp = 5;
	CU_ASSERT_EQUAL(save(NULL), ERR_STORE_RETRY);
	CU_ASSERT_EQUAL(records->standings(records->self, STR("p1"), &arena, &rows, &count), ERR_OK);
	CU_ASSERT_EQUAL(mariadb_server_number(&server, "SELECT COUNT(*) FROM progress WHERE xp = 5"), 0);
}

int
main(void)
{
	static CU_TestInfo tests[] = {
		{"a row with passes, claims and its chain's head", test_row},
		{"a grant alone moves no chain, and its key is known", test_grant_alone},
		{"entries are found by their keys, and a key stands once", test_known_entries},
		{"the last word on a pass stands", test_pass_last_word},
		{"a purchase through its states", test_purchase},
		{"a purchase that moves on in the transaction that stores it", test_purchase_twice_in_one},
		{"a reset forgets claims and gives them back", test_reset_and_undo},
		{"a reset keeps claims", test_reset_keeps_claims},
		{"two resets in one transaction", test_two_resets_in_one},
		{"pages of claims, purchases and deliveries", test_pages},
		{"pages of entries", test_entry_pages},
		{"single records", test_single_records},
		{"the seasons of a player", test_standings},
		{"the steps of purchases", test_history},
		{"chains and their heads", test_chains},
		{"deliveries are taken, given back and ended", test_take_deliveries},
		{"a failed delivery is tried again", test_retry_delivery},
		{"purchases are taken and put off", test_take_purchases},
		{"eight couriers: each delivery once", test_couriers_at_once},
		{"buyers and couriers at once: each purchase once", test_buyers_and_couriers_at_once},
		{"a chore is held by one", test_chore},
		{"the players of a season", test_season_players},
		{"the backlog", test_backlog},
		{"distrust of a player", test_distrust},
		{"distrust is forgotten in a transaction", test_forget_distrust},
		{"what the steward asks", test_control},
		{"who reaches which Redis", test_hosts},
		{"revisions of a season take force one after the other", test_publish},
		{"only the draft that was checked is published", test_publish_another_document},
		{"a season published by an older build", test_publish_by_an_older_build},
		{"a connection lost inside a transaction", test_lost_inside},
		CU_TEST_INFO_NULL,
	};

	if (!mariadb_server_installed())
		return mariadb_server_skip();
	log_set_level(LOG_ERROR);
	mariadb_server_start(&server);
	arena_init(&arena);
	store = store_new(server.conf, STORE_REPLY_S);
	port = store_port(store);
	records = store_records(store);

	int status = tap_main("store_records", tests);

	store_free(store);
	arena_release(&arena);
	mariadb_server_stop(&server);
	return status;
}
