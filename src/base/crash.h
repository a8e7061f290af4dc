/*
 * Crash points: places in the code where a test lets the process die as if somebody had pulled the plug. A file of the
 * point's name in the folder that `crash_points` of the configuration names kills the process that removes it; one of
 * the name with ".stop" behind it stops the process there, until it gets SIGCONT. Without the folder a point costs one
 * comparison.
 */
#ifndef BP_BASE_CRASH_H
#define BP_BASE_CRASH_H

/* folder: borrowed for the life of the process; NULL or empty: there are no points. */
void crash_points_in(const char *folder);
/* Dies by SIGKILL if there is a file of that name, or is stopped. */
void crash_point(const char *name);

#endif
