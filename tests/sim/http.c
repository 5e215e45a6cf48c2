/*
 * http.c - HTTP in virtual time: a request reaches the program whose socket has that path, late or
 * never, and comes back with what the program said.
 */
#include "tests/sim/guest.h"

enum { LOOK_MS = 3 };

struct http {
	struct world *w;
	char path[64];
	http_done_fn *done;
	void *ctx;
	uint64_t until;
	char method[8], asked[128];
	char *body;
	unsigned status;
	char answer[256];
};

static void finish(struct http *h, const struct why *why)
{
	http_done_fn *done = take_ptr(&h->done);
	char body[sizeof(h->answer)];
	struct http_answer a = { h->status, { (const uint8_t *)body, strlen(h->answer) } };

	memcpy(body, h->answer, sizeof(body));
	sim_forget(h->w->sim, h);
	free(take_ptr(&h->body));
	done(h->ctx, why, why ? NULL : &a);
}

static void back(void *ctx, uint64_t arg UNUSED)
{
	struct http *h = ctx;

	if (!h->w->dead)
		finish(h, NULL);
}

static void late(void *ctx, uint64_t arg UNUSED)
{
	struct http *h = ctx;
	struct why why;

	if (h->w->dead)
		return;
	fail(&why, ERR_timeout, "no answer in time");
	finish(h, &why);
}

static void broken(void *ctx, uint64_t arg UNUSED)
{
	struct http *h = ctx;
	struct why why;

	if (h->w->dead)
		return;
	fail(&why, ERR_unavailable, "the connection broke");
	finish(h, &why);
}

static void reach(void *ctx, uint64_t arg UNUSED)
{
	struct http *h = ctx;
	struct sim *s = h->w->sim;
	struct proc *p;

	if (h->w->dead)
		return;
	if (!socket_at(s, h->path, &p)) {
		sim_after(s, LOOK_MS, reach, h, 0);
		return;
	}
	if (!s->calm && sim_chance(s, s->weather.lost)) {
		sim_mark(s, MARK_answer_lost);
		if (sim_chance(s, 500))
			sim_after(s, 1, broken, h, 0);
		return;
	}
	h->status = vmm_request(p, h->method, h->asked, h->body, h->answer, sizeof(h->answer));
	sim_after(s, sim_between(s, 1, 5), back, h, 0);
}

/* ---- the seam ---- */

enum err world_http(struct world *w, const char *path, struct http **ret, struct why *why)
{
	struct http *h;

	if (!world_alive(w))
		return dead_daemon(why);
	h = calloc(1, sizeof(*h));
	must(h);
	h->w = w;
	w->chans++;
	str_copy(h->path, sizeof(h->path), path);
	*ret = h;
	return OK;
}

void http_ask(struct http *h, const struct http_request *q, http_done_fn *done, void *ctx)
{
	struct sim *s = h->w->sim;

	must(!h->done);
	h->done = done;
	h->ctx = ctx;
	h->answer[0] = '\0';
	if (!world_alive(h->w))
		return;
	str_copy(h->method, sizeof(h->method), q->method);
	str_copy(h->asked, sizeof(h->asked), q->path);
	h->body = q->body ? strdup(q->body) : NULL;
	sim_after(s, q->ms, late, h, 0);
	sim_after(s, sim_roll(s, 3), reach, h, 0);
}

void http_free(struct http *h)
{
	if (!h)
		return;
	sim_forget(h->w->sim, h);
	h->w->chans--;
	free(h->body);
	free(h);
}

/* The simulated helper launches no Firecracker. */
enum err world_parcel_http(
	struct world *w UNUSED, uint64_t parcel UNUSED, struct http **ret UNUSED, struct why *why)
{
	return fail(why, ERR_internal, "nothing came with that letter");
}
