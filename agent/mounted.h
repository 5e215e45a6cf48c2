/*
 * agent/mounted.h - whether the image's own init has mounted its local filesystems (row B4)
 * and has done with cleaning them.
 */
#ifndef AGENT_MOUNTED_H
#define AGENT_MOUNTED_H

#include <sys/queue.h>
#include <sys/types.h>

#include "loop/loop.h"

enum { MOUNTED_WAIT_MS = 60000 };

struct agent;

struct mount_wait {
	struct agent *agent;
	void (*fn)(void *ctx, bool mounted); /* once; false when the time is over */
	void *ctx;
	struct timer deadline;
	LIST_ENTRY(mount_wait) entry;
};

struct mounted {
	bool yes;
	bool watching;
	int news, mounts, mountinfo; /* inotify; epoll over mountinfo */
	int watched; /* inotify's number of the directory that is watched, or -1 */
	struct watch on_news, on_mounts;
	pid_t asking; /* systemctl, while it runs, or 0 */
	bool ask_again;
	LIST_HEAD(, mount_wait) waits;
};

bool mounted_now(struct agent *a);
/* Calls fn later, never from inside. */
void mounted_wait(struct agent *a, struct mount_wait *w, void (*fn)(void *ctx, bool mounted),
	void *ctx);
void mounted_forget(struct mount_wait *w);
/* A child ended; true when it was ours. */
bool mounted_reaped(struct agent *a, pid_t pid, int status);

#endif
