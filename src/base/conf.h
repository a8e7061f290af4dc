/*
 * Configuration. One table (conf.c) names every key with its section, type, default, range, whether HUP may change
 * it, and help; examples/battlepass.conf and `battlepassd --sample-config` are written from it. libconfuse reads the
 * files; an unknown key or a value out of range is an error with file and line.
 *
 * Order of strength: defaults < file < the .conf files in conf.d beside it (sorted) < environment
 * (BATTLEPASS_SECTION_KEY) < overrides ("section.key=value", from the command line).
 */
#ifndef BP_BASE_CONF_H
#define BP_BASE_CONF_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/str.h"

enum { CONF_DETAIL_SIZE = 512 };

/* All strings are owned by the conf; an empty string means "not set". Integers are in the unit of their name. */
struct conf {
	char *run_dir;   /* sockets and pid file */
	char *log_level; /* "error", "warning", "info", "debug" */
	struct {
		char *format;          /* "auto", "json", "text" */
		int64_t access_sample; /* one line in so many requests of a process; 0: none */
		int64_t slow_ms;       /* a request that takes so long has a line; 0: none has */
	} log;
	struct {
		char *socket;
		char *host; /* used when socket is empty */
		int64_t port;
		char *user;
		char *password;
		char *database;
		int64_t connect_timeout_s;
		int64_t read_timeout_ms;    /* a single read statement (max_statement_time) */
		int64_t transaction_grants; /* most XP grants in one transaction */
	} store;
	struct {
		char *socket;
		char *host;
		int64_t port;
		char *password;
		int64_t connect_timeout_ms;
		int64_t turn_timeout_ms; /* one pipelined round trip */
		int64_t ttl_s;
		char *without_store;  /* "serve" or "refuse" */
		int64_t warm_per_s;   /* players that one host looks at in a second; 0: it never warms */
		int64_t warm_players; /* at most, in a new epoch */
	} cache;
	struct {
		char *keys;           /* JWK set file */
		struct str keys_text; /* what it held when the configuration was taken; owned, set by who takes it */
		char *issuer;
		char *audience;
		bool allow_hs256;
		int64_t leeway_s;
		int64_t remembered_tokens;
	} auth;
	struct conf_lane {
		int64_t processes;        /* 0: by the number of cores */
		int64_t turn;             /* most requests answered together */
		int64_t answer_within_ms; /* what has waited longer is refused */
	} read_lane, store_lane, purchase_lane, admin_lane;
	struct {
		char *url; /* empty: nothing is sold, and deliveries wait */
		char *token;
		char *ca_file;
		int64_t connect_timeout_ms;
		int64_t timeout_ms;       /* one call */
		int64_t answer_within_ms; /* then a purchase is answered with 202, and the courier goes on with it */
		int64_t give_up_after_s;  /* a debit of unknown outcome is cancelled by its key */
		int64_t key_retention_s;  /* as long as the economy knows a key; nothing is asked again after it */
		int64_t deliveries_per_s; /* of one host */
		int64_t delivery_tries;   /* then a delivery waits for an admin */
		int64_t retry_first_ms;   /* back-off of the courier, doubled each time .. */
		int64_t retry_most_ms;    /* .. up to this */
	} economy;
	char *crash_points; /* a folder for tests: see base/crash.h */
};

/*
 * Reads everything. file may be NULL (defaults, environment, overrides only). overrides: NULL-terminated, may be NULL.
 * On failure returns ERR_CONFIG, detail (CONF_DETAIL_SIZE) says file, line and what is wrong, and *ret_conf is
 * untouched.
 */
enum err conf_load(const char *file, const char *const *overrides, struct conf **ret_conf, char *detail);
void conf_free(struct conf *conf);

/* Calls each(context, "section.key") for every key that differs and that a running daemon cannot change. */
void conf_each_restart_key(const struct conf *old, const struct conf *fresh, void (*each)(void *, const char *),
			   void *context);

/* One entry a key: name, type, default, range, "reload" or "restart", help. In the form of a commented sample file. */
void conf_print_sample(FILE *out);

#endif
