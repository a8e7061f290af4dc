/* Files: see file.h. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/buf.h"

static enum err
read_all(int fd, size_t max, struct buf *text)
{
	for (;;) {
		ssize_t got = read(fd, buf_reserve(text, 65536), 65536);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got == 0 ? ERR_OK : ERR_SYSTEM;
		text->len += (size_t)got;
		if (text->len > max) {
			errno = EFBIG;
			return ERR_SYSTEM;
		}
	}
}

enum err
file_read(const char *path, size_t max, struct arena *arena, struct str *ret_text)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct buf text;

	if (fd < 0)
		return ERR_SYSTEM;
	buf_init(&text);
	enum err err = read_all(fd, max, &text);
	int why = errno;

	if (err == ERR_OK)
		*ret_text = arena_str(arena, buf_view(&text));
	buf_release(&text);
	close(fd);
	errno = why;
	return err;
}
