/*
 * closer.c - a ring of descriptors between their givers and the thread that closes them.
 */
#include "sys/closer.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { WAITING_MAX = 2048 };

struct closer {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool started; /* the givers' alone */
	/* under the lock */
	int fds[WAITING_MAX];
	unsigned first, n;
	bool quit;
};

static void *closer_main(void *arg)
{
	struct closer *c = arg;

	pthread_mutex_lock(&c->lock);
	for (;;) {
		int fd;

		while (c->n == 0 && !c->quit)
			pthread_cond_wait(&c->wake, &c->lock);
		if (c->n == 0)
			break;
		fd = c->fds[c->first];
		c->first = (c->first + 1) % WAITING_MAX;
		c->n--;
		pthread_mutex_unlock(&c->lock);
		close(fd);
		pthread_mutex_lock(&c->lock);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

struct closer *closer_new(void)
{
	struct closer *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->wake, NULL);
	return c;
}

void closer_free(struct closer *c)
{
	if (!c)
		return;
	if (c->started) {
		pthread_mutex_lock(&c->lock);
		c->quit = true;
		pthread_cond_signal(&c->wake);
		pthread_mutex_unlock(&c->lock);
		pthread_join(c->thread, NULL);
	}
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->wake);
	free(c);
}

static bool start(struct closer *c)
{
	sigset_t all, old;

	if (c->started)
		return true;
	sigfillset(&all); /* signals are the loop's */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	c->started = pthread_create(&c->thread, NULL, closer_main, c) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return c->started;
}

void closer_take(struct closer *c, int fd)
{
	bool taken = false;

	if (c && start(c)) {
		pthread_mutex_lock(&c->lock);
		taken = c->n < WAITING_MAX;
		if (taken) {
			c->fds[(c->first + c->n) % WAITING_MAX] = fd;
			c->n++;
			pthread_cond_signal(&c->wake);
		}
		pthread_mutex_unlock(&c->lock);
	}
	if (!taken)
		close(fd);
}
