/*
 * preflight.c - vm.preflight: everything that stands in the way of a request, before anything is
 * touched and all at once (row B5).
 *
 * A request itself is refused for the first thing that is wrong; whoever wants to mend all of it
 * asks here, with the same body. Nothing is made, and what is looked at is what the request would
 * look at: the same checks, each for itself. Images and kernels are other actors', so they are
 * asked, and a name that the catalog has is there as long as it may be fetched.
 */
#include "actors/vm/forwards.h"
#include "actors/vm/vm.h"
#include "actors/shared/catalog.h"
#include "base/text.h"

enum { PROBLEMS_MAX = 16, ASK_MS = 10000, OPEN_MAX = 64, PULL_LEAST = 256 * MiB };

struct preflight {
	TAILQ_ENTRY(preflight) entry;
	struct vmd *v;
	uint64_t id;
	struct reply_to reply;
	struct why problems[PROBLEMS_MAX];
	unsigned n, due; /* due: answers of other actors */
	bool offline;
	char image[129], kernel[65];
};

static void add(void *ctx, const struct why *why)
{
	struct preflight *p = ctx;

	if (p->n < PROBLEMS_MAX)
		p->problems[p->n++] = *why;
}

static void preflight_free(struct preflight *p)
{
	TAILQ_REMOVE(&p->v->preflights, p, entry);
	p->v->preflights_n--;
	free(p);
}

static void answer_if_done(struct preflight *p)
{
	struct error errors[PROBLEMS_MAX];
	struct vm_preflight_said said = { .problems = { errors, p->n } };

	if (p->due > 0)
		return;
	for (unsigned i = 0; i < p->n; i++)
		errors[i] = error_of(&p->problems[i]);
	answer(p->v->me, p->reply, &said);
	preflight_free(p);
}

static struct preflight *preflight_of(struct vmd *v, uint64_t id)
{
	struct preflight *p;

	TAILQ_FOREACH(p, &v->preflights, entry)
	if (p->id == id)
		return p;
	return NULL;
}

/* ---- images and kernels ---- */

static void image_told(void *state, uint64_t ctx, const struct why *why, const void *result,
	struct arena *arena UNUSED)
{
	struct preflight *p = preflight_of(state, ctx);
	const struct image_info *info = result;
	struct why bad;

	if (!p)
		return;
	p->due--;
	if (why && (why->code != ERR_not_found || p->offline ||
			   !catalog_image_of(p->v->env->catalog, p->image)))
		add(p, why);
	if (!why && info->missing.n > 0) {
		fail(&bad, ERR_not_found, "the file of registered image '%s' is not there",
			p->image);
		fail_hint(
			&bad, "put it back, or register another: `banger image show %s`", p->image);
		add(p, &bad);
	}
	answer_if_done(p);
}

static void kernel_told(void *state, uint64_t ctx, const struct why *why, const void *result UNUSED,
	struct arena *arena UNUSED)
{
	struct preflight *p = preflight_of(state, ctx);

	if (!p)
		return;
	p->due--;
	if (why && (why->code != ERR_not_found || p->offline ||
			   !catalog_kernel_of(p->v->env->catalog, p->kernel)))
		add(p, why);
	answer_if_done(p);
}

static void kernels_told(void *state, uint64_t ctx, const struct why *why, const void *result,
	struct arena *arena UNUSED)
{
	struct preflight *p = preflight_of(state, ctx);
	const struct kernel_listed *all = result;
	struct why bad;

	if (!p)
		return;
	p->due--;
	if (!why && all->kernels.n == 0 && (p->offline || p->v->env->catalog->kernels.n == 0)) {
		fail_field(&bad, ERR_not_found, "kernel", "there is no kernel to boot");
		fail_hint(&bad, "`banger kernel pull debian`, or `banger kernel import NAME FILE`");
		why = &bad;
	}
	if (why)
		add(p, why);
	answer_if_done(p);
}

static void helper_told(void *state, uint64_t ctx, const struct why *why, const void *result UNUSED,
	struct arena *arena UNUSED)
{
	struct preflight *p = preflight_of(state, ctx);
	struct why bad;

	if (!p)
		return;
	p->due--;
	if (why) {
		fail(&bad, ERR_unavailable, "the root helper does not answer: %s", why->text);
		fail_hint(&bad, "`systemctl status banger-helper`");
		add(p, &bad);
	}
	answer_if_done(p);
}

static void ask_others(struct preflight *p, const char *image, const char *kernel)
{
	struct actor *me = p->v->me;
	struct image_only i = { p->image };
	struct kernel_only k = { p->kernel };
	struct nothing none;

	p->due = p->v->env->mode == mode_system ? 3 : 2;
	str_copy(p->image, sizeof(p->image), image);
	str_copy(p->kernel, sizeof(p->kernel), kernel ? kernel : "");
	ask(me, LETTER_image_show, &i, ASK_MS, image_told, p->id);
	if (kernel)
		ask(me, LETTER_kernel_show, &k, ASK_MS, kernel_told, p->id);
	else
		ask(me, LETTER_kernel_list, &none, ASK_MS, kernels_told, p->id);
	if (p->v->env->mode == mode_system) /* it makes network, disks and VMMs */
		ask(me, LETTER_priv_ping, &none, ASK_MS, helper_told, p->id);
}

/* ---- what is asked for ---- */

static void look_at_ports(struct preflight *p, const char *const *publish, uint32_t n)
{
	struct why why;

	for (uint32_t i = 0; i < n; i++)
		if (forward_try(p->v, publish[i], &why))
			add(p, &why);
}

static void look_at_create(struct preflight *p, const struct vm_create *q)
{
	bool force = q->has_force && q->force, boots = !q->has_start || q->start;
	struct vmd *v = p->v;
	struct vm_record r;
	char id[11], name[64];
	struct why why;

	vm_record_from(v, q, id, name, &r);
	if (vm_check_name(v, q, &why))
		add(p, &why);
	vmm_problems(v, &r, add, p);
	if (!force && boots && admit_memory(v, r.memory, &why))
		add(p, &why);
	if (!force && admit_disk(v, q->has_disk ? r.disk : 0, &why))
		add(p, &why);
	if (boots)
		look_at_ports(p, q->publish.v, q->publish.n);
	p->offline = q->has_offline && q->offline;
	ask_others(p, r.image, q->kernel);
}

static void look_at_start(struct preflight *p, struct machine *m)
{
	struct vmd *v = p->v;
	struct vm_record r = m->r;
	uint64_t size, used;
	struct why why;

	if (m->driver->probe(v, &r, &why))
		add(p, &why);
	if (m->root_file && world_size(v->world, HOST, m->root_file + 1, &size, &used, NULL)) {
		fail(&why, ERR_not_found,
			"%.3000s, which the root disk of %s stands on, is not there", m->root_file,
			m->name);
		fail_hint(&why, "put it back: it is a file of registered image '%s'", m->image);
		add(p, &why);
	}
	if (!m->child) {
		look_at_ports(p, m->publish, m->r.publish.n);
		if (admit_disk(v, 0, &why))
			add(p, &why);
	}
	if (v->env->mode == mode_system) {
		struct nothing none;

		p->due = 1;
		ask(v->me, LETTER_priv_ping, &none, ASK_MS, helper_told, p->id);
	}
}

static void look_at_pull(struct preflight *p)
{
	uint64_t size, changed, there;
	struct why why;

	if (world_companion(p->v->world, "banger-worker", &size, &changed, &why)) {
		fail_hint(&why, "it lies beside bangerd; install both of one build");
		add(p, &why);
	}
	if (world_free_space(p->v->world, STATE, &there, NULL) == OK && there < PULL_LEAST) {
		fail(&why, ERR_no_space, "%.200s has no room for an image", p->v->env->state_dir);
		fail_hint(&why, "`banger prune` frees what nothing uses");
		add(p, &why);
	}
}

void vm_preflight(void *state, const struct letter *l, const void *body)
{
	const struct vm_preflight *q = body;
	struct vmd *v = state;
	struct machine *m = q->start ? machine_find(v, q->start) : NULL;
	struct preflight *p = NULL;
	struct why why;

	if (q->start && !m) {
		vm_no_such(v, l, q->start);
		return;
	}
	if (v->preflights_n < OPEN_MAX)
		p = calloc(1, sizeof(*p));
	if (!p) {
		fail(&why, ERR_busy, "%d preflights are under way", OPEN_MAX);
		refuse(v->me, l->reply, &why);
		return;
	}
	p->v = v;
	p->id = ++v->next_preflight;
	p->reply = l->reply;
	TAILQ_INSERT_TAIL(&v->preflights, p, entry);
	v->preflights_n++;
	if (q->create)
		look_at_create(p, q->create);
	if (m)
		look_at_start(p, m);
	if (q->has_pull && q->pull)
		look_at_pull(p);
	answer_if_done(p);
}

void preflights_end(struct vmd *v)
{
	while (!TAILQ_EMPTY(&v->preflights))
		preflight_free(TAILQ_FIRST(&v->preflights));
}
