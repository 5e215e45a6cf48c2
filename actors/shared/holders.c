/*
 * holders.c - a table from a machine's id to what it stands on.
 */
#include "actors/shared/holders.h"

#include "base/text.h"

struct holder {
	struct link by_vm;
	void *on;
	char vm[11];
};

static struct holder *find(const struct holders *h, const char *vm)
{
	struct link *l = table_get(&h->by_vm, vm, strlen(vm));

	return l ? CONTAINER_OF(l, struct holder, by_vm) : NULL;
}

void holders_init(struct holders *h, uint64_t seed)
{
	table_init(&h->by_vm, seed);
}

void holders_done(struct holders *h)
{
	struct link *l, *next;

	for (l = table_next(&h->by_vm, NULL); l; l = next) {
		next = table_next(&h->by_vm, l);
		free(CONTAINER_OF(l, struct holder, by_vm));
	}
	table_done(&h->by_vm);
}

enum err holders_put(struct holders *h, const char *vm, void *on, struct why *why)
{
	struct holder *k = find(h, vm);

	if (k) {
		k->on = on;
		return OK;
	}
	k = calloc(1, sizeof(*k));
	if (!k || !str_copy(k->vm, sizeof(k->vm), vm) ||
		!table_add(&h->by_vm, &k->by_vm, k->vm, strlen(k->vm))) {
		free(k);
		return fail(why, ERR_no_memory, "no memory to note machine %s", vm);
	}
	k->on = on;
	return OK;
}

void *holders_get(const struct holders *h, const char *vm)
{
	struct holder *k = find(h, vm);

	return k ? k->on : NULL;
}

void *holders_take(struct holders *h, const char *vm)
{
	struct holder *k = find(h, vm);
	void *on = k ? k->on : NULL;

	if (!k)
		return NULL;
	table_del(&h->by_vm, &k->by_vm);
	free(k);
	return on;
}
