/*
 * lib/rig.h - for tests of rpc: one end on a real loop that counts what it is told, and a raw
 * socket as its peer.
 */
#ifndef LIB_RIG_H
#define LIB_RIG_H

#include "proto/proto.h"
#include "tests/unit/unit.h"
#include "wire/rpc.h"

enum { HELD_MAX = 512 };

struct end {
	struct rpc *rpc;
	unsigned requests, notes, drained, closed, answers;
	uint32_t held[HELD_MAX]; /* requests that wait for an answer */
	uint32_t held_n;
	char method[80]; /* of the last letter */
	struct buf params; /* of the last letter */
	struct why why; /* of the end, or of the last answer that failed */
	bool answer_at_once, is_full, partial;
	bool free_on_request, free_on_note, free_on_answer, free_on_closed, free_on_drained;
};

struct rig {
	struct loop *l;
	struct end e;
	int peer;
};

extern const struct pong rig_pong;

int rig_setup(void **state); /* state becomes a struct rig */
int rig_teardown(void **state);
void rig_anew(void **state);
#define ON_RIG(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

void rig_turns(struct rig *r, int n);
void rig_send(struct rig *r, struct bytes b); /* from the peer, and some turns */
void rig_request(struct buf *b, uint32_t msgid, const char *method);
/* Takes one answer that was sent to the peer; word is its error's code, "" for none. */
bool rig_take_answer(struct rig *r, struct buf *in, uint32_t *msgid, char *word, size_t size);
rpc_answer_fn rig_on_answer; /* ctx is a struct end */

#endif
