/* The service manager: see notify.h. */
#include "master/notify.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"

static char **passed_names; /* as many as passed_count; of descriptors from SD_LISTEN_FDS_START on */
static int passed_count;

void
notify_take_sockets(void)
{
	passed_count = sd_listen_fds_with_names(1, &passed_names);
	if (passed_count < 0) {
		log_error("the sockets that the service manager passed: %s", strerror(-passed_count));
		passed_count = 0;
	}
}

int
notify_passed_socket(const char *name)
{
	for (int i = 0; i < passed_count; i++) {
		int fd = SD_LISTEN_FDS_START + i;

		if (strcmp(passed_names[i], name) != 0)
			continue;
		if (sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) > 0) {
			fcntl(fd, F_SETFL, O_NONBLOCK);
			return fd;
		}
		log_error("what the service manager passed as \"%s\" is no listening Unix stream socket", name);
	}
	return -1;
}

void
notify_ready(void)
{
	sd_notify(0, "READY=1");
}

void
notify_reloading(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIi64, (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
}

void
notify_stopping(void)
{
	sd_notify(0, "STOPPING=1");
}

int64_t
notify_alive_every_ms(void)
{
	uint64_t limit_us;

	return sd_watchdog_enabled(0, &limit_us) > 0 ? (int64_t)(limit_us / 3000) : 0;
}

void
notify_alive(void)
{
	static int64_t told_at_ms;
	int64_t now_ms = clock_boot_ms();

	if (notify_alive_every_ms() == 0 || now_ms < told_at_ms + notify_alive_every_ms() / 2)
		return;
	told_at_ms = now_ms;
	sd_notify(0, "WATCHDOG=1");
}
