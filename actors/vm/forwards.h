/*
 * vm/forwards.h - ports of the host that lead into a guest: what forwards.c does for the rest.
 */
#ifndef VM_FORWARDS_H
#define VM_FORWARDS_H

#include "actors/vm/vm.h"

/* A port of the host that leads to one of the guest's. */
struct forward {
	struct machine *m;
	struct world_listener *listener; /* NULL: not now */
	uint32_t address;
	uint16_t port, guest;
	bool wanted; /* as it was asked for; else at the machine's own address beside it */
};

/* Of r.publish; a machine that has none has nothing to do in what follows. */
enum err forwards_take(
	struct machine *m, const char *const *publish, uint32_t n, struct why *why) MUST_CHECK;
void forwards_done(struct machine *m);
/* Listens, where it does not yet: before a boot, so that a port that is taken is told in time. */
enum err forwards_open(struct machine *m, struct why *why) MUST_CHECK;
/* Could it be listened at now? */
enum err forward_try(struct vmd *v, const char *publish, struct why *why) MUST_CHECK;
void forwards_close(struct machine *m); /* and ends what came in there */
void forwards_begin(struct machine *m); /* its agent answers: those who wait are let in */
uint32_t forwards_show(const struct machine *m, struct arena *a, struct vm_forward **ret);
void passage_begun(struct session *s);
void passage_data(struct session *s, struct bytes data);
void passage_room(struct session *s); /* the guest's window is wider */
void passage_ended(struct session *s); /* the guest's side is over; it frees the session */
void passage_closed(struct session *s); /* its session is being freed */

#endif
