/*
 * The steward's question to Redis: are you a master, and do you execute our scripts and take our writes?
 */
#ifndef BP_CACHE_PROBE_H
#define BP_CACHE_PROBE_H

#include "base/conf.h"
#include "base/uuid.h"

struct probe;

/* conf is borrowed for the probe's life. host: whose probe it is, so that those of two hosts have keys of their own. */
struct probe *probe_new(const struct conf *conf, const struct uuid *host);
void probe_free(struct probe *probe);
/* True if it answers to all of it in time. Connects anew where needed. */
bool probe_redis(struct probe *probe);
/* Of the Redis asked last, "" if there is none. */
const char *probe_redis_id(const struct probe *probe);

#endif
