/*
 * look.c - machines as clients see them: lists, with the guests' own numbers where they are wanted,
 * and one machine in detail.
 *
 * A list that wants those numbers asks all agents of its page at once and waits a moment: a guest
 * that hangs costs its row the numbers, and the list half a second. What came is kept for a while,
 * so lists one behind the other ask no guest twice.
 */
#include "actors/vm/forwards.h"
#include "actors/vm/vm.h"
#include "base/text.h"

enum { ASK_MS = 500, FRESH_MS = 2000, STALE_MS = 60000 };

struct listing { /* a list that waits for guests */
	TAILQ_ENTRY(listing) entry;
	struct vmd *v;
	struct reply_to reply;
	struct wtimer deadline;
	char after[11];
	uint64_t limit;
};

/* ---- the guest's view ---- */

static void take_numbers(struct guest_view *view, const struct guest_stats *g)
{
	view->memory = g->memory;
	view->memory_used = g->memory_used;
	view->root_size = view->root_used = view->work_size = view->work_used = 0;
	if (g->disks.n > 0) {
		view->root_size = g->disks.v[0].size;
		view->root_used = g->disks.v[0].used;
	}
	if (g->disks.n > 1) {
		view->work_size = g->disks.v[1].size;
		view->work_used = g->disks.v[1].used;
	}
}

static void answer_listings(struct vmd *v);

static void view_told(struct machine *m)
{
	m->view.asked = false;
	if (--m->v->views_due == 0)
		answer_listings(m->v);
}

static void on_numbers(void *ctx, const struct why *why, struct bytes result)
{
	struct machine *m = CONTAINER_OF(ctx, struct machine, view);
	struct arena a = { .max = 64 * KiB };
	struct guest_stats g;
	struct why bad;

	if (!why && shape_read(&shape_guest_stats, mp_over(result.p, result.n), LENIENT, &a, &g,
			    &bad) == OK) {
		take_numbers(&m->view, &g);
		m->view.at_ms = world_now_ms(m->v->world);
	}
	arena_done(&a);
	view_told(m);
}

static void ask_guest(struct machine *m)
{
	uint64_t now = world_now_ms(m->v->world);
	struct nothing none;
	struct why why;

	if (!link_up(m) || m->view.asked || (m->view.at_ms && now - m->view.at_ms < FRESH_MS))
		return;
	if (rpc_ask(m->link.rpc, &letter_kinds[LETTER_agent_stats], &none, on_numbers, &m->view,
		    &why))
		return;
	m->view.asked = true;
	m->v->views_due++;
}

void look_gone(struct machine *m)
{
	m->view.at_ms = 0;
	if (m->view.asked)
		view_told(m);
}

void look_info(const struct machine *m, struct vm_info *ret)
{
	const struct guest_view *g = &m->view;

	if (!m->child || !g->at_ms || world_now_ms(m->v->world) - g->at_ms > STALE_MS)
		return;
	ret->has_guest_memory = ret->has_guest_memory_used = true;
	ret->guest_memory = g->memory;
	ret->guest_memory_used = g->memory_used;
	ret->has_root_size = ret->has_root_used = g->root_size > 0;
	ret->root_size = g->root_size;
	ret->root_used = g->root_used;
	ret->has_work_size = ret->has_work_used = g->work_size > 0;
	ret->work_size = g->work_size;
	ret->work_used = g->work_used;
}

/* ---- lists ---- */

static uint32_t page(struct vmd *v, const char *after, uint64_t limit, uint32_t *ret_at)
{
	*ret_at = after ? machine_behind(v, after) : 0;
	return (uint32_t)MIN(limit, (uint64_t)(v->in_order_n - *ret_at));
}

static void answer_list(
	struct vmd *v, struct reply_to reply, const char *after, uint64_t limit, struct arena *a)
{
	uint32_t at, n = page(v, after, limit, &at);
	struct vm_listed listed = { .more = n < v->in_order_n - at };
	struct why why;

	listed.vms.v = arena_take(a, (n + 1) * sizeof(struct vm_info));
	if (!listed.vms.v) {
		fail(&why, ERR_no_memory, "no memory for a list");
		refuse(v->me, reply, &why);
		return;
	}
	for (; listed.vms.n < n; listed.vms.n++)
		machine_info(v->in_order[at + listed.vms.n], false, &listed.vms.v[listed.vms.n]);
	answer(v->me, reply, &listed);
}

static void listing_answer(struct listing *x)
{
	struct arena a = { .max = 4 * MiB };

	world_timer_stop(&x->deadline);
	TAILQ_REMOVE(&x->v->listings, x, entry);
	answer_list(x->v, x->reply, x->after[0] ? x->after : NULL, x->limit, &a);
	arena_done(&a);
	free(x);
}

static void listing_due(void *ctx)
{
	listing_answer(ctx);
}

static void answer_listings(struct vmd *v)
{
	while (!TAILQ_EMPTY(&v->listings))
		listing_answer(TAILQ_FIRST(&v->listings));
}

void look_end(struct vmd *v)
{
	struct listing *x;

	while ((x = TAILQ_FIRST(&v->listings)) != NULL) {
		world_timer_stop(&x->deadline);
		TAILQ_REMOVE(&v->listings, x, entry);
		free(x);
	}
}

void look_list(void *state, const struct letter *l, const void *body)
{
	const struct vm_list *q = body;
	struct vmd *v = state;
	uint64_t limit = q->has_limit ? q->limit : 500;
	uint32_t at, n = page(v, q->after, limit, &at);
	struct listing *x = NULL;

	for (uint32_t i = 0; q->has_guests && q->guests && i < n; i++)
		ask_guest(v->in_order[at + i]);
	if (q->has_guests && q->guests && v->views_due > 0)
		x = calloc(1, sizeof(*x));
	if (!x) {
		answer_list(v, l->reply, q->after, limit, l->arena);
		return;
	}
	x->v = v;
	x->reply = l->reply;
	x->limit = limit;
	if (q->after)
		must(str_copy(x->after, sizeof(x->after), q->after));
	TAILQ_INSERT_TAIL(&v->listings, x, entry);
	world_timer(v->world, &x->deadline, ASK_MS, listing_due, x);
}

/* ---- one machine ---- */

void look_show(void *state, const struct letter *l, const void *body)
{
	struct vmd *v = state;
	struct machine *m = machine_find(v, ((const struct vm_only *)body)->vm);
	struct version agent;
	struct vm_shown s = { .agent = NULL };
	char dir[64], path[4200];

	if (!m) {
		vm_no_such(v, l, ((const struct vm_only *)body)->vm);
		return;
	}
	machine_info(m, true, &s.vm);
	if (link_up(m)) {
		agent = (struct version){ m->link.version, m->link.commit, m->link.built };
		s.agent = &agent;
		s.link = m->driver->link;
		s.has_link = true;
	}
	machine_dir(m, dir, sizeof(dir), "");
	if (world_path(v->world, STATE, dir, path, sizeof(path), NULL) == OK)
		s.dir = path;
	if (machine_leases(m))
		s.address = m->net.address[0] ? m->net.address : NULL;
	else if (m->r.net == net_nat)
		s.address = "10.0.2.15/24";
	s.host_address = m->r.address;
	s.forwards.n = forwards_show(m, l->arena, &s.forwards.v);
	answer(v->me, l->reply, &s);
}
