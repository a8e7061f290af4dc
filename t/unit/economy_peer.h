/*
 * An economy service that behaves as badly as it is told to: a process of its own on a loopback port. What it is to do
 * and what it has seen stand in shared memory; an order is given while no request is under way.
 */
#ifndef BP_T_UNIT_ECONOMY_PEER_H
#define BP_T_UNIT_ECONOMY_PEER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

enum { PEER_TEXT_MAX = 8192, PEER_FLOOD_BYTES = 10 * 1024 * 1024 };

enum peer_manner {
	PEER_ANSWER,        /* status and text as a JSON body; each @ in it becomes the key of the request */
	PEER_RAW,           /* text as it is, for head and body */
	PEER_SILENT,        /* nothing, ever */
	PEER_FLOOD_BODY,    /* a right answer of 10 MB: spaces, then the text */
	PEER_FLOOD_CHUNKED, /* the same without a length */
	PEER_FLOOD_HEAD,    /* header lines without end */
};

struct peer_order {
	enum peer_manner manner;
	unsigned status;
	unsigned delay_ms;
	bool hang_up;       /* closes the connection after the answer */
	unsigned mute_from; /* closes it instead of answering the request of this number on it (1, 2 ..); 0: never */
	char text[PEER_TEXT_MAX];
};

struct peer_state {
	struct peer_order order;
	atomic_uint connections;   /* ever accepted */
	atomic_uint open;          /* now */
	atomic_uint requests;      /* that came whole */
	atomic_uint together;      /* not answered yet */
	atomic_uint most_together; /* at any time */
	char seen[PEER_TEXT_MAX];  /* the last request */
};

struct economy_peer {
	struct peer_state *state;
	pid_t pid;
	char url[64];
};

/* Ends the program when it cannot. */
void economy_peer_start(struct economy_peer *peer);
void economy_peer_stop(struct economy_peer *peer);
/* Gives an order and sets the counts of requests to 0; connections stay as they are. */
void economy_peer_order(struct economy_peer *peer, const struct peer_order *order);

#endif
