/*
 * waits.c - who waits for a kernel that is being made: pulls that joined, machines that want it.
 */
#include "actors/kernel/kernel.h"
#include "base/text.h"

struct kernel_wait *kernel_wait_add(struct kernel_waits *list, struct reply_to reply,
	uint64_t client, const char *vm, const char *name, struct why *why)
{
	struct kernel_wait *w = calloc(1, sizeof(*w));

	if (!w) {
		fail(why, ERR_no_memory, "no memory to wait for a kernel");
		return NULL;
	}
	w->reply = reply;
	w->client = client;
	must(str_copy(w->vm, sizeof(w->vm), vm ? vm : ""));
	must(str_copy(w->name, sizeof(w->name), name ? name : ""));
	TAILQ_INSERT_TAIL(list, w, entry);
	return w;
}

void kernel_wait_remove(struct kernel_waits *list, struct kernel_wait *w)
{
	TAILQ_REMOVE(list, w, entry);
	free(w);
}

void kernel_waits_free(struct kernel_waits *list)
{
	struct kernel_wait *w;

	while ((w = TAILQ_FIRST(list)) != NULL)
		kernel_wait_remove(list, w);
}

static void serve(struct kernels *s, const struct kernel_wait *w)
{
	const char *name = w->name[0] ? w->name : NULL;
	struct kernel *k = name ? kernel_by_name(s, name) : NULL;
	struct kernel_info info;
	struct why why;

	if (w->vm[0]) {
		kernel_hold(s,
			&(struct kernel_hold){ .id = w->id[0] ? w->id : NULL,
				.kernel = name, .vm = w->vm },
			w->reply);
	} else if (k) {
		info = kernel_info_of(s, k);
		answer(s->shelf.me, w->reply, &info);
	} else {
		kernel_not_found(s, name, &why);
		refuse(s->shelf.me, w->reply, &why);
	}
}

void kernel_waits_end(struct kernels *s, struct kernel_waits *list, const struct why *why)
{
	struct kernel_waits now = TAILQ_HEAD_INITIALIZER(now);
	struct kernel_wait *w;

	TAILQ_CONCAT(&now, list, entry); /* serving one may wait anew */
	while ((w = TAILQ_FIRST(&now)) != NULL) {
		TAILQ_REMOVE(&now, w, entry);
		if (why)
			refuse(s->shelf.me, w->reply, why);
		else
			serve(s, w);
		free(w);
	}
}

bool kernel_waits_drop(
	struct kernels *s, struct kernel_waits *list, uint64_t client, const char *vm)
{
	struct kernel_wait *w, *next;
	bool any = false;
	struct why why;

	fail(&why, ERR_cancelled, "not wanted any more");
	for (w = TAILQ_FIRST(list); w; w = next) {
		next = TAILQ_NEXT(w, entry);
		if (vm ? !str_eq(w->vm, vm) : w->vm[0] || w->client != client)
			continue;
		refuse(s->shelf.me, w->reply, &why);
		kernel_wait_remove(list, w);
		any = true;
	}
	return any;
}
