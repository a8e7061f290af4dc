/* battlepassctl season ... */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "ctl/ctl.h"
#include "document/season_document.h"
#include "store/store.h"

enum { SEASON_FILE_MAX = 8 << 20, LEAD_S_MAX = 60 };

static int
fail_store(struct store *store, const char *doing, enum err err)
{
	ctl_fail("%s: %s%s%s", doing, err_text(err), store_error(store)[0] ? ": " : "", store_error(store));
	store_free(store);
	return EXIT_FAILURE;
}

/* Parses a document; lists every fault and returns NULL when there are some. */
static struct season *
parse(struct ctl *ctl, const char *name, struct str document)
{
	struct season *season = NULL;
	struct faults faults;

	faults_init(&faults, &ctl->arena);
	if (season_document_parse(document, &season, &faults) == ERR_OK)
		return season;
	for (size_t i = 0; i < faults.count; i++)
		fprintf(stderr, "%s: %s: %s: %s\n", name,
			faults.items[i].pointer[0] ? faults.items[i].pointer : "(document)", faults.items[i].code,
			faults.items[i].detail);
	fprintf(stderr, "%s: %zu fault%s\n", name, faults.count + faults.dropped,
		faults.count + faults.dropped == 1 ? "" : "s");
	return NULL;
}

static struct season *
read_season(struct ctl *ctl, int argc, char **argv, struct str *ret_document)
{
	if (argc != 2) {
		ctl_fail("season %s: expected one FILE", argv[0]);
		return NULL;
	}
	if (file_read(argv[1], SEASON_FILE_MAX, &ctl->arena, ret_document) != ERR_OK) {
		ctl_fail("%s: %s", argv[1], strerror(errno));
		return NULL;
	}
	return parse(ctl, argv[1], *ret_document);
}

int
ctl_season_validate(struct ctl *ctl, int argc, char **argv)
{
	struct str document;
	struct season *season = read_season(ctl, argc, argv, &document);

	if (!season)
		return EXIT_FAILURE;
	printf("season %s: %u tiers, %u passes, %u rewards: good\n", season->id, season->tier_count, season->pass_count,
	       season->reward_count);
	season_free(season);
	return EXIT_SUCCESS;
}

int
ctl_season_import(struct ctl *ctl, int argc, char **argv)
{
	struct str document;
	struct season *season = read_season(ctl, argc, argv, &document);

	if (!season || !ctl_conf(ctl)) {
		season_free(season);
		return EXIT_FAILURE;
	}
	struct store *store = store_new(ctl->conf, STORE_REPLY_S);
	enum err err = store_season_import(store, season->id, document, &season->times, clock_unix_ms());

	if (err == ERR_OK)
		printf("season %s: draft kept; \"battlepassctl season publish %s\" puts it in force\n", season->id,
		       season->id);
	season_free(season);
	if (err != ERR_OK)
		return fail_store(store, "season import", err);
	store_free(store);
	return EXIT_SUCCESS;
}

/* Revisions take force one after the other: one that is not in force yet is waited for. */
static enum err
publish_in_turn(struct store *store, struct season_publication *publication)
{
	enum err err;

	while ((err = store_season_publish(store, publication)) == ERR_SEASON_SWITCH_PENDING) {
		fprintf(stderr, "season %s: revision %llu takes force first, in %lld ms\n", publication->season,
			(unsigned long long)publication->revision - 1, (long long)publication->wait_ms);
		clock_sleep_ms(publication->wait_ms);
	}
	return err;
}

static int
publish(struct ctl *ctl, struct store *store, const char *id, int64_t lead_ms)
{
	struct season_publication publication = {.season = id, .lead_ms = lead_ms};
	char in_force_at[CLOCK_TEXT_SIZE];
	enum err err = store_season_document(store, id, 0, &ctl->arena, &publication.document);

	if (err == ERR_SEASON_NOT_FOUND) {
		store_free(store);
		return ctl_fail("season %s has no draft to publish", id);
	}
	if (err != ERR_OK)
		return fail_store(store, "season publish", err);

	struct season *season = parse(ctl, id, publication.document);

	if (!season) {
		store_free(store);
		return EXIT_FAILURE;
	}
	publication.times = season->times;
	season_free(season);
	err = publish_in_turn(store, &publication);
	if (err != ERR_OK)
		return fail_store(store, "season publish", err);
	clock_format(in_force_at, publication.in_force_at_ms);
	printf("season %s: revision %llu is in force from %s\n", id, (unsigned long long)publication.revision,
	       in_force_at);
	store_free(store);
	return EXIT_SUCCESS;
}

static bool
parse_lead(const char *text, int64_t *ret_lead_ms)
{
	char *end;
	long seconds = strtol(text, &end, 10);

	if (end == text || *end || seconds < 0 || seconds > LEAD_S_MAX)
		return false;
	*ret_lead_ms = seconds * 1000;
	return true;
}

int
ctl_season_publish(struct ctl *ctl, int argc, char **argv)
{
	static const struct option long_options[] = {{"in", required_argument, NULL, 'i'}, {NULL, 0, NULL, 0}};
	int64_t lead_ms = SEASON_SWITCH_LEAD_MS;
	int option;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (option != 'i')
			return EXIT_FAILURE;
		if (!parse_lead(optarg, &lead_ms))
			return ctl_fail("season publish: --in %s: expected 0 to %d seconds", optarg, LEAD_S_MAX);
	}
	if (optind != argc - 1)
		return ctl_fail("season publish: expected one ID");
	if (!ctl_conf(ctl))
		return EXIT_FAILURE;
	return publish(ctl, store_new(ctl->conf, STORE_REPLY_S), argv[optind], lead_ms);
}

/* The revision published last; 0 if the season was never published, or is not there. */
static enum err
revision_of(struct ctl *ctl, struct store *store, const char *id, uint64_t *ret_revision)
{
	struct season_head *heads;
	size_t count;
	enum err err = store_season_heads(store, &ctl->arena, &heads, &count);

	*ret_revision = 0;
	for (size_t i = 0; err == ERR_OK && i < count; i++)
		if (strcmp(heads[i].season, id) == 0)
			*ret_revision = heads[i].revision;
	return err;
}

int
ctl_season_show(struct ctl *ctl, int argc, char **argv)
{
	static const struct option long_options[] = {{"draft", no_argument, NULL, 'd'}, {NULL, 0, NULL, 0}};
	bool draft = false;
	uint64_t revision = 0;
	struct str document;
	int option;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (option != 'd')
			return EXIT_FAILURE;
		draft = true;
	}
	if (optind != argc - 1)
		return ctl_fail("season show: expected one ID");
	if (!ctl_conf(ctl))
		return EXIT_FAILURE;

	const char *id = argv[optind];
	struct store *store = store_new(ctl->conf, STORE_REPLY_S);
	enum err err = draft ? ERR_OK : revision_of(ctl, store, id, &revision);

	if (err == ERR_OK && !draft && revision == 0)
		err = ERR_SEASON_NOT_FOUND;
	if (err == ERR_OK)
		err = store_season_document(store, id, revision, &ctl->arena, &document);
	if (err == ERR_SEASON_NOT_FOUND) {
		store_free(store);
		return ctl_fail("season %s: %s", id,
				draft ? "there is no draft" : "nothing is published (see --draft)");
	}
	if (err != ERR_OK)
		return fail_store(store, "season show", err);
	fwrite(document.ptr, 1, document.len, stdout);
	store_free(store);
	return EXIT_SUCCESS;
}

static void
list_one(const struct season_head *head, int64_t now_ms)
{
	bool waits = head->in_force_at_ms > now_ms;
	uint64_t revision = waits ? head->previous_revision : head->revision;
	const struct season_times *times = waits && revision ? &head->previous_times : &head->times;
	char texts[3][CLOCK_TEXT_SIZE];

	clock_format(texts[0], times->starts_at_ms);
	clock_format(texts[1], times->ends_at_ms);
	printf("%s\t%s\trevision %llu\t%s to %s", head->season,
	       season_state_name(season_state_at(head->stored_state, times, now_ms)), (unsigned long long)revision,
	       texts[0], texts[1]);
	if (waits) {
		clock_format(texts[2], head->in_force_at_ms);
		printf("\trevision %llu from %s", (unsigned long long)head->revision, texts[2]);
	}
	puts(head->has_draft ? "\tdraft waiting" : "");
}

int
ctl_season_list(struct ctl *ctl, int argc, char **argv)
{
	struct season_head *heads;
	size_t count;
	int64_t now_ms = clock_unix_ms();

	if (argc != 1)
		return ctl_fail("season list: unexpected argument \"%s\"", argv[1]);
	if (!ctl_conf(ctl))
		return EXIT_FAILURE;

	struct store *store = store_new(ctl->conf, STORE_REPLY_S);
	enum err err = store_season_heads(store, &ctl->arena, &heads, &count);

	if (err != ERR_OK)
		return fail_store(store, "season list", err);
	for (size_t i = 0; i < count; i++)
		list_one(&heads[i], now_ms);
	store_free(store);
	return EXIT_SUCCESS;
}
