/*
 * sim/sim.h - a host that runs on a seed: virtual time, one event queue, files, a store, processes
 * and clients in memory. The daemon on it is the real one, all actors, behind world/world.h.
 *
 * struct sim is what outlives a daemon: the host. struct world is one daemon's life; a crash drops
 * it, and the next one begins with the same files, store and processes. Nothing here is global, and
 * chance comes from the seed alone, so that a seed replays.
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include <setjmp.h>
#include <sys/queue.h>

#include "actors/roster.h"
#include "base/text.h"
#include "wire/mark.h"
#include "wire/rpc.h"
#include "wire/window.h"

#define SIM_SSH_KEY \
	"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG7HvqvdSnEFjnNXV/fDDllER2Kvy4kcQR61iWEz5j0e"

enum {
	PIPE_BYTES = 131072, /* what a socket keeps for a reader who does not read */
	NODE_PATH_BYTES = 160,
	LEDGER_MAX = 256, /* machines that clients heard of, in one seed */
	IDS_MAX = 1024,
	NAMES_ASKED = 3,
	NAMES_PORT = 42069
};

/* Rare branches, counted over all seeds. */
#define MARKS(M) \
	M(operations, "requests of clients") \
	M(events, "events") \
	M(daemon_starts, "daemon started") \
	M(crash_event, "daemon died between two events") \
	M(crash_call, "daemon died inside a handler") \
	M(crash_open, "daemon died while it started") \
	M(clean_stop, "daemon stopped by a client") \
	M(host_reboot, "host rebooted") \
	M(fc_started, "Firecracker made a machine") \
	M(fc_refused, "Firecracker refused a request") \
	M(fc_halted, "guest halted and its VMM stayed") \
	M(vmm_killed, "VMM killed from outside") \
	M(vmm_stillborn, "VMM ended at once") \
	M(guest_panic, "guest panicked") \
	M(guest_reboot, "guest rebooted itself") \
	M(guest_off, "guest powered itself off") \
	M(boot_never, "agent never came") \
	M(timer_lost, "guest lost its timer") \
	M(spins, "guest computed without end") \
	M(agent_silent, "agent fell silent") \
	M(agent_restart, "agent started again") \
	M(service_down, "a required service not up in time") \
	M(agent_malformed, "agent sent garbage") \
	M(agent_greedy, "agent sent more than was granted") \
	M(answer_lost, "agent's answer lost") \
	M(worker_died, "worker died") \
	M(worker_refused, "worker refused") \
	M(worker_hung, "worker fell silent") \
	M(worker_rude, "worker broke the rules") \
	M(pulled, "image built of what another worker fetched") \
	M(spawn_refused, "process not started") \
	M(disk_full, "write met a full disk") \
	M(no_files, "no descriptor was left") \
	M(store_failed, "store batch failed") \
	M(store_broken, "store flush failed, and the daemon ended") \
	M(gave_up, "request answered by a daemon that ends for it") \
	M(power_loss, "power lost") \
	M(unsettled, "file lost with the power") \
	M(store_torn, "commit under way at a crash was lost") \
	M(store_kept, "commit under way at a crash survived") \
	M(clock_jump, "wall clock jumped") \
	M(clocks_set, "guest's clock set") \
	M(pid_reused, "pid of a dead process used again") \
	M(client_cut, "client left in the middle") \
	M(client_slow, "client that does not read") \
	M(client_malformed, "client sent garbage") \
	M(client_stalled, "client began a frame and stalled") \
	M(client_greedy, "client sent more than was granted") \
	M(cancelled, "operation cancelled") \
	M(created, "machine acknowledged") \
	M(adopted, "process taken back") \
	M(found_by_name, "process found by its name alone") \
	M(disk_grew, "work disk grew under a guest") \
	M(forwarded, "all that went into a forwarded port came back") \
	M(stream_ended, "stream ended well") \
	M(stream_broken, "stream broken off") \
	M(helper_died, "helper died") \
	M(helper_answer_lost, "helper died behind its act") \
	M(helper_stalled, "helper stalled") \
	M(helper_late, "launch answered when nobody waited") \
	M(helper_refused, "helper refused") \
	M(helper_rude, "helper spoke unasked") \
	M(parcel_untaken, "descriptor that nobody took") \
	M(jail_launched, "VMM launched by the helper") \
	M(tap_stolen, "tap deleted by somebody") \
	M(bridge_stolen, "bridge deleted by somebody") \
	M(leases_full, "no address was left") \
	M(rm_gone, "machine gone with its client") \
	M(port_taken, "port of the responder taken") \
	M(name_asked, "name asked for while things happen") \
	M(recovered, "settled after a restart")

enum mark_id {
#define M(name, text) MARK_##name,
	MARKS(M)
#undef M
	MARK_COUNT
};

struct sim;
struct world;
struct proc;
struct client;

typedef void event_fn(void *ctx, uint64_t arg);

struct sim_event {
	uint64_t at, tie;
	event_fn *fn; /* NULL: forgotten */
	void *ctx;
	uint64_t arg;
};

/* One end of a connection in memory. */
struct pipe_end {
	struct chan c; /* first */
	struct sim *sim;
	struct world *world; /* whose end it is; NULL: the host's */
	struct pipe_end *peer; /* NULL: it is closed */
	struct buf rx; /* came in, not delivered yet */
	bool eof, reset; /* behind rx */
	bool carrying, delivering, resumed, said_eof;
};

struct node { /* a file or directory */
	TAILQ_ENTRY(node) entry;
	enum area area;
	char path[NODE_PATH_BYTES];
	bool directory;
	uint64_t size, used;
	struct buf content;
	char backing[NODE_PATH_BYTES];
	enum area backing_area;
	bool settled; /* it is on disk, and so is its name */
};

struct row {
	char *key;
	uint8_t *value;
	size_t n;
};

/* How unkind a seed is: chances in a thousand. */
struct weather {
	unsigned crash, call_crash, kill, reboot, clock; /* of one mischief */
	unsigned silence, agent_restart, guest_end; /* the same */
	unsigned disk, store, store_hard, files; /* the same */
	unsigned never, panic, stillborn, lost, rude; /* of one guest, VMM, answer */
	unsigned spawn, worker; /* of one process */
	unsigned port; /* of one bind */
	unsigned cut, slow, malformed; /* of one client */
	unsigned helper_dies, helper_refuses, helper_stalls; /* of one request to the helper */
	unsigned helper_late; /* of one launch */
	unsigned robbed; /* of one mischief */
	bool delays, cuts; /* of bytes */
};

/* What clients know of a machine. */
struct known_vm {
	char id[11], name[64];
	bool acked; /* its creation was told to be done */
	bool delete_asked, rm;
	uint64_t client; /* serial number of who made it */
};

struct helper;

struct sim_parcel { /* what a descriptor of the helper's stands for */
	uint64_t ticket; /* 0: none */
	struct chan *chan; /* the daemon's end of a connection, the host's until it is taken */
	pid_t pid;
};

struct link_news {
	char name[48];
	bool there;
};

struct sim {
	uint64_t seed, rng;
	uint64_t now; /* virtual milliseconds */
	uint64_t steps;
	uint64_t boot_at; /* when the host came up */
	int64_t wall; /* wall clock minus now */
	char boot_id[37];
	bool trace;
	int log_read; /* where the daemon's log is read from, when tracing */
	struct sim_event *queue;
	uint32_t queue_n, queue_cap;
	uint64_t *marks; /* MARK_COUNT of them */
	struct weather weather;
	bool going_down; /* the host */
	bool kvm_hangs;
	bool calm; /* the script is over: no more mischief */
	struct host_facts facts;
	bool reflinks;
	uint64_t agent_build; /* another agent lies beside the daemon after an update */

	bool system; /* system mode: there is a root helper */
	const char *subnet;
	struct helper *helper;
	struct link_news link_news[64]; /* that may be on their way */
	unsigned link_news_at;
	TAILQ_HEAD(, node) files;
	uint64_t disk_full_until;
	uint64_t no_files_until;
	struct row *rows;
	uint32_t rows_n, rows_cap;
	bool store_fails, store_breaks; /* the next batch */
	TAILQ_HEAD(proc_list, proc) procs;
	uint64_t next_start;
	pid_t dead_pids[8];
	unsigned dead_pids_n;

	struct world *world; /* the daemon that runs; NULL between two */
	bool starting;
	unsigned ends; /* of pipes, in all */

	TAILQ_HEAD(, client) clients;
	uint64_t clients_made;
	unsigned operations_left;
	bool prepared; /* there was a quiet beginning, with an image and a kernel */
	struct known_vm ledger[LEDGER_MAX];
	unsigned ledger_n;
	struct {
		char name[64];
		uint64_t at;
	} deletes[LEDGER_MAX]; /* asked for, by name or id */
	unsigned deletes_n;
	uint64_t stale_since[NAMES_ASKED]; /* 0: it is not */
	TAILQ_HEAD(, asker) askers;
	TAILQ_HEAD(, visitor) visitors;

	jmp_buf over; /* where a broken invariant leads */
	char fault[512];
};

/* queue.c */
uint64_t sim_random(struct sim *s);
uint64_t sim_roll(struct sim *s, uint64_t n); /* 0 to n-1 */
uint64_t sim_between(struct sim *s, uint64_t lo, uint64_t hi); /* both included */
bool sim_chance(struct sim *s, unsigned in_a_thousand);
void sim_after(struct sim *s, uint64_t ms, event_fn *fn, void *ctx, uint64_t arg);
void sim_forget(struct sim *s, const void *ctx); /* all events of that ctx */
bool sim_step(struct sim *s, uint64_t until); /* the next event; false: none before `until` */
void sim_mark(struct sim *s, enum mark_id mark);
void sim_trace(struct sim *s, const char *who, const char *fmt, ...) PRINTF_LIKE(3, 4);
void sim_fail(struct sim *s, const char *fmt, ...) PRINTF_LIKE(2, 3) NORETURN;

/* pipe.c */
void pipe_pair(struct sim *s, struct world *near_world, struct pipe_end *ret[2]);

/* world_sim.c */
struct world_listener {
	struct world *w;
	char path[64];
	uint32_t address;
	uint16_t port;
	void (*accept)(void *ctx, struct chan *c, const struct world_peer *peer);
	void *ctx;
};
struct world {
	struct sim *sim;
	struct house *house;
	struct env env;
	struct config config;
	struct wtimer *timers;
	unsigned timers_n, chans, children_n, listeners_n;
	struct world_listener *listener, *tcp[64]; /* tcp: at ports of the host's */
	struct world_datagrams *datagrams;
	struct links_watch *links;
	struct sim_parcel parcels[128];
	uint64_t next_parcel;
	struct chan *backlog[16]; /* connections that were not accepted yet */
	unsigned backlog_n;
	uint64_t deadlines_at; /* UINT64_MAX: none */
	unsigned crash_in_events, crash_in_calls; /* 0: not at all */
	void (*clock_jumped)(void *ctx);
	void *clock_ctx;
	bool dead; /* killed: nothing that it does reaches the host any more */
	bool last_words; /* what it sends leaves at once: it ends in this turn */
	bool stopping, listening, in_turn;
	/* the store */
	struct kv_batch gathered, under_way;
	struct kv_waiter *waiting, **waiting_end, *committing;
	struct settles { /* what a commit flushes before itself */
		char paths[16][NODE_PATH_BYTES];
		unsigned n;
	} settles, settling; /* of the next one, and of the one under way */
	bool store_broken;
	unsigned store_failures;
};
void daemon_start(struct sim *s);
void daemon_start_later(struct sim *s, uint64_t ms);
void daemon_crash(struct sim *s); /* at once, between two events */
void daemon_turn(struct sim *s);
uint64_t world_next_timer(struct world *w); /* UINT64_MAX: none */
void world_fire_timer(struct world *w);
bool world_alive(struct world *w); /* counts a call; false: the daemon is dead, do nothing */
enum err dead_daemon(struct why *why);
/* A connection to where the daemon listens; NULL when nobody does. */
struct chan *host_connect(struct sim *s, const char *path);

/* world_sim_loopback.c */
/* A datagram to the daemon's port: its answer's length, 0 when there is none. */
size_t host_datagram(struct sim *s, struct bytes in, uint8_t out[DATAGRAM_OUT_MAX]);
/* To what listens at that port, 0: at any of them; NULL when nobody does. */
struct chan *host_connect_tcp(struct sim *s, uint16_t port);

/* visitors.c */
void visitors_begin(struct sim *s);
void visitors_end(struct sim *s);

/* names.c */
void names_begin(struct sim *s);
void names_step(struct sim *s); /* after every event: no name leads to what has ended */
void names_end(struct sim *s);
/* When all has settled: the machines that run have their names, and no other has. */
void check_names(struct sim *s, const struct vm_listed *listed);

/* world_sim_files.c */
struct node *node_find(struct sim *s, enum area area, const char *path);
/* As a program that is no daemon would; the directory must be there. NULL otherwise. */
struct node *node_put(struct sim *s, enum area area, const char *path, uint64_t size);
void nodes_clear(struct sim *s, enum area area);
void nodes_settle(struct sim *s, const char *dir); /* with the files in it and the way to it */
void nodes_power_loss(struct sim *s); /* what was not flushed may be gone */
bool disk_is_full(struct sim *s);
bool files_are_out(struct sim *s, struct why *why); /* no descriptor is left */

/* world_sim_store.c */
const struct row *store_get(struct sim *s, const char *key);
void store_drop(struct world *w, bool clean); /* the daemon ends */
void store_flush(struct world *w);
void rows_free(struct sim *s);

/* world_sim_children.c */
enum proc_kind { PROC_VMM, PROC_WORKER, PROC_STRANGER };
struct proc_socket {
	char path[64];
	struct chan *waiting; /* host's end of a connection that was not accepted yet */
};
struct proc {
	TAILQ_ENTRY(proc) entry;
	struct sim *sim;
	enum proc_kind kind;
	pid_t pid;
	uint64_t start;
	char command[256]; /* its arguments, with blanks */
	char name[64]; /* its machine's; "" until it was looked up */
	bool outlives, dying;
	uint64_t spins_since; /* 0: it takes next to no CPU time */
	char dir[NODE_PATH_BYTES]; /* its first directory, beneath STATE */
	char extra[NODE_PATH_BYTES]; /* its second one */
	enum area extra_area;
	struct proc_socket sockets[CHILD_SOCKETS_MAX];
	unsigned sockets_n;
	struct child *child; /* the daemon's handle, while it has one */
	struct sim_vmm *vmm;
	struct fc_state *fc; /* of Firecracker's API */
	struct worker *worker;
};
void proc_exit(struct proc *p, int status); /* now */
/* A jailed VMM; NULL: the host starts no process now. */
struct proc *proc_launch(struct sim *s, const char *id, bool kvm);
/* A process that has ended meanwhile tells so soon. */
struct child *child_of_parcel(struct world *w, pid_t pid, child_exit_fn *exited, void *ctx);
void proc_reach(struct proc *p, struct proc_socket *at, struct chan *c); /* somebody connects */
void proc_exit_later(struct proc *p, uint64_t ms, int status);
void procs_end_with_daemon(struct sim *s);
void procs_end_all(struct sim *s);
/* A daemon's connect: the program's socket at that path. */
struct proc_socket *socket_at(struct sim *s, const char *path, struct proc **ret);
void children_forget(struct world *w);

/* vmm.c */
void vmm_begin(struct proc *p);
void vmm_end(struct proc *p);
void vmm_connected(struct proc *p, struct proc_socket *at); /* socket has a connection waiting */
void vmm_console(struct proc *p, const char *text);
void vmm_port_event(struct proc *p, bool open); /* the guest opened or closed the agent's port */
void vmm_shutdown_event(struct proc *p, bool reboot);
const char *vmm_id(const struct proc *p); /* of its machine */
struct guest *vmm_guest(struct proc *p);
struct chan *vmm_agent_chan(struct proc *p); /* NULL: nobody is connected */
bool vmm_is_firecracker(const struct proc *p);

/* firecracker.c */
void firecracker_begin(struct proc *p);
/* A request to its API: the status; answer gets the body. */
unsigned vmm_request(struct proc *p, const char *method, const char *path, const char *body,
	char *answer, size_t size);

/* guest.c */
struct guest *guest_new(struct proc *p);
void guest_free(struct guest *g);
void guest_boot(struct guest *g);
void guest_connected(struct guest *g, struct chan *c); /* somebody opened the agent's port */
void guest_silence(struct guest *g);
void guest_agent_again(struct guest *g);
void guest_ends(struct guest *g, bool reboot);

/* worker.c */
void worker_begin(struct proc *p, struct chan *letters);
void worker_end(struct proc *p);

/* client.c */
void clients_leave(struct sim *s);
void clients_check(struct sim *s); /* when all has settled: nobody waits any more */

/* script.c */
void script_begin(struct sim *s);
bool script_over(const struct sim *s);

/* check.c */
void check_settled(struct sim *s, bool after_restart);
void check_list(struct sim *s, const struct vm_listed *listed);
void check_counts(struct sim *s, const struct world *w); /* of a world that was dropped */

/* world_sim_net.c */
void parcels_drop(struct world *w);
void world_link_news(struct sim *s, const char *name, bool there);

/* helper.c */
void helper_begin(struct sim *s);
void helper_end(struct sim *s);
struct chan *helper_connect(struct sim *s, struct world *w); /* NULL: it is away */
bool helper_parcel(struct world *w, struct sim_parcel *ret); /* the oldest that came; false: none */
void helper_dies(struct sim *s); /* and comes back after a while */
void helper_reboots(struct sim *s); /* with the host */
void helper_is_robbed(struct sim *s); /* somebody deletes a tap or the bridge */
bool helper_bridge(struct sim *s);
void helper_each_tap(struct sim *s, void (*fn)(void *ctx, const char *name), void *ctx);
void helper_each_snapshot(struct sim *s, void (*fn)(void *ctx, const char *name), void *ctx);
const char *helper_tap_address(struct sim *s, const char *name); /* NULL: there is no such tap */
bool helper_snapshot_stands(struct sim *s, const char *name); /* it is there, and its files */

/* mischief.c */
void weather_choose(struct sim *s);
void mischief_begin(struct sim *s);

#endif
