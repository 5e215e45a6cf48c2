/*
 * sim/client.h - a simulated client of the daemon: one connection, what it asked, what it was told.
 */
#ifndef SIM_CLIENT_H
#define SIM_CLIENT_H

#include "tests/sim/sim.h"

struct request {
	TAILQ_ENTRY(request) entry;
	struct client *c;
	enum letter_id id;
	uint64_t asked_at;
	bool rm, stdin, last; /* of vm.create; of vm.exec; the final look at all machines */
};

struct client_stream {
	TAILQ_ENTRY(client_stream) entry;
	struct client *c;
	enum letter_id id; /* of the request that opened it */
	uint64_t stream;
	struct window in, out[2];
	bool ended[2];
	uint64_t to_send;
	bool writes, lazy;
	uint64_t owed[2]; /* read, and not granted again yet */
};

struct client_op {
	TAILQ_ENTRY(client_op) entry;
	uint64_t op;
	bool begun, done;
	char vm[11];
};

struct client {
	TAILQ_ENTRY(client) entry;
	struct sim *sim;
	uint64_t n;
	struct rpc *rpc; /* NULL: the connection is over */
	TAILQ_HEAD(, request) requests;
	TAILQ_HEAD(, client_stream) streams;
	TAILQ_HEAD(client_ops, client_op) ops;
	unsigned left; /* requests that it will still make */
	bool slow, rude;
};

/* NULL: no daemon listens. */
struct client *client_new(struct sim *s);
void client_free(struct client *c); /* hangs up */
struct request *client_ask(struct client *c, enum letter_id id, const void *body);
void client_pump(struct client_stream *t); /* sends what the window lets */
/* The machine is to be deleted: it may go. */
void ledger_forget(struct sim *s, const char *ref);

#endif
