/* The run folder: see sockets.h. */
#include "master/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

enum { BACKLOG = 4096, PATH_SIZE = 4096 };

static enum err
complain(const char *path)
{
	log_error("%s: %s", path, strerror(errno));
	return ERR_SYSTEM;
}

static void
pid_path(char path[PATH_SIZE], const char *run_dir)
{
	snprintf(path, PATH_SIZE, "%s/battlepassd.pid", run_dir);
}

/* Its last owner may have taken the file away between our opening and locking it. Closes it then. */
static bool
is_still_there(const char *path, int fd)
{
	struct stat opened;
	struct stat there;

	if (fstat(fd, &opened) == 0 && stat(path, &there) == 0 && opened.st_dev == there.st_dev &&
	    opened.st_ino == there.st_ino)
		return true;
	close(fd);
	return false;
}

enum err
pid_file_take(const char *run_dir, int *ret_fd)
{
	char path[PATH_SIZE];
	int fd;

	pid_path(path, run_dir);
	do {
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
		if (fd < 0)
			return complain(path);
		if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
			log_error("%s: another battlepassd runs on this folder", path);
			close(fd);
			return ERR_SYSTEM;
		}
	} while (!is_still_there(path, fd));
	if (ftruncate(fd, 0) != 0 || dprintf(fd, "%d\n", (int)getpid()) < 0) {
		complain(path);
		close(fd);
		return ERR_SYSTEM;
	}
	*ret_fd = fd;
	return ERR_OK;
}

void
pid_file_drop(const char *run_dir, int fd)
{
	char path[PATH_SIZE];

	pid_path(path, run_dir);
	unlink(path);
	close(fd);
}

static enum err
socket_address(const char *run_dir, const char *name, struct sockaddr_un *ret_address)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int length = snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s.sock", run_dir, name);

	if (length < 0 || (size_t)length >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return complain(run_dir);
	}
	*ret_address = address;
	return ERR_OK;
}

static bool
listen_on(int fd, const struct sockaddr_un *address)
{
	unlink(address->sun_path);

	mode_t before = umask(0117);
	bool bound = bind(fd, (const struct sockaddr *)address, sizeof(*address)) == 0;

	umask(before);
	return bound && listen(fd, BACKLOG) == 0;
}

enum err
lane_socket_open(const char *run_dir, const char *name, int *ret_fd)
{
	struct sockaddr_un address;
	enum err err = socket_address(run_dir, name, &address);

	if (err != ERR_OK)
		return err;

	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return complain(address.sun_path);
	if (!listen_on(fd, &address)) {
		complain(address.sun_path);
		close(fd);
		return ERR_SYSTEM;
	}
	*ret_fd = fd;
	return ERR_OK;
}

void
lane_socket_close(const char *run_dir, const char *name, int fd)
{
	struct sockaddr_un address;

	close(fd);
	if (socket_address(run_dir, name, &address) == ERR_OK)
		unlink(address.sun_path);
}
