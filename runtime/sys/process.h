/*
 * sys/process.h - children and other processes by pidfd: starting, watching, telling apart.
 */
#ifndef SYS_PROCESS_H
#define SYS_PROCESS_H

#include <sys/types.h>

#include "base/err.h"

/* One descriptor that the child gets: ours, and its number there (0 to 23). */
struct fd_gift {
	int fd, as;
};

enum { GIFTS_MAX = 12 };

struct process_spec {
	int program; /* an open descriptor of the program; executed through it */
	char *const *argv;
	char *const *envp; /* NULL: empty */
	struct fd_gift gifts[GIFTS_MAX]; /* everything else is closed; 0-2 default to /dev/null */
	unsigned gifts_n;
	bool new_session; /* out of the caller's session and process group */
	bool die_with_parent; /* KILL when the daemon dies */
	/*
	 * In the child, before it drops what it may do: only system calls. -1 with errno when it
	 * failed, and *step then says at what. May be NULL.
	 */
	int (*prepare)(void *arg, const char **step);
	void *prepare_arg;
	bool drop; /* change to uid and gid below, no groups */
	uid_t uid;
	gid_t gid;
};

/*
 * Starts it. ret_pidfd is the caller's to close. Exec failures are reported here, not by an exit.
 */
enum err process_start(const struct process_spec *spec, pid_t *ret_pid, int *ret_pidfd,
	struct why *why) MUST_CHECK;

/* Start time in clock ticks since boot, from /proc; 0 when there is no such process. */
uint64_t process_start_time(pid_t pid);

/* Whether its command line holds that text, anywhere. */
bool process_names(pid_t pid, const char *needle);

/*
 * A pidfd for the process that has this pid and start time and names `needle` in its command line;
 * -1 when it is another one or gone. The pidfd is opened first, so what was checked is what is
 * held.
 */
int process_find(pid_t pid, uint64_t start_time, const char *needle);

/*
 * The pid of a process of one of these uids (or one whose uid was changed, shown as root) that has
 * `needle` in its command line; 0 when there is none.
 */
pid_t process_search(uid_t least, uid_t most, const char *needle);

/* Whether it has a file open whose path begins so. */
bool process_has_open(pid_t pid, const char *prefix);

/*
 * Each process of that uid (or one whose uid was changed, shown as root) that has prefix<word> in
 * its command line, word of [a-z0-9], and a file open beneath dir/<word>.
 */
void process_each(uid_t uid, const char *prefix, const char *dir,
	void (*fn)(void *ctx, const char *word, pid_t pid, uint64_t start), void *ctx);

/* Resident bytes and CPU milliseconds; false when it is gone. */
bool process_usage(pid_t pid, uint64_t *rss, uint64_t *cpu_ms);

int pidfd_signal(int pidfd, int signal); /* 0, or -1 with errno */
int pidfd_of(pid_t pid); /* -1 with errno */
/* After the pidfd became readable: reaps our child; exit code, or 128+signal, or -1 unknown. */
int pidfd_reap(int pidfd);

/* This boot of this host, 36 characters and NUL. */
bool host_boot_id(char out[37]);

/* Our own resident memory in bytes: all of it, and without files. */
void process_memory(uint64_t *all, uint64_t *own);

#endif
