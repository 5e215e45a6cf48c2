/*
 * cli/link.h - the connection to the daemon, asks on it, and whoever listens to its notifications.
 */
#ifndef CLI_LINK_H
#define CLI_LINK_H

#include <sys/types.h>

#include "cli/cli.h"
#include "wire/rpc.h"

struct link {
	struct cli *c;
	struct rpc *rpc;
	pid_t pid; /* the daemon's, as the kernel tells it */
	bool system; /* the daemon is an installed one */
	bool gone; /* the connection is over */
	struct why gone_why;
	/* Who gets notifications: set by a command. */
	void (*note)(void *ctx, enum letter_id letter, struct bytes params);
	void *note_ctx;
	struct pong *other; /* the daemon is of another build; said at the end */
};

/*
 * Connects and, unless the socket was named or is an installed daemon's, starts a daemon where none
 * serves. c->link is set.
 */
enum err link_open(struct cli *c, struct why *why) MUST_CHECK;
/* Connects only; *there is false when no daemon serves. */
enum err link_try(struct cli *c, bool *there, struct why *why) MUST_CHECK;
void link_close(struct cli *c); /* also says so when the daemon is of another build */

/* Turns the loop until *flag is set or the connection is gone; answers *flag. */
bool link_until(struct link *l, const bool *flag);

/* An ask in flight. The result is of the letter's out shape; its text lies in c->mem. */
struct call {
	enum letter_id letter;
	const void *body;
	void *result;
	struct why why; /* code OK once it was answered well */
	bool done;
	struct link *link;
	struct arena *mem; /* NULL: c->mem */
};

/* Sends; a failure to send is the call's failure. */
void call_send(struct link *l, struct call *k);
/* Sends them all, pipelined, and waits for every answer. */
void call_all(struct link *l, struct call *calls, size_t n);
/* One ask, connected first if need be; answers its failure. */
enum err ask(struct cli *c, enum letter_id letter, const void *body, void *result,
	struct why *why) MUST_CHECK;

#endif
