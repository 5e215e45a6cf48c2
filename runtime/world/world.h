/*
 * world/world.h - the seam between the daemon and everything outside it.
 *
 * Clock, randomness, sockets, children, files and store commits are reached only through here. One
 * implementation is Linux (world_linux*.c); the other is a seed (tests/sim), in virtual time, with
 * faults. An actor that keeps to this header runs unchanged on both.
 *
 * Files are named by a place and a clean relative path beneath it, which leads through no link.
 * Callbacks come from the loop, never from inside the call that asked for them.
 */
#ifndef WORLD_WORLD_H
#define WORLD_WORLD_H

#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "kv/kv.h"
#include "loop/chan.h"

struct world;

enum area {
	STATE, /* survives reboots: disks, images, kernels, the store */
	RUNTIME, /* sockets; gone after a reboot */
	HOST, /* files that the user keeps: absolute paths without their first slash; only read */
	AREA_COUNT
};

/* Time and chance. */
uint64_t world_now_ms(struct world *w); /* monotonic; goes on while the host sleeps */
uint64_t world_unix_ms(struct world *w); /* wall clock; may jump */
void world_random(struct world *w, void *p, size_t n);
const char *world_boot_id(struct world *w); /* of the host; 36 characters */

/*
 * Tells of each jump of the wall clock: somebody set it, or the host slept. One watcher; NULL ends
 * it. Costs nothing while no clock jumps.
 */
enum err world_clock_watch(
	struct world *w, void (*jumped)(void *ctx), void *ctx, struct why *why) MUST_CHECK;

/* Intrusive, zeroed by its owner, stopped before its memory goes. Fires once. */
struct wtimer {
	struct world *w;
	void (*fn)(void *ctx);
	void *ctx;
	struct timer linux_timer;
	uint64_t sim_at; /* the simulation's due time; 0 = not started */
	struct wtimer *sim_next;
};
void world_timer(struct world *w, struct wtimer *t, uint64_t ms, void (*fn)(void *), void *ctx);
void world_timer_stop(struct wtimer *t); /* not started is fine */

/* Sockets. */
struct world_peer {
	uid_t uid;
	pid_t pid;
};
struct world_listener;
/*
 * Listens at `path` beneath RUNTIME with mode 0600 from bind on; what lay there is replaced. accept
 * gets a channel that has no user yet: it must set one, or close it. A listener that was handed
 * over (socket activation, or the fd of the lock's holder) is taken with fd >= 0.
 */
enum err world_listen(struct world *w, const char *path, int fd,
	void (*accept)(void *ctx, struct chan *c, const struct world_peer *peer), void *ctx,
	struct world_listener **ret, struct why *why) MUST_CHECK;
void world_listener_free(struct world_listener *l);

/* Datagrams: on the loopback, 127/8 and nothing else. Addresses and ports in host byte order. */
struct world_datagrams;
enum { DATAGRAM_IN_MAX = 1280, DATAGRAM_OUT_MAX = 1232 };
/* What comes in is answered at once: the answer's length, 0 for none. A longer one is dropped. */
typedef size_t datagram_fn(void *ctx, struct bytes in, uint8_t out[DATAGRAM_OUT_MAX]);
enum err world_datagrams(struct world *w, uint32_t address, uint16_t port, datagram_fn *fn,
	void *ctx, struct world_datagrams **ret, struct why *why) MUST_CHECK;
void world_datagrams_free(struct world_datagrams *d); /* NULL is fine */
/* At any address of the host's. accept as for world_listen; the peer is nobody in particular. */
enum err world_listen_tcp(struct world *w, uint32_t address, uint16_t port,
	void (*accept)(void *ctx, struct chan *c, const struct world_peer *peer), void *ctx,
	struct world_listener **ret, struct why *why) MUST_CHECK;

enum err world_connect(struct world *w, const char *path, const struct chan_user *user, void *ctx,
	struct chan **ret, struct why *why) MUST_CHECK;
enum err world_connect_vsock(struct world *w, uint32_t cid, uint32_t port,
	const struct chan_user *user, void *ctx, struct chan **ret, struct why *why) MUST_CHECK;
/* A FIFO beneath RUNTIME that a child writes to (child_spec.out): its bytes, to be read. */
enum err world_open_fifo(struct world *w, const char *path, const struct chan_user *user, void *ctx,
	struct chan **ret, struct why *why) MUST_CHECK;

/*
 * Descriptors that came with a letter from the root helper, by the ticket that the letter's field
 * `parcel` names. Each is taken once: as a process, as a channel, or dropped. One that nobody takes
 * within PARCEL_MS is dropped.
 */
enum { PARCEL_MS = 30000 };
struct child;
/*
 * exited: status is the exit code, 128+signal, or -1 when unknown. The child is to be freed then.
 */
typedef void child_exit_fn(void *ctx, int status);
enum err world_parcel_child(struct world *w, uint64_t parcel, pid_t pid, child_exit_fn *exited,
	void *ctx, struct child **ret, struct why *why) MUST_CHECK;
enum err world_parcel_chan(struct world *w, uint64_t parcel, const struct chan_user *user,
	void *ctx, struct chan **ret, struct why *why) MUST_CHECK;
void world_parcel_drop(struct world *w, uint64_t parcel);

/*
 * HTTP to a program of this host, over a unix socket: one request at a time, each with a deadline,
 * answers with a ceiling. A socket that its program has not made yet is waited for.
 */
struct http;
struct http_request {
	const char *method, *path;
	const char *body; /* JSON; NULL: none */
	uint64_t ms; /* until the answer is whole */
	size_t answer_max; /* bytes of its body */
};
struct http_answer {
	unsigned status;
	struct bytes body; /* until done returns */
};
/* why NULL: answered, whatever the status. h may be freed inside. */
typedef void http_done_fn(void *ctx, const struct why *why, const struct http_answer *a);
/* The socket at `path` beneath RUNTIME, or a connection that came with a letter. */
enum err world_http(struct world *w, const char *path, struct http **ret, struct why *why)
	MUST_CHECK;
enum err world_parcel_http(
	struct world *w, uint64_t parcel, struct http **ret, struct why *why) MUST_CHECK;
void http_ask(struct http *h, const struct http_request *q, http_done_fn *done, void *ctx);
void http_free(struct http *h); /* what is under way is not answered any more. NULL is fine */

/*
 * The root helper's socket. Only root may answer there, by the kernel's word; descriptors that come
 * are kept for world_parcel_from.
 */
enum err world_connect_helper(struct world *w, const struct chan_user *user, void *ctx,
	struct chan **ret, struct why *why) MUST_CHECK;
/*
 * Who holds that link deposits: the oldest descriptor that came over it gets a ticket. 0: none
 * came, or too many are kept (then it is closed).
 */
uint64_t world_parcel_from(struct world *w, struct chan *c);

/* Children. */
enum { CHILD_FILES_MAX = 6, CHILD_SOCKETS_MAX = 4 };

struct child_file {
	enum area area;
	const char *path;
	bool directory, writable;
	bool companion; /* path is a program beside ours instead of a file of a place */
	int as; /* its descriptor in the child */
};

struct child_socket {
	const char *path; /* beneath RUNTIME: a listening socket made before the child runs */
	int as;
};

struct child_spec {
	const char *program; /* absolute path, or a bare name of a companion program of ours */
	char *const *argv;
	struct child_file files[CHILD_FILES_MAX];
	unsigned files_n;
	struct child_socket sockets[CHILD_SOCKETS_MAX];
	unsigned sockets_n;
	const char *out; /* FIFO beneath RUNTIME that gets stdout and stderr; NULL = log */
	const char *log; /* file beneath STATE that gets stderr (and stdout); NULL = discarded */
	bool letters; /* a socket pair on descriptor 0; our end is *ret_letters */
	bool outlives; /* survives the daemon, in a session of its own; else it dies with it */
	bool unprivileged; /* when the daemon is root: run as the unprivileged uid */
	bool kvm; /* and in the group that may open /dev/kvm */
};

enum err world_spawn(struct world *w, const struct child_spec *spec, child_exit_fn *exited,
	void *ctx, struct child **ret, struct chan **ret_letters, struct why *why) MUST_CHECK;
/*
 * Takes back a child of an earlier daemon, told by pid, start time and a word of its command line.
 * pid 0: whichever process of this user has that word in its command line.
 */
enum err world_adopt(struct world *w, pid_t pid, uint64_t start, const char *needle,
	child_exit_fn *exited, void *ctx, struct child **ret, struct why *why) MUST_CHECK;
/*
 * Every VMM of this daemon's machines that runs, whoever knows of it: a process under a VMM's uid,
 * with "banger-<id>" in its command line and a file beneath STATE's vm/<id> open. Not in system
 * mode, where they are the helper's.
 */
typedef void vmm_seen_fn(void *ctx, const char *id, pid_t pid, uint64_t start);
enum err world_vmms(struct world *w, vmm_seen_fn *fn, void *ctx, struct why *why) MUST_CHECK;
pid_t child_pid(const struct child *c);
uint64_t child_start(const struct child *c); /* clock ticks since boot */
void child_signal(struct child *c, int signal);
bool child_usage(const struct child *c, uint64_t *rss, uint64_t *cpu_ms);
void child_free(struct child *c); /* no more callbacks; does not end it. NULL is fine */

/* What changes when a companion program of ours does: its size and the time of its last change. */
enum err world_companion(struct world *w, const char *name, uint64_t *size, uint64_t *changed_ns,
	struct why *why) MUST_CHECK;

/* Uid and gid of unprivileged children: the daemon's own, unless that is root. */
uid_t world_plain_uid(struct world *w);

/* Files. Absent is fine for removals; the others answer ERR_not_found. */
enum err world_mkdir(struct world *w, enum area p, const char *path, struct why *why) MUST_CHECK;
/*
 * The directory (and what is in it) becomes the unprivileged uid's, so that a child can write
 * there.
 */
enum err world_give(struct world *w, enum area p, const char *path, struct why *why) MUST_CHECK;
enum err world_remove(struct world *w, enum area p, const char *path, struct why *why) MUST_CHECK;
enum err world_rename(
	struct world *w, enum area p, const char *from, const char *to, struct why *why) MUST_CHECK;
enum err world_read(struct world *w, enum area p, const char *path, size_t max, struct buf *ret,
	struct why *why) MUST_CHECK;
enum err world_write(struct world *w, enum area p, const char *path, struct bytes content,
	struct why *why) MUST_CHECK;
/* Adds to the end of a file, which is made when it is not there. */
enum err world_append(struct world *w, enum area p, const char *path, struct bytes content,
	struct why *why) MUST_CHECK;
enum err world_list(struct world *w, enum area p, const char *path,
	void (*fn)(void *ctx, const char *name), void *ctx, struct why *why) MUST_CHECK;
/* size: as reads see it; used: host bytes. */
enum err world_size(struct world *w, enum area p, const char *path, uint64_t *size, uint64_t *used,
	struct why *why) MUST_CHECK;
enum err world_free_space(struct world *w, enum area p, uint64_t *ret, struct why *why) MUST_CHECK;
/*
 * The directory with the files in it, and the way to it, are on disk before any commit that is
 * asked for from here on is told to be (row H5); what cannot be flushed fails that commit.
 */
void world_settle(struct world *w, const char *dir);
/* Absolute path, for programs that take one. */
enum err world_path(struct world *w, enum area p, const char *path, char *out, size_t size,
	struct why *why) MUST_CHECK;

/* Disk layers, all made beneath STATE. */
enum err world_overlay(struct world *w, const char *to, enum area area, const char *backing,
	uint64_t size, struct why *why) MUST_CHECK;
/* Shares blocks; `size` > 0 then sets the new file's size. ERR_unsupported where it cannot. */
enum err world_reflink(struct world *w, const char *to, enum area area, const char *from,
	uint64_t size, struct why *why) MUST_CHECK;
enum err world_resize(struct world *w, const char *path, uint64_t size, struct why *why) MUST_CHECK;
/* The same for an overlay that nothing has open: it only grows. */
enum err world_overlay_grow(
	struct world *w, const char *path, uint64_t size, struct why *why) MUST_CHECK;

/* The host's network and devices, as anybody may see them; names end with the call. */
enum err world_links(struct world *w, void (*fn)(void *ctx, const char *name), void *ctx,
	struct why *why) MUST_CHECK;
enum err world_dm_names(struct world *w, void (*fn)(void *ctx, const char *name), void *ctx,
	struct why *why) MUST_CHECK;
struct links_watch;
/*
 * A link of that name was deleted, or left the bridge that it was in (there false), or it is there
 * and something of it changed. name NULL: news were lost, any of them may have.
 */
typedef void link_news_fn(void *ctx, const char *name, bool there);
enum err world_links_watch(struct world *w, link_news_fn *news, void *ctx,
	struct links_watch **ret, struct why *why) MUST_CHECK;
void world_links_unwatch(struct links_watch *l); /* NULL is fine */
/* The host's resolvers that a guest can reach, in host byte order; answers how many. */
enum { RESOLVERS_MAX = 3 };
unsigned world_resolvers(struct world *w, uint32_t ret[RESOLVERS_MAX]);

/* The host: what decides how machines run. */
struct host_facts {
	bool kvm; /* usable, as far as can be told without running a guest */
	const char *kvm_why; /* why not */
	bool vhost_vsock;
	bool device_mapper;
	uint64_t tsc_khz;
	uint64_t memory, memory_free; /* bytes */
};
void world_host_facts(struct world *w, struct host_facts *ret);
/* Absolute path of a program: config's when set, else found on PATH. */
enum err world_find_program(struct world *w, const char *configured, const char *name, char *out,
	size_t size, struct why *why) MUST_CHECK;

/* The store. Commits of one turn go together; done comes in order of the calls. */
enum err world_kv_scan(struct world *w, const char *prefix, const char *after,
	bool (*fn)(void *ctx, const char *key, struct bytes value), void *ctx,
	struct why *why) MUST_CHECK;
struct kv_waiter { /* the caller's memory, until done is called */
	void (*done)(void *ctx, const struct why *why); /* why NULL: it is on disk */
	void *ctx;
	struct kv_waiter *next;
};
/* Takes the batch's memory over. */
void world_kv_commit(struct world *w, struct kv_batch *b, struct kv_waiter *waiter);

#endif
