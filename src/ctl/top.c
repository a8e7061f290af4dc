/* battlepassctl top: what a host does, live. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/ctl.h"
#include "ctl/samples.h"

enum { EVERY_PRESET_S = 2, EVERY_MOST_S = 3600 };

struct top {
	const char *url;
	long every_s;
	bool once;
};

/* Of what counts up, a second. */
static double
rate(const struct samples *before, const struct samples *after, double from, double to)
{
	double seconds = (double)(after->at_boot_ms - before->at_boot_ms) / 1000;

	return seconds > 0 && to > from ? (to - from) / seconds : 0;
}

#define RATE(member) rate(before, after, before->member, after->member)

static void
print_milliseconds(double seconds)
{
	if (seconds < 0)
		printf(" %9s", "-");
	else
		printf(" %7.2fms", seconds * 1000);
}

static void
print_latency(const char *name, const struct samples_histogram *before, const struct samples_histogram *after,
	      double seconds)
{
	size_t last = after->buckets ? after->buckets - 1 : 0;
	double count = after->counts[last] - (before->buckets ? before->counts[last] : 0);

	printf("%-18s %9.1f/s", name, seconds > 0 && count > 0 ? count / seconds : 0); /* less: it was started anew */
	print_milliseconds(samples_quantile(before, after, 0.5));
	print_milliseconds(samples_quantile(before, after, 0.95));
	print_milliseconds(samples_quantile(before, after, 0.99));
	putchar('\n');
}

static void
print_uptime(double started_s)
{
	long up_s = started_s > 0 ? (long)(clock_unix_ms() / 1000) - (long)started_s : 0;

	printf("up %ld d %02ld:%02ld:%02ld", up_s / 86400, up_s / 3600 % 24, up_s / 60 % 60, up_s % 60);
}

static void
print_screen(const struct samples *before, const struct samples *after)
{
	static const char *const breakers[] = {"closed", "open", "half open"};
	double reads = RATE(hits) + RATE(misses);
	double seconds = (double)(after->at_boot_ms - before->at_boot_ms) / 1000;
	unsigned breaker = (unsigned)after->breaker % 3;

	fputs("battlepass ", stdout);
	print_uptime(after->started_s);
	printf("   requests %.1f/s   5xx %.1f/s   shed %.1f/s   deaths %.0f\n\n", RATE(requests), RATE(server_errors),
	       RATE(shed), after->deaths);
	printf("%-18s %11s %9s %9s %9s\n", "", "rate", "p50", "p95", "p99");
	print_latency("all", &before->durations[SAMPLES_ALL], &after->durations[SAMPLES_ALL], seconds);
	print_latency("progress, cache", &before->durations[SAMPLES_CACHE], &after->durations[SAMPLES_CACHE], seconds);
	print_latency("progress, store", &before->durations[SAMPLES_STORE], &after->durations[SAMPLES_STORE], seconds);
	if (reads > 0)
		printf("\nhits         %.1f %%", RATE(hits) / reads * 100);
	else
		fputs("\nhits         -", stdout);
	printf("   breaker %s   distrusted %.0f\n", breakers[breaker], after->distrusted);
	printf("writes       %.1f grants/s   %.1f claims/s   %.1f transactions/s   %.1f retries/s\n", RATE(grants),
	       RATE(claims), RATE(transactions), RATE(retries));
	printf("store lane   %.2f processes busy   database %s\n", RATE(store_busy_s),
	       after->store_up != 0 ? "up" : "AWAY");
	printf("purchases    %.0f open   %.0f stuck\n", after->purchases_open, after->purchases_stuck);
	printf("deliveries   %.0f pending   %.0f failed   oldest %.0f s\n", after->deliveries_pending,
	       after->deliveries_failed, after->deliveries_oldest_s);
	printf("memory       %.1f MiB private   Redis %.1f of %.0f MiB, %.0f keys\n", after->memory / 1048576,
	       after->redis_memory / 1048576, after->redis_memory_max / 1048576, after->redis_keys);
}

static int
run(const struct top *top)
{
	bool terminal = isatty(STDOUT_FILENO) && !top->once;
	char detail[SAMPLES_DETAIL_SIZE];
	struct samples before;
	struct samples after;

	if (samples_fetch(top->url, &before, detail) != ERR_OK)
		return ctl_fail("top: %s", detail);
	for (;;) {
		clock_sleep_ms(top->every_s * 1000);
		if (samples_fetch(top->url, &after, detail) != ERR_OK)
			return ctl_fail("top: %s", detail);
		if (terminal)
			fputs("\033[H\033[2J", stdout); /* ECMA-48: home, erase */
		print_screen(&before, &after);
		if (!terminal && !top->once)
			putchar('\n');
		if (fflush(stdout) != 0 || top->once)
			return EXIT_SUCCESS;
		before = after;
	}
}

int
ctl_top(struct ctl *ctl, int argc, char **argv)
{
	static const struct option long_options[] = {
		{"url", required_argument, NULL, 'u'},
		{"every", required_argument, NULL, 'e'},
		{"once", no_argument, NULL, 'o'},
		{NULL, 0, NULL, 0},
	};
	const char *base = getenv("BATTLEPASS_METRICS_URL");
	struct top top = {.url = TOP_URL, .every_s = EVERY_PRESET_S};
	char *end;
	int option;

	if (base && *base)
		top.url = arena_format(&ctl->arena, "%s/metrics", base).ptr;
	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (option == 'u') {
			top.url = optarg;
		} else if (option == 'o') {
			top.once = true;
		} else if (option == 'e') {
			top.every_s = strtol(optarg, &end, 10);
			if (*end || top.every_s < 1 || top.every_s > EVERY_MOST_S)
				return ctl_fail("top: --every takes 1 to %d seconds, not \"%s\"", EVERY_MOST_S, optarg);
		} else {
			return EXIT_FAILURE;
		}
	}
	if (optind < argc)
		return ctl_fail("top: unexpected argument \"%s\"", argv[optind]);
	return run(&top);
}
