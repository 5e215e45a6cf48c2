/*
 * actors/roster.h - who exists, and what every actor is given when it opens.
 */
#ifndef ACTORS_ROSTER_H
#define ACTORS_ROSTER_H

#include "actor/actor.h"
#include "conf/config.h"
#include "proto/proto.h"
#include "world/world.h"

/* Start order: who is asked comes before who asks. The index is also an actor's bit in a mask. */
enum actor_index {
	STORE_ACTOR,
	IMAGE_ACTOR,
	KERNEL_ACTOR,
	PRIV_ACTOR,
	NET_ACTOR,
	DNS_ACTOR,
	VM_ACTOR,
	GATE_ACTOR,
	ACTOR_COUNT
};

enum {
	STORE_BIT = 1 << STORE_ACTOR,
	IMAGE_BIT = 1 << IMAGE_ACTOR,
	KERNEL_BIT = 1 << KERNEL_ACTOR,
	PRIV_BIT = 1 << PRIV_ACTOR,
	NET_BIT = 1 << NET_ACTOR,
	DNS_BIT = 1 << DNS_ACTOR,
	VM_BIT = 1 << VM_ACTOR,
	GATE_BIT = 1 << GATE_ACTOR,
	SERVES_CLIENTS = IMAGE_BIT | KERNEL_BIT | VM_BIT,
	KEEPS_RECORDS = SERVES_CLIENTS | NET_BIT
};

/*
 * Operation and stream ids tell who made them, so that the gate can route what names one: the two
 * low bits are the actor's mark, the rest counts.
 */
enum { ID_MARK_IMAGE = 1, ID_MARK_KERNEL = 2, ID_MARK_VM = 3, ID_MARK_BITS = 2 };

struct env {
	struct world *world;
	const struct config *config;
	const struct catalog *catalog;
	enum mode mode;
	int listener; /* a listening socket that was handed over, or -1 */
	const char *state_dir, *runtime_dir; /* absolute */
	const char *jail_base; /* the root helper's, in system mode */
	uint64_t started_ms; /* monotonic */
	/* The gate listens (why NULL), or cannot. */
	void (*listening)(void *ctx, const struct why *why);
	void (*stop)(void *ctx); /* ends the loop, after this turn */
	void *stop_ctx; /* of both */
};

/* The house of all actors, not opened yet. `world` is what the house needs of the outside. */
enum err roster_house(struct env *env, const struct house_world *world, struct house **ret,
	struct why *why) MUST_CHECK;

#endif
