/* Whole small files. */
#ifndef BP_BASE_FILE_H
#define BP_BASE_FILE_H

#include "base/arena.h"
#include "base/err.h"

/* Reads a file of at most max bytes into the arena. ERR_SYSTEM with errno set (EFBIG when it is larger). */
enum err file_read(const char *path, size_t max, struct arena *arena, struct str *ret_text);

#endif
