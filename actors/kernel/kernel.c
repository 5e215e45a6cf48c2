/*
 * kernel.c - the kernel actor: which kernels there are, which is the default, who stands on them.
 *
 * A kernel is a directory kernel/<id> beneath the state directory and one record. Like an image it
 * keeps, without a name, until the last machine that stands on it is gone. Only its initramfs ever
 * changes: it carries the agent, which must be of this daemon's build (renew.c).
 *
 * Invariants: a name leads to one kernel; a record is deleted before its files are, and written
 * after they are there; the default is a name, whether or not a kernel has it.
 */
#include "actors/kernel/kernel.h"

#include "actors/shared/notes.h"
#include "base/log.h"
#include "base/text.h"

/* ---- state ---- */

struct kernel *kernel_new(const struct kernel_record *r, struct why *why)
{
	struct kernel *k = calloc(1, sizeof(*k));

	if (!k) {
		fail(why, ERR_no_memory, "no memory for a kernel");
		return NULL;
	}
	arena_init(&k->mem, 256 * KiB);
	if (shape_copy(&shape_kernel_record, r, &k->r, &k->mem, why)) {
		kernel_free(k);
		return NULL;
	}
	return k;
}

void kernel_free(struct kernel *k)
{
	if (!k)
		return;
	arena_done(&k->mem);
	free(k);
}

struct kernel *kernel_by_id(const struct kernels *s, const char *id)
{
	struct link *l = table_get(&s->by_id, id, strlen(id));

	return l ? CONTAINER_OF(l, struct kernel, by_id) : NULL;
}

static struct kernel *name_owner(const struct kernels *s, const char *name)
{
	struct link *l = table_get(&s->by_name, name, strlen(name));

	return l ? CONTAINER_OF(l, struct kernel, by_name) : NULL;
}

struct kernel *kernel_by_name(const struct kernels *s, const char *name)
{
	struct kernel *k = name_owner(s, name);

	return k && !k->going ? k : NULL;
}

const char *kernel_default_name(const struct kernels *s)
{
	if (s->env->config->default_kernel)
		return s->env->config->default_kernel;
	return s->chosen[0] ? s->chosen : NULL;
}

static void lose_name(struct kernels *s, struct kernel *k)
{
	if (k->r.named)
		table_del(&s->by_name, &k->by_name);
	k->r.named = false;
}

static void leave(struct kernels *s, struct kernel *k)
{
	lose_name(s, k);
	table_del(&s->by_id, &k->by_id);
	kernel_free(k);
}

void kernel_forget_unused(struct kernels *s, struct kernel *k)
{
	if (s->waiting.ready && !k->r.named && k->machines == 0 && !k->renewal)
		kernel_forget(s, k, (struct reply_to){ 0 });
}

void kernel_appear(struct kernels *s, struct kernel *k)
{
	struct kernel *old = k->r.named ? name_owner(s, k->r.name) : NULL;

	if (old)
		lose_name(s, old);
	/* tables that have held something once can always take more */
	must(table_add(&s->by_id, &k->by_id, k->r.id, strlen(k->r.id)));
	if (k->r.named)
		must(table_add(&s->by_name, &k->by_name, k->r.name, strlen(k->r.name)));
	if (old)
		kernel_forget_unused(s, old);
}

static void deleted(void *state, uint64_t ctx, const struct why *why, const void *result UNUSED,
	struct arena *arena UNUSED)
{
	struct kernel *k = (struct kernel *)(uintptr_t)ctx;
	struct kernels *s = state;
	struct event event = { .kind = "kernel.deleted", .name = k->r.name };
	struct nothing done;

	if (why) {
		log_line(LOG_ERROR, "kernel", "cannot delete", "name", k->r.name, "why", why->text,
			NULL);
		k->going = false;
		refuse(s->me, k->deleting, why);
		return;
	}
	makings_remove(&s->makings, k->op, k->r.id);
	if (k->r.named && str_eq(s->chosen, k->r.name))
		s->chosen[0] = '\0';
	answer(s->me, k->deleting, &done);
	note_event(s->me, s->world, &event);
	leave(s, k);
}

void kernel_forget(struct kernels *s, struct kernel *k, struct reply_to to)
{
	struct store_put puts[3] = { { .table = store_table_kernel, .key = k->r.id } };
	struct arena a;
	struct why why;
	uint32_t n = 2;

	if (k->going)
		return;
	arena_init(&a, 0);
	k->op = making_fresh(&s->makings);
	if (makings_note_deletion(&s->makings, k->op, k->r.id, &puts[1], &a, &why)) {
		refuse(s->me, to, &why);
	} else {
		if (k->r.named && str_eq(s->chosen, k->r.name))
			puts[n++] = (struct store_put){ .table = store_table_meta,
				.key = DEFAULT_KEY };
		k->going = true;
		k->deleting = to;
		record_write(s->me, puts, n, deleted, (uint64_t)(uintptr_t)k);
	}
	arena_done(&a);
}

/* ---- letters in ---- */

enum err kernel_not_found(struct kernels *s, const char *name, struct why *why)
{
	if (!name) {
		fail_field(why, ERR_not_found, "kernel", "there is no default kernel");
		return fail_hint(why, "%s", s->by_name.count ?
			"`banger kernel default NAME` chooses one" :
			"`banger kernel pull debian`, or `banger kernel import NAME FILE`");
	}
	fail_field(why, ERR_not_found, "kernel", "no kernel '%s'", name);
	if (kernel_catalog(name))
		return fail_hint(why, "`banger kernel pull %s` fetches it", name);
	return fail_hint(why, "`banger kernel list` shows what is there; `banger kernel import %s "
			      "FILE` makes it", name);
}

struct kernel_info kernel_info_of(const struct kernels *s, const struct kernel *k)
{
	const char *usual = kernel_default_name(s);

	return (struct kernel_info){ .name = k->r.name, .id = k->r.id, .created = k->r.created,
		.is_default = k->r.named && usual && str_eq(usual, k->r.name),
		.machines = k->machines, .facts = k->r.facts };
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

	if (waiting_took(&s->waiting, l, on_list))
		return;
	for (struct link *i = table_next(&s->by_name, NULL); i; i = table_next(&s->by_name, i)) {
		const struct kernel *k = CONTAINER_OF(i, struct kernel, by_name);

		if (!k->going && listed.kernels.n < KERNELS_MAX)
			infos[listed.kernels.n++] = kernel_info_of(s, k);
	}
	qsort(infos, listed.kernels.n, sizeof(infos[0]), by_name_order);
	answer(s->me, l->reply, &listed);
}

static void on_show(void *state, const struct letter *l, const void *body)
{
	const struct kernel_only *q = body;
	struct kernels *s = state;
	struct kernel_info info;
	struct kernel *k;
	struct why why;

	if (waiting_took(&s->waiting, l, on_show))
		return;
	k = kernel_by_name(s, q->kernel);
	if (!k) {
		kernel_not_found(s, q->kernel, &why);
		refuse(s->me, l->reply, &why);
		return;
	}
	info = kernel_info_of(s, k);
	answer(s->me, l->reply, &info);
}

static void on_delete(void *state, const struct letter *l, const void *body)
{
	const struct kernel_only *q = body;
	struct kernels *s = state;
	struct kernel *k;
	struct why why;

	if (waiting_took(&s->waiting, l, on_delete))
		return;
	k = kernel_by_name(s, q->kernel);
	if (!k) {
		kernel_not_found(s, q->kernel, &why);
	} else if (k->machines > 0) {
		fail_field(&why, ERR_conflict, "kernel", "%llu machine%s on kernel '%s'",
			(unsigned long long)k->machines, k->machines == 1 ? " stands" : "s stand",
			q->kernel);
		fail_hint(&why, "delete %s first: `banger vm list`",
			k->machines == 1 ? "it" : "them");
	} else if (k->renewal) {
		fail_field(&why, ERR_busy, "kernel", "kernel '%s' is getting this build's agent",
			q->kernel);
	} else {
		kernel_forget(s, k, l->reply);
		return;
	}
	refuse(s->me, l->reply, &why);
}

static void on_cancel(void *state, const struct letter *l, const void *body)
{
	struct kernels *s = state;

	makings_cancel(&s->makings, l, body);
}

static void on_data(void *state, const struct letter *l, const void *body)
{
	struct kernels *s = state;

	makings_data(&s->makings, l->client, body);
}

/* An import is the client's own; a pull goes on for as long as somebody waits for it. */
static void on_client_gone(void *state, const struct letter *l, const void *body)
{
	const struct client_gone *q = body;
	struct kernels *s = state;
	struct making *m, *next;
	struct why why;

	if (waiting_took(&s->waiting, l, on_client_gone))
		return; /* what it asked for waits as well */
	fail(&why, ERR_cancelled, "the client went");
	for (m = TAILQ_FIRST(&s->makings.list); m; m = next) {
		struct kernel_making *p = CONTAINER_OF(m, struct kernel_making, m);
		bool waited = kernel_waits_drop(s, &p->waits, q->client, NULL);
		bool own = m->client == q->client;

		next = TAILQ_NEXT(m, entry);
		if (own)
			m->client = 0;
		if (p->imports ? own : waited && TAILQ_EMPTY(&p->waits))
			making_cancel(m, &why);
	}
}

/* An import has no terminal, no program, and nothing that the client could grant. */
static void on_nothing(void *state UNUSED, const struct letter *l UNUSED, const void *body UNUSED)
{
}

/* ---- timers and children: those of makings, in make.c and renew.c ---- */

/* ---- class ---- */

static bool known(void *state, const char *id)
{
	return kernel_by_id(state, id) != NULL;
}

/* After this, adding to the table cannot fail. */
static bool prime(struct table *t, uint64_t seed)
{
	struct link first;

	table_init(t, seed);
	if (!table_add(t, &first, "", 0))
		return false;
	table_del(t, &first);
	return true;
}

static enum err kernel_open(void *state, struct actor *me, void *env, struct why *why)
{
	struct kernels *s = state;
	uint64_t seed[3];

	s->me = me;
	s->env = env;
	s->world = s->env->world;
	TAILQ_INIT(&s->settings);
	world_random(s->world, seed, sizeof(seed));
	holders_init(&s->holders, seed[2]);
	waiting_init(&s->waiting, me);
	makings_init(&s->makings, me, s->world, s);
	s->makings.area = KERNEL_AREA;
	s->makings.mark = ID_MARK_KERNEL;
	s->makings.ended = kernel_making_ended;
	s->makings.known = known;
	if (!prime(&s->by_id, seed[0]) || !prime(&s->by_name, seed[1]))
		return fail(why, ERR_no_memory, "no memory for the kernels");
	if (world_mkdir(s->world, STATE, KERNEL_AREA, why))
		return why->code;
	kernel_load(s);
	return OK;
}

static void kernel_close(void *state)
{
	struct kernels *s = state;
	struct link *l, *next;

	makings_done(&s->makings);
	kernel_waits_free(&s->settings);
	waiting_done(&s->waiting);
	holders_done(&s->holders);
	for (l = table_next(&s->by_id, NULL); l; l = next) {
		next = table_next(&s->by_id, l);
		kernel_free(CONTAINER_OF(l, struct kernel, by_id));
	}
	table_done(&s->by_id);
	table_done(&s->by_name);
}

static void kernel_verify(const void *state)
{
	const struct kernels *s = state;
	uint32_t named = 0;
	uint64_t held = 0;

	for (struct link *l = table_next(&s->by_id, NULL); l; l = table_next(&s->by_id, l)) {
		const struct kernel *k = CONTAINER_OF(l, struct kernel, by_id);

		named += k->r.named;
		held += k->machines;
		must(!k->r.named || name_owner(s, k->r.name) == k);
		must(!k->going || (k->machines == 0 && !k->renewal));
		must(!k->renewal || k->renewal->renews == k);
	}
	must(named == s->by_name.count);
	must(held == s->holders.by_vm.count);
	makings_verify(&s->makings);
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
	{ LETTER_op_cancel, on_cancel },
	{ LETTER_stream_data, on_data },
	{ LETTER_stream_credit, on_nothing },
	{ LETTER_stream_resize, on_nothing },
	{ LETTER_stream_signal, on_nothing },
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
