/* The steward: see steward.h. */
#include "steward/steward.h"

#include <poll.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "steward/lease_chore.h"

static void
tell_switches(const struct directory_content *content, int64_t now_ms)
{
	char at[CLOCK_TEXT_SIZE];

	for (uint32_t i = 0; i < content->count; i++) {
		const struct season_entry *entry = &content->seasons[i];

		if (entry->next.revision == 0 || entry->next.at_ms <= now_ms)
			continue;
		clock_format(at, entry->next.at_ms);
		log_info("season %s: revision %llu is in force from %s", entry->id,
			 (unsigned long long)entry->next.revision, at);
	}
}

/* Copies the directory into shared memory when its version in the database has moved. */
static void
directory_chore(struct store *store, uint64_t version, struct directory *directory, struct directory_content *copy)
{
	if (copy->version == version)
		return;
	if (store_directory(store, version, copy) != ERR_OK) {
		copy->version = 0;
		return;
	}
	directory_publish(directory, copy);
	log_info("season directory version %llu: %u seasons", (unsigned long long)version, copy->count);
	tell_switches(copy, clock_unix_ms());
}

/* A fresh steward publishes in any case: the one before may have died while it wrote. */
static void
flags_chore(const struct cache_flags *content, struct flags *flags, struct cache_flags *copy)
{
	struct buf text;

	if (memcmp(copy, content, sizeof(*copy)) == 0)
		return;
	*copy = *content;
	flags_publish(flags, copy);
	buf_init(&text);
	flags_print(copy, &text);
	log_info("flags: %s", buf_text(&text));
	buf_release(&text);
}

static void
sleep_until(int64_t boot_ms, const sigset_t *wait_mask)
{
	int64_t left_ms = boot_ms - clock_boot_ms();
	struct timespec left = {.tv_sec = left_ms / 1000, .tv_nsec = left_ms % 1000 * 1000000};

	if (left_ms < 0)
		left = (struct timespec){0};
	ppoll(NULL, 0, &left, wait_mask);
}

int
steward_run(const struct conf *conf, struct uuid host, struct cache_shared *cache, struct directory *directory,
	    struct flags *flags, const volatile sig_atomic_t *stop, const sigset_t *wait_mask)
{
	static struct store_control control; /* large */
	struct lease_chore chore;
	struct cache_flags known_flags = {.revision = 0};
	struct directory_content *copy = calloc(1, sizeof(*copy));
	struct store *store = store_new(conf, STORE_STEWARD_REPLY_S);

	if (!copy)
		abort();
	lease_chore_init(&chore, conf, host, cache);
	while (!*stop) {
		int64_t began_ms = clock_boot_ms();
		bool answered = store_control_read(store, &control) == ERR_OK;

		if (answered) {
			directory_chore(store, control.directory_version, directory, copy);
			flags_chore(&control.flags, flags, &known_flags);
		}
		lease_chore_run(&chore, store, answered ? &control : NULL, began_ms);
		sleep_until(began_ms + STEWARD_TICK_MS, wait_mask);
	}
	store_free(store);
	lease_chore_release(&chore);
	free(copy);
	return EXIT_SUCCESS;
}
