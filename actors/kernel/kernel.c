/*
 * kernel.c - the kernel actor: which kernels there are, which is the default, who stands on them.
 *
 * Like an image (actors/shared/shelf.h) it keeps, without a name, until the last machine that
 * stands on it is gone. Only its initramfs ever changes: it carries the agent, which must be of
 * this daemon's build (renew.c). The default is a name, whether or not a kernel has it.
 */
#include "actors/kernel/kernel.h"

#include "base/text.h"

/* ---- state ---- */

static struct kernel *of(struct shelf_item *it)
{
	return it ? CONTAINER_OF(it, struct kernel, it) : NULL;
}

void kernel_free(struct shelf_item *it)
{
	struct kernel *k = of(it);

	if (!k)
		return;
	arena_done(&k->mem);
	free(k);
}

struct kernel *kernel_new(const struct kernel_record *r, struct why *why)
{
	struct kernel *k = calloc(1, sizeof(*k));

	if (!k) {
		fail(why, ERR_no_memory, "no memory for a kernel");
		return NULL;
	}
	arena_init(&k->mem, 256 * KiB);
	if (shape_copy(&shape_kernel_record, r, &k->r, &k->mem, why)) {
		kernel_free(&k->it);
		return NULL;
	}
	k->it = (struct shelf_item){
		.id = k->r.id, .name = k->r.name, .created = k->r.created, .named = k->r.named
	};
	return k;
}

struct kernels *kernels_of(struct kernel_making *p)
{
	return CONTAINER_OF(p->sm.s, struct kernels, shelf);
}

struct kernel *kernel_by_id(const struct kernels *s, const char *id)
{
	return of(shelf_by_id(&s->shelf, id));
}

struct kernel *kernel_by_name(const struct kernels *s, const char *name)
{
	return of(shelf_by_name(&s->shelf, name));
}

const char *kernel_default_name(const struct kernels *s)
{
	if (s->shelf.env->config->default_kernel)
		return s->shelf.env->config->default_kernel;
	return s->chosen[0] ? s->chosen : NULL;
}

static struct shelf_item *read_record(void *state, const void *record, struct why *why)
{
	struct kernel *k = kernel_new(record, why);
	char path[MAKING_PATH_BYTES];
	struct shelf *s = state;
	uint64_t size, used;

	if (!k)
		return NULL;
	making_path(KERNEL_AREA, k->r.id, KERNEL_FILE, path);
	k->it.missing = world_size(s->world, STATE, path, &size, &used, NULL) == ERR_not_found;
	return &k->it;
}

static enum err put(struct store_put *ret, const struct shelf_item *it, bool named, struct arena *a,
	struct why *why)
{
	struct kernel_record r = CONTAINER_OF(it, struct kernel, it)->r;

	r.named = named;
	return record_put(ret, store_table_kernel, r.id, &shape_kernel_record, &r, a, why);
}

static const char *of_machine(const struct vm_record *r)
{
	return r->kernel_id;
}

static bool renewed(const struct shelf_item *it)
{
	return CONTAINER_OF(it, struct kernel, it)->renewal != NULL;
}

static bool is_chosen(const struct kernels *s, const struct shelf_item *it)
{
	return it->named && str_eq(s->chosen, it->name);
}

/* A default that is deleted is none any more. */
static void going(void *state, const struct shelf_item *it, struct store_put *puts, uint32_t *n)
{
	if (is_chosen(state, it))
		puts[(*n)++] = (struct store_put){ .table = store_table_meta, .key = DEFAULT_KEY };
}

static void gone(void *state, const struct shelf_item *it)
{
	struct kernels *s = state;

	if (is_chosen(s, it))
		s->chosen[0] = '\0';
}

static const struct shelf_kind kind = {
	.area = KERNEL_AREA,
	.mark = ID_MARK_KERNEL,
	.table = store_table_kernel,
	.shape = &shape_kernel_record,
	.read = read_record,
	.free = kernel_free,
	.put = put,
	.of_machine = of_machine,
	.busy = renewed,
	.going = going,
	.gone = gone,
	.read_more = kernel_read_settings,
	.ended = kernel_making_ended,
};

/* ---- letters in ---- */

enum err kernel_not_found(struct kernels *s, const char *name, struct why *why)
{
	if (!name) {
		fail_field(why, ERR_not_found, "kernel", "there is no default kernel");
		return fail_hint(why, "%s",
			s->shelf.by_name.count ?
				"`banger kernel default NAME` chooses one" :
				"`banger kernel pull debian`, or `banger kernel import NAME FILE`");
	}
	fail_field(why, ERR_not_found, "kernel", "no kernel '%s'", name);
	if (kernel_catalog(s, name))
		return fail_hint(why, "`banger kernel pull %s` fetches it", name);
	return fail_hint(why,
		"`banger kernel list` shows what is there; `banger kernel import %s "
		"FILE` makes it",
		name);
}

struct kernel_info kernel_info_of(const struct kernels *s, const struct kernel *k)
{
	const char *usual = kernel_default_name(s);

	return (struct kernel_info){ .name = k->r.name,
		.id = k->r.id,
		.created = k->r.created,
		.is_default = k->it.named && usual && str_eq(usual, k->r.name),
		.machines = k->it.machines,
		.facts = k->r.facts };
}

static int by_name_order(const void *a, const void *b)
{
	const struct kernel_info *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static void on_list(void *state, const struct letter *l, const void *body UNUSED)
{
	struct kernels *s = state;
	struct kernel_info infos[KERNELS_MAX];
	struct kernel_listed listed = { .kernels = { infos, 0 } };

	if (waiting_took(&s->shelf.waiting, l, on_list))
		return;
	for (struct link *i = table_next(&s->shelf.by_name, NULL); i;
		i = table_next(&s->shelf.by_name, i)) {
		const struct kernel *k = CONTAINER_OF(i, struct kernel, it.by_name);

		if (!k->it.going && listed.kernels.n < KERNELS_MAX)
			infos[listed.kernels.n++] = kernel_info_of(s, k);
	}
	qsort(infos, listed.kernels.n, sizeof(infos[0]), by_name_order);
	answer(s->shelf.me, l->reply, &listed);
}

static void on_show(void *state, const struct letter *l, const void *body)
{
	const struct kernel_only *q = body;
	struct kernels *s = state;
	struct kernel_info info;
	struct kernel *k;
	struct why why;

	if (waiting_took(&s->shelf.waiting, l, on_show))
		return;
	k = kernel_by_name(s, q->kernel);
	if (!k) {
		kernel_not_found(s, q->kernel, &why);
		refuse(s->shelf.me, l->reply, &why);
		return;
	}
	info = kernel_info_of(s, k);
	answer(s->shelf.me, l->reply, &info);
}

static void on_delete(void *state, const struct letter *l, const void *body)
{
	const struct kernel_only *q = body;
	struct kernels *s = state;
	struct kernel *k;
	struct why why;

	if (waiting_took(&s->shelf.waiting, l, on_delete))
		return;
	k = kernel_by_name(s, q->kernel);
	if (k) {
		shelf_delete(&s->shelf, &k->it, l->reply);
	} else {
		kernel_not_found(s, q->kernel, &why);
		refuse(s->shelf.me, l->reply, &why);
	}
}

/* An import is the client's own; a pull goes on for as long as somebody waits for it. */
static void on_client_gone(void *state, const struct letter *l, const void *body)
{
	const struct client_gone *q = body;
	struct kernels *s = state;
	struct making *m, *next;
	struct why why;

	if (waiting_took(&s->shelf.waiting, l, on_client_gone))
		return; /* what it asked for waits as well */
	fail(&why, ERR_cancelled, "the client went");
	for (m = TAILQ_FIRST(&s->shelf.makings.list); m; m = next) {
		struct kernel_making *p = CONTAINER_OF(m, struct kernel_making, sm.m);
		bool waited = kernel_waits_drop(s, &p->waits, q->client, NULL);
		bool own = m->client == q->client;

		next = TAILQ_NEXT(m, entry);
		if (own)
			m->client = 0;
		if (p->imports ? own : waited && TAILQ_EMPTY(&p->waits))
			making_cancel(m, &why);
	}
}

/* ---- timers and children: those of makings, in make.c and renew.c ---- */

/* ---- class ---- */

static enum err kernel_open(void *state, struct actor *me, void *env, struct why *why)
{
	struct kernels *s = state;

	TAILQ_INIT(&s->settings);
	return shelf_open(&s->shelf, &kind, me, env, why);
}

static void kernel_close(void *state)
{
	struct kernels *s = state;

	shelf_close(&s->shelf);
	kernel_waits_free(&s->settings);
}

static void kernel_verify(const void *state)
{
	const struct kernels *s = state;
	const struct table *all = &s->shelf.by_id;

	for (struct link *l = table_next(all, NULL); l; l = table_next(all, l)) {
		const struct kernel *k = CONTAINER_OF(l, struct kernel, it.by_id);

		must(!k->renewal || k->renewal->renews == k);
	}
	shelf_verify(&s->shelf);
}

static const struct handler handlers[] = {
	{ LETTER_kernel_list, on_list },
	{ LETTER_kernel_show, on_show },
	{ LETTER_kernel_pull, kernel_on_pull },
	{ LETTER_kernel_import, kernel_on_import },
	{ LETTER_kernel_delete, on_delete },
	{ LETTER_kernel_default, kernel_on_default },
	{ LETTER_kernel_hold, kernel_on_hold },
	{ LETTER_kernel_drop, kernel_on_drop },
	{ LETTER_op_cancel, shelf_on_cancel },
	{ LETTER_stream_data, shelf_on_data },
	{ LETTER_stream_credit, shelf_on_nothing },
	{ LETTER_stream_resize, shelf_on_nothing },
	{ LETTER_stream_signal, shelf_on_nothing },
	{ LETTER_client_gone, on_client_gone },
	{ 0, NULL },
};

const struct actor_class kernel_actor = {
	.name = "kernel",
	.state = sizeof(struct kernels),
	.mail = 1024,
	.on = handlers,
	.open = kernel_open,
	.close = kernel_close,
	.verify = kernel_verify,
};
