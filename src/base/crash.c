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

/* Of several processes at the same point only the one that removed the file dies. */
void
crash_point(const char *name)
{
	char path[PATH_SIZE];

	if (!points)
		return;
	snprintf(path, sizeof(path), "%s/%s", points, name);
	if (unlink(path) == 0)
		kill(getpid(), SIGKILL);
}
