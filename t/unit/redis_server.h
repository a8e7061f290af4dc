/*
 * A Redis of the test's own, on a socket in a folder of its own, ended by its pid; and a relay before it that does to
 * requests and answers what a bad network does, on order.
 */
#ifndef BP_T_UNIT_REDIS_SERVER_H
#define BP_T_UNIT_REDIS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/conf.h"
#include "cache/redis.h"

struct redis_server {
	char folder[64];
	char socket[96];
	char relay_socket[96];
	pid_t pid;
	pid_t relay;
	int orders; /* to the relay */
	struct conf *conf;
	struct redis *control; /* a connection of the test's own, not through the relay */
	struct arena arena;    /* of what was asked through it */
};

/* Says in TAP that there is nothing to test with; the exit status of main(). TEST_STRICT=1 makes it a failure. */
int redis_server_skip(void);
bool redis_server_installed(void);
/* Starts both; ends the program when it cannot. */
void redis_server_start(struct redis_server *server);
void redis_server_stop(struct redis_server *server);
/* Ends the server and starts another one, empty, on the same socket. */
void redis_server_replace(struct redis_server *server);

/* The control connection anew, which takes a new identity of the server along. */
void redis_server_reconnect(struct redis_server *server);

/* A configuration for a client through the relay. The caller frees it with conf_free. */
struct conf *redis_server_conf(const struct redis_server *server, const char *socket, int turn_timeout_ms);

/* Asks through the control connection: words with a space between. */
struct redis_answer redis_server_ask(struct redis_server *server, const char *words);
/* SET key value and GET key, for values with spaces and newlines. NULL: absent, or no string. */
void redis_server_put(struct redis_server *server, const char *key, struct str value);
const char *redis_server_get(struct redis_server *server, const char *key);

/* Orders for the next requests through the relay, one each, in this order. Greetings of new connections pass by. */
enum relay_order {
	RELAY_PASS = 'p',
	RELAY_DROP = 'd',    /* not executed, connection closed */
	RELAY_UNHEARD = 'u', /* executed, connection closed without the answer */
	RELAY_HOLD = 'h',    /* kept, connection closed; executed at redis_relay_release() */
	RELAY_LATE = 'l',    /* executed, the answer kept; sent at redis_relay_flush() */
};

void redis_relay_order(struct redis_server *server, enum relay_order order);
/* Executes one of the requests held; false: there is none. */
bool redis_relay_release(struct redis_server *server, unsigned which);
void redis_relay_flush(struct redis_server *server);
/* Forgets all orders and everything held. */
void redis_relay_reset(struct redis_server *server);
/* How many connections were ever accepted. */
unsigned redis_relay_connections(struct redis_server *server);

#endif
