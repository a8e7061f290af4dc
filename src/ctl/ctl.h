/*
 * battlepassctl: a command a row in a table, each in the file of its subject.
 */
#ifndef BP_CTL_CTL_H
#define BP_CTL_CTL_H

#include "base/arena.h"
#include "base/conf.h"

struct ctl {
	const char *config_file;
	const char *const *overrides;
	struct conf *conf; /* by ctl_conf() */
	struct arena arena;
};

/* Reads the configuration when a command needs it; says what is wrong. */
bool ctl_conf(struct ctl *ctl);

/* A check that finds faults exits with 1; one that could not look, with this. */
enum { CTL_CANNOT_CHECK = 2 };

/* Says "battlepassctl: ..." on stderr and returns a failure status. */
int ctl_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* By whom an operator acts here: the Unix user, in the role "operator", with this reason. Lives in the arena. */
struct operator_command;
bool ctl_reason_valid(const char *reason);
void ctl_operator(struct ctl *ctl, const char *reason, struct operator_command *command);

/* Where top looks when nobody says. */
#define TOP_URL "http://127.0.0.1:9180/metrics"

/* A command gets its own arguments (argv[0] is its last word) and returns the exit status. */
typedef int ctl_command(struct ctl *ctl, int argc, char **argv);

ctl_command ctl_migrate; /* migrate.c */
ctl_command ctl_season_validate, ctl_season_import, ctl_season_publish, ctl_season_show, ctl_season_list; /* season.c */
ctl_command ctl_cache_status, ctl_cache_flush, ctl_cache_warm, ctl_cache_show;                            /* cache.c */
ctl_command ctl_top;                                                                                      /* top.c */
ctl_command ctl_doctor;                                                                                   /* doctor.c */
ctl_command ctl_flag;                                                                                     /* flag.c */
ctl_command ctl_audit_verify;                                                                             /* audit.c */
ctl_command ctl_player_verify;                                                                            /* player.c */
ctl_command ctl_key_generate, ctl_token;                                                                  /* token.c */

#endif
