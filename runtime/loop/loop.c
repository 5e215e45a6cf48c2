/*
 * loop.c - libev behind plain words.
 *
 * libev ends the process when an allocation fails, so its memory is taken from the heap before it
 * is needed where it can be (the watcher arrays grow with descriptors, which have a ceiling). A
 * periodic far in the future makes libev use a timerfd; without it epoll_wait wakes every minute.
 */
#include "loop/loop.h"

#include <time.h>

#include "loop/chan_list.h"

struct loop {
	struct ev_loop *ev;
	ev_prepare prepare;
	ev_idle again; /* runs only when a hook asked not to wait */
	ev_periodic never;
	struct turn_hook *hooks;
	struct chan_list dirty;
};

static void again_cb(struct ev_loop *ev, ev_idle *w, int events UNUSED)
{
	ev_idle_stop(ev, w);
}

static void prepare_cb(struct ev_loop *ev, ev_prepare *w, int events UNUSED)
{
	struct loop *l = w->data;
	bool more = false;

	for (struct turn_hook *h = l->hooks, *next; h; h = next) {
		next = h->next;
		more |= h->fn(h->ctx);
	}
	chan_list_flush(&l->dirty);
	if (more)
		ev_idle_start(ev, &l->again);
}

static void never_cb(struct ev_loop *ev UNUSED, ev_periodic *w UNUSED, int events UNUSED)
{
}

enum err loop_new(struct loop **ret, struct why *why)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l)
		return fail(why, ERR_no_memory, "no memory for the loop");
	l->ev = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	if (!l->ev) {
		free(l);
		return fail(why, ERR_no_memory, "cannot make an event loop");
	}
	ev_prepare_init(&l->prepare, prepare_cb);
	l->prepare.data = l;
	ev_prepare_start(l->ev, &l->prepare);
	ev_unref(l->ev);
	ev_idle_init(&l->again, again_cb);
	ev_periodic_init(&l->never, never_cb, ev_time() + 86400.0 * 36500, 0, NULL);
	ev_periodic_start(l->ev, &l->never);
	ev_unref(l->ev);
	*ret = l;
	return OK;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	ev_ref(l->ev);
	ev_periodic_stop(l->ev, &l->never);
	ev_ref(l->ev);
	ev_prepare_stop(l->ev, &l->prepare);
	ev_idle_stop(l->ev, &l->again);
	ev_loop_destroy(l->ev);
	free(l);
}

void loop_run(struct loop *l)
{
	ev_run(l->ev, 0);
}

void loop_stop(struct loop *l)
{
	ev_break(l->ev, EVBREAK_ALL);
}

void loop_turn(struct loop *l, bool wait)
{
	ev_run(l->ev, wait ? EVRUN_ONCE : EVRUN_NOWAIT);
}

uint64_t loop_now_ms(struct loop *l UNUSED)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

struct chan_list *loop_dirty(struct loop *l)
{
	return &l->dirty;
}

static void timer_cb(struct ev_loop *ev UNUSED, ev_timer *w, int events UNUSED)
{
	struct timer *t = w->data;

	t->fn(t->ctx);
}

void timer_start(struct loop *l, struct timer *t, uint64_t ms, void (*fn)(void *), void *ctx)
{
	timer_stop(t);
	t->loop = l;
	t->fn = fn;
	t->ctx = ctx;
	ev_now_update(l->ev);
	ev_timer_init(&t->ev, timer_cb, (double)ms / 1000.0, 0);
	t->ev.data = t;
	ev_timer_start(l->ev, &t->ev);
}

void timer_stop(struct timer *t)
{
	if (t->loop)
		ev_timer_stop(t->loop->ev, &t->ev);
}

static void watch_cb(struct ev_loop *ev UNUSED, ev_io *w, int events)
{
	struct watch *x = w->data;

	x->fn(x->ctx, events);
}

void watch_start(struct loop *l, struct watch *w, int fd, int events, void (*fn)(void *, int),
	void *ctx)
{
	watch_stop(w);
	w->loop = l;
	w->fn = fn;
	w->ctx = ctx;
	ev_io_init(&w->ev, watch_cb, fd, events);
	w->ev.data = w;
	ev_io_start(l->ev, &w->ev);
}

void watch_stop(struct watch *w)
{
	if (w->loop)
		ev_io_stop(w->loop->ev, &w->ev);
}

static void sig_cb(struct ev_loop *ev UNUSED, ev_signal *w, int events UNUSED)
{
	struct sigwatch *s = w->data;

	s->fn(s->ctx, w->signum);
}

void sigwatch_start(struct loop *l, struct sigwatch *w, int signal, void (*fn)(void *, int),
	void *ctx)
{
	sigwatch_stop(w);
	w->loop = l;
	w->fn = fn;
	w->ctx = ctx;
	ev_signal_init(&w->ev, sig_cb, signal);
	w->ev.data = w;
	ev_signal_start(l->ev, &w->ev);
}

void sigwatch_stop(struct sigwatch *w)
{
	if (w->loop)
		ev_signal_stop(w->loop->ev, &w->ev);
}

void turn_hook_add(struct loop *l, struct turn_hook *h, bool (*fn)(void *), void *ctx)
{
	struct turn_hook **at = &l->hooks;

	*h = (struct turn_hook){ fn, ctx, NULL, l };
	while (*at)
		at = &(*at)->next;
	*at = h;
}

void turn_hook_del(struct turn_hook *h)
{
	if (!h->loop)
		return;
	for (struct turn_hook **at = &h->loop->hooks; *at; at = &(*at)->next)
		if (*at == h) {
			*at = h->next;
			break;
		}
	h->loop = NULL;
}

static void bell_cb(struct ev_loop *ev UNUSED, ev_async *w, int events UNUSED)
{
	struct bell *b = w->data;

	b->fn(b->ctx);
}

void bell_start(struct loop *l, struct bell *b, void (*fn)(void *), void *ctx)
{
	*b = (struct bell){ .fn = fn, .ctx = ctx, .loop = l };
	ev_async_init(&b->ev, bell_cb);
	b->ev.data = b;
	ev_async_start(l->ev, &b->ev);
}

void bell_ring(struct bell *b)
{
	ev_async_send(b->loop->ev, &b->ev);
}

void bell_stop(struct bell *b)
{
	if (b->loop)
		ev_async_stop(b->loop->ev, &b->ev);
	b->loop = NULL;
}
