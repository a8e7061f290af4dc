/* Crash points: see crash.h. */
#include "base/crash.h"

#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

static const char *points;

void
crash_points_in(const char *folder)
{
	points = folder && folder[0] ? folder : NULL;
}

/* Of several processes at the same point only the one that removed the file is hit. */
static void
be_hit(const char *name, const char *suffix, int signal)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "%s/%s%s", points, name, suffix);
	if (unlink(path) == 0)
		kill(getpid(), signal);
}

void
crash_point(const char *name)
{
	if (!points)
		return;
	be_hit(name, "", SIGKILL);
	be_hit(name, ".stop", SIGSTOP);
}
