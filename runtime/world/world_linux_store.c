/*
 * world_linux_store.c - store commits, on a thread of the store's.
 *
 * LMDB's flush blocks, so the commits of a turn are joined into one batch and handed over whole;
 * what comes while that is under way waits for the next one (group commit). The loop and the thread
 * share one hand-over slot under a mutex; the bell brings the result back.
 *
 * A flush that failed ends it all: no commit is answered any more, well or ill, since whoever took
 * an answer for "not done" would undo what may be on disk. The owner of the world is told instead.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "base/text.h"
#include "sys/beneath.h"
#include "world/world_linux.h"

enum { SETTLED_MAX = 128 };

/*
 * What is to be flushed before a batch is written. What comes to more descriptors than this, or
 * than the process may have, is flushed with all of its filesystem.
 */
struct settling {
	int fds[SETTLED_MAX];
	unsigned n;
	bool all; /* fds[0] stands for the filesystem */
	struct why why; /* the first that could not even be opened */
};

struct store_thread {
	struct world *w;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct bell bell;
	/* the loop's alone */
	struct kv_batch gathered; /* of this turn */
	struct settling settles; /* for it */
	struct kv_waiter *waiting, **waiting_end; /* for `gathered` */
	struct kv_waiter *under_way; /* for the batch that the thread has */
	bool running;
	/* under the lock */
	struct kv_batch batch;
	struct settling settling;
	struct why why;
	bool has_batch, has_result, broken, quit;
};

static void settling_done(struct settling *s)
{
	for (unsigned i = 0; i < s->n; i++)
		close(s->fds[i]);
	*s = (struct settling){ .n = 0 };
}

static enum err settle(const struct settling *s, struct why *why)
{
	if (s->why.code) {
		if (why)
			*why = s->why;
		return s->why.code;
	}
	for (unsigned i = 0; i < s->n; i++)
		if ((s->all ? syncfs(s->fds[i]) : fsync(s->fds[i])) < 0)
			return fail_errno(why, "cannot flush a file of the state directory");
	return OK;
}

static void *store_main(void *arg)
{
	struct store_thread *t = arg;

	pthread_mutex_lock(&t->lock);
	for (;;) {
		struct why why = { .code = OK };

		while (!t->has_batch && !t->quit)
			pthread_cond_wait(&t->wake, &t->lock);
		if (!t->has_batch)
			break;
		pthread_mutex_unlock(&t->lock);
		if (settle(&t->settling, &why) == OK && kv_write(t->w->kv, &t->batch, &why) == OK)
			why.code = OK;
		pthread_mutex_lock(&t->lock);
		t->why = why;
		t->broken = kv_broken(t->w->kv);
		t->has_batch = false;
		t->has_result = true;
		bell_ring(&t->bell);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

static void on_result(void *ctx)
{
	struct store_thread *t = ctx;
	struct kv_waiter *waiters = t->under_way;
	struct why why;
	bool broken;

	pthread_mutex_lock(&t->lock);
	if (!t->has_result) {
		pthread_mutex_unlock(&t->lock);
		return;
	}
	t->has_result = false;
	why = t->why;
	broken = t->broken;
	pthread_mutex_unlock(&t->lock);
	buf_done(&t->batch.b);
	settling_done(&t->settling);
	if (broken) { /* and it runs no more */
		t->w->store_broke(t->w->store_broke_ctx, &why);
		return;
	}
	t->running = false;
	t->under_way = NULL;
	while (waiters) {
		struct kv_waiter *w = waiters;

		waiters = w->next;
		w->done(w->ctx, why.code ? &why : NULL);
	}
}

void world_store_flush(struct world *w)
{
	struct store_thread *t = w->store;

	if (t->running || !t->waiting)
		return;
	t->running = true;
	t->under_way = t->waiting;
	t->waiting = NULL;
	t->waiting_end = &t->waiting;
	pthread_mutex_lock(&t->lock);
	t->batch = t->gathered;
	t->settling = t->settles;
	t->has_batch = true;
	pthread_cond_signal(&t->wake);
	pthread_mutex_unlock(&t->lock);
	t->gathered = (struct kv_batch){ .b = { .max = 64 * MiB } };
	t->settles = (struct settling){ .n = 0 };
}

static bool cannot_settle(struct settling *s, const char *path)
{
	if (s->why.code == OK)
		fail_errno(&s->why, "cannot flush %s", path);
	return false;
}

/* False, as nothing more need be looked for. */
static bool settle_all(struct world *w)
{
	struct settling *s = &w->store->settles;
	struct why why = s->why;

	settling_done(s);
	s->why = why;
	s->fds[0] = open_beneath(w->dirs[STATE], ".", O_RDONLY | O_DIRECTORY, 0);
	if (s->fds[0] < 0)
		return cannot_settle(s, "the state directory");
	s->n = 1;
	s->all = true;
	return false;
}

/* False: it cannot be, or all is flushed at once. */
static bool settle_later(struct world *w, int dir, const char *path)
{
	struct settling *s = &w->store->settles;
	own_fd fd = -1;

	if (s->all)
		return false;
	if (s->n == SETTLED_MAX)
		return settle_all(w);
	fd = open_beneath(dir, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE))
		return settle_all(w);
	if (fd < 0)
		return cannot_settle(s, path);
	s->fds[s->n++] = take_fd(&fd);
	return true;
}

static void settle_files(struct world *w, int dir)
{
	int copy = fcntl(dir, F_DUPFD_CLOEXEC, 0);
	own_dir d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;

	if (copy < 0 && (errno == EMFILE || errno == ENFILE)) {
		settle_all(w);
		return;
	}
	if (!d) {
		fail_errno(&w->store->settles.why, "cannot list what is to be flushed");
		if (copy >= 0)
			close(copy);
		return;
	}
	while ((e = readdir(d)) != NULL)
		if (e->d_type == DT_REG && !settle_later(w, dir, e->d_name))
			return;
}

void world_settle(struct world *w, const char *dir)
{
	char way[PATH_MAX];
	char *slash;

	if (!str_copy(way, sizeof(way), dir) || !settle_later(w, w->dirs[STATE], way))
		return;
	settle_files(w, w->store->settles.fds[w->store->settles.n - 1]);
	while ((slash = strrchr(way, '/')) != NULL) {
		*slash = '\0';
		(void)settle_later(w, w->dirs[STATE], way);
	}
	(void)settle_later(w, w->dirs[STATE], ".");
}

void world_kv_commit(struct world *w, struct kv_batch *b, struct kv_waiter *waiter)
{
	struct store_thread *t = w->store;

	if (b->b.failed)
		t->gathered.b.failed = true;
	buf_add(&t->gathered.b, b->b.p, b->b.n);
	buf_done(&b->b);
	waiter->next = NULL;
	*t->waiting_end = waiter;
	t->waiting_end = &waiter->next;
}

enum err world_kv_scan(struct world *w, const char *prefix, const char *after,
	bool (*fn)(void *ctx, const char *key, struct bytes value), void *ctx, struct why *why)
{
	return kv_scan(w->kv, prefix, after, fn, ctx, why);
}

enum err store_thread_new(struct world *w, struct store_thread **ret, struct why *why)
{
	struct store_thread *t = calloc(1, sizeof(*t));
	sigset_t all, old;
	int rc;

	if (!t)
		return fail(why, ERR_no_memory, "no memory for the store's thread");
	t->w = w;
	t->waiting_end = &t->waiting;
	t->gathered.b.max = 64 * MiB;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->wake, NULL);
	bell_start(w->loop, &t->bell, on_result, t);
	sigfillset(&all); /* signals are the loop's */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&t->thread, NULL, store_main, t);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc) {
		bell_stop(&t->bell);
		free(t);
		return fail(why, ERR_no_memory, "cannot start the store's thread");
	}
	*ret = t;
	return OK;
}

void world_on_store_broken(struct world *w, void (*fn)(void *ctx, const struct why *why), void *ctx)
{
	w->store_broke = fn;
	w->store_broke_ctx = ctx;
}

void store_thread_free(struct store_thread *t)
{
	if (!t)
		return;
	world_store_flush(t->w);
	pthread_mutex_lock(&t->lock);
	t->quit = true;
	pthread_cond_signal(&t->wake);
	pthread_mutex_unlock(&t->lock);
	pthread_join(t->thread, NULL);
	if (t->gathered.b.n > 0 && settle(&t->settles, NULL) == OK)
		(void)!kv_write(t->w->kv, &t->gathered, NULL);
	bell_stop(&t->bell);
	buf_done(&t->batch.b);
	buf_done(&t->gathered.b);
	settling_done(&t->settling);
	settling_done(&t->settles);
	pthread_mutex_destroy(&t->lock);
	pthread_cond_destroy(&t->wake);
	free(t);
}
