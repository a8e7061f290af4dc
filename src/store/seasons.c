/* Seasons in the store: heads, documents, and the directory that the steward copies into shared memory. */
#include "base/log.h"
#include "store/store_private.h"

#define HEAD_COLUMNS                                                                                                   \
	"season_id, revision, stored_state, starts_at_ms, purchase_closes_at_ms, ends_at_ms, claim_until_ms, "         \
	"late_window_ms"
#define SWITCH_COLUMNS                                                                                                 \
	"in_force_at_ms, previous_revision, previous_starts_at_ms, previous_purchase_closes_at_ms, "                   \
	"previous_ends_at_ms, previous_claim_until_ms, previous_late_window_ms"

/* Five columns, from this one on. */
static struct season_times
take_times(const struct db_result *result, unsigned column)
{
	return (struct season_times){
		.starts_at_ms = db_i64(result, column),
		.purchase_closes_at_ms = db_i64(result, column + 1),
		.ends_at_ms = db_i64(result, column + 2),
		.claim_until_ms = db_i64(result, column + 3),
		.late_window_ms = db_i64(result, column + 4),
	};
}

static bool
take_head(const struct db_result *result, struct arena *arena, struct season_head *head)
{
	head->season = arena_copy(arena, db_text(result, 0));
	head->revision = db_u64(result, 1);
	head->times = take_times(result, 3);
	head->in_force_at_ms = db_i64(result, 8);
	head->previous_revision = db_u64(result, 9);
	head->previous_times = take_times(result, 10);
	head->has_draft = db_u64(result, 15) != 0;
	if (season_state_parse(arena_copy(arena, db_text(result, 2)), &head->stored_state) &&
	    id_valid(head->season, strlen(head->season)))
		return true;
	log_error("season %s has a row that cannot be read", head->season);
	return false;
}

struct heads {
	struct arena *arena;
	struct season_head *items;
	size_t count;
};

enum { HEADS_MAX = 1000 };

static enum err
read_heads(struct store *store, void *argument)
{
	struct heads *heads = argument;
	struct db_result *result;

	buf_format(db_sql_select(store->db),
		   HEAD_COLUMNS
		   ", " SWITCH_COLUMNS
		   ", EXISTS (SELECT 1 FROM season_document d WHERE d.season_id = s.season_id AND d.revision = 0)"
		   " FROM season s ORDER BY starts_at_ms DESC, season_id LIMIT %d",
		   HEADS_MAX);
	enum err err = db_select(store->db, &result);

	if (err != ERR_OK)
		return err;
	heads->items = ARENA_ARRAY(heads->arena, HEADS_MAX, struct season_head);
	heads->count = 0;
	while (db_next(result)) {
		struct season_head *head = &heads->items[heads->count];

		if (take_head(result, heads->arena, head))
			heads->count++;
	}
	db_result_free(result);
	return ERR_OK;
}

enum err
store_season_heads(struct store *store, struct arena *arena, struct season_head **ret_heads, size_t *ret_count)
{
	struct heads heads = {.arena = arena};
	enum err err = store_read_twice(store, read_heads, &heads);

	if (err != ERR_OK)
		return err;
	*ret_heads = heads.items;
	*ret_count = heads.count;
	return ERR_OK;
}

/* Both revisions, if there are two: each process judges by its own time which of them counts. */
static struct season_entry
entry_of(const struct season_head *head)
{
	struct season_entry entry = {
		.revision = head->revision,
		.stored_state = head->stored_state,
		.times = head->times,
	};

	if (head->in_force_at_ms) {
		entry.revision = head->previous_revision;
		entry.times = head->previous_times;
		entry.next = (struct season_switch){head->revision, head->in_force_at_ms, head->times};
	}
	memcpy(entry.id, head->season, strlen(head->season));
	return entry;
}

enum err
store_directory(struct store *store, uint64_t version, struct directory_content *ret_content)
{
	struct arena arena;
	struct season_head *heads;
	size_t count;

	arena_init(&arena);
	enum err err = store_season_heads(store, &arena, &heads, &count);

	ret_content->version = version;
	ret_content->count = 0;
	for (size_t i = 0; err == ERR_OK && i < count && ret_content->count < DIRECTORY_SEASONS_MAX; i++) {
		if (heads[i].stored_state == SEASON_DRAFT || heads[i].stored_state == SEASON_ARCHIVED)
			continue;
		ret_content->seasons[ret_content->count++] = entry_of(&heads[i]);
	}
	arena_release(&arena);
	return err;
}

struct document {
	const char *season;
	uint64_t revision;
	struct arena *arena;
	struct str text;
};

static enum err
read_document(struct store *store, void *argument)
{
	struct document *document = argument;
	struct db_result *result;

	buf_literal(db_sql_select(store->db), "document FROM season_document WHERE season_id = ");
	db_quote(store->db, str_from(document->season));
	buf_format(db_sql_more(store->db), " AND revision = %llu", (unsigned long long)document->revision);

	enum err err = db_select(store->db, &result);

	if (err != ERR_OK)
		return err;
	if (db_next(result))
		document->text = arena_str(document->arena, db_text(result, 0));
	else
		err = ERR_SEASON_NOT_FOUND;
	db_result_free(result);
	return err;
}

enum err
store_season_document(struct store *store, const char *season, uint64_t revision, struct arena *arena,
		      struct str *ret_document)
{
	struct document document = {.season = season, .revision = revision, .arena = arena};
	enum err err = store_read_twice(store, read_document, &document);

	if (err == ERR_OK)
		*ret_document = document.text;
	return err;
}

static enum err
put_document(struct db *db, const char *season, uint64_t revision, struct str document, int64_t now_ms)
{
	struct buf *sql = db_sql(db);

	buf_literal(sql, "REPLACE INTO season_document (season_id, revision, document, created_at_ms) VALUES (");
	db_quote(db, str_from(season));
	buf_format(sql, ",%llu,", (unsigned long long)revision);
	db_quote(db, document);
	buf_format(sql, ",%lld)", (long long)now_ms);
	return db_run(db, NULL);
}

/* The head of a season that is new; one that is there keeps what is in force. */
static enum err
create_head(struct db *db, const char *season, const struct season_times *times, int64_t now_ms)
{
	struct buf *sql = db_sql(db);

	buf_literal(sql, "INSERT IGNORE INTO season (" HEAD_COLUMNS ", updated_at_ms) VALUES (");
	db_quote(db, str_from(season));
	buf_format(sql, ",0,'draft',%lld,%lld,%lld,%lld,%lld,%lld)", (long long)times->starts_at_ms,
		   (long long)times->purchase_closes_at_ms, (long long)times->ends_at_ms,
		   (long long)times->claim_until_ms, (long long)times->late_window_ms, (long long)now_ms);
	return db_run(db, NULL);
}

/* Ends a transaction that err says went well or did not. The caller may run the whole again. */
static enum err
finish(struct store *store, enum err err)
{
	if (err == ERR_OK)
		err = db_commit(store->db);
	else
		db_rollback(store->db);
	return err == ERR_STORE_RETRY || err == ERR_STORE_UNKNOWN ? ERR_STORE_UNAVAILABLE : err;
}

enum err
store_season_import(struct store *store, const char *season, struct str document, const struct season_times *times,
		    int64_t now_ms)
{
	enum err err = db_begin(store->db);

	if (err != ERR_OK)
		return err;
	err = create_head(store->db, season, times, now_ms);
	if (err == ERR_OK)
		err = put_document(store->db, season, 0, document, now_ms);
	return finish(store, err);
}

/* Locks the season's head and its draft; the draft must be what the caller has checked. */
static enum err
lock_draft(struct db *db, struct season_publication *publication)
{
	struct db_result *result;

	buf_literal(db_sql(db), "SELECT s.revision, s.in_force_at_ms, d.document FROM season s JOIN season_document d "
				"ON d.season_id = s.season_id AND d.revision = 0 WHERE s.season_id = ");
	db_quote(db, str_from(publication->season));
	buf_literal(db_sql_more(db), " FOR UPDATE");

	enum err err = db_select(db, &result);

	if (err != ERR_OK)
		return err;
	if (!db_next(result)) {
		err = ERR_NOT_FOUND;
	} else if (!str_equal(db_text(result, 2), publication->document)) {
		err = ERR_REVISION_CHANGED;
	} else {
		publication->revision = db_u64(result, 0) + 1;
		publication->in_force_at_ms = db_i64(result, 1);
	}
	db_result_free(result);
	return err;
}

/* After the last lock that may be waited for, so that the whole lead is left. */
static enum err
choose_moment(struct db *db, struct season_publication *publication)
{
	struct db_result *result;

	buf_literal(db_sql_select(db), SQL_NOW);

	enum err err = db_select(db, &result);

	if (err != ERR_OK)
		return err;

	int64_t now_ms = db_next(result) ? db_i64(result, 0) : 0;

	db_result_free(result);
	publication->wait_ms = publication->in_force_at_ms - now_ms;
	if (publication->wait_ms > 0)
		return ERR_SEASON_SWITCH_PENDING;
	publication->in_force_at_ms = now_ms + publication->lead_ms;
	return ERR_OK;
}

static enum err
number_draft(struct db *db, const struct season_publication *publication)
{
	buf_format(db_sql(db), "UPDATE season_document SET revision = %llu WHERE revision = 0 AND season_id = ",
		   (unsigned long long)publication->revision);
	db_quote(db, str_from(publication->season));
	return db_run(db, NULL);
}

/* What is in force is kept beside it; columns are set from the left to the right, so that comes first. */
static enum err
switch_head(struct db *db, const struct season_publication *publication)
{
	const struct season_times *times = &publication->times;

	buf_format(db_sql(db),
		   "UPDATE season SET previous_revision = revision, previous_starts_at_ms = starts_at_ms, "
		   "previous_purchase_closes_at_ms = purchase_closes_at_ms, previous_ends_at_ms = ends_at_ms, "
		   "previous_claim_until_ms = claim_until_ms, previous_late_window_ms = late_window_ms, "
		   "revision = %llu, stored_state = IF(stored_state = 'draft', 'published', stored_state), "
		   "starts_at_ms = %lld, purchase_closes_at_ms = %lld, ends_at_ms = %lld, claim_until_ms = %lld, "
		   "late_window_ms = %lld, in_force_at_ms = %lld, updated_at_ms = " SQL_NOW " WHERE season_id = ",
		   (unsigned long long)publication->revision, (long long)times->starts_at_ms,
		   (long long)times->purchase_closes_at_ms, (long long)times->ends_at_ms,
		   (long long)times->claim_until_ms, (long long)times->late_window_ms,
		   (long long)publication->in_force_at_ms);
	db_quote(db, str_from(publication->season));
	return db_run(db, NULL);
}

static enum err
publish_draft(struct db *db, struct season_publication *publication)
{
	enum err err = lock_draft(db, publication);

	if (err != ERR_OK)
		return err;
	buf_literal(db_sql(db), "UPDATE season_directory SET version = version + 1 WHERE id = 1");
	if ((err = db_run(db, NULL)) != ERR_OK || (err = choose_moment(db, publication)) != ERR_OK ||
	    (err = number_draft(db, publication)) != ERR_OK)
		return err;
	return switch_head(db, publication);
}

enum err
store_season_publish(struct store *store, struct season_publication *publication)
{
	enum err err = db_begin(store->db);

	if (err != ERR_OK)
		return err;
	return finish(store, publish_draft(store->db, publication));
}
