/*
 * vm/vm.h - the vm actor's own state, shared by the files of actors/vm/ and by nobody else.
 *
 * A machine's record says what is wanted and what was made; its state is derived: from its flow,
 * and from whether its VMM lives. vmd is the actor; everything hangs on it, so that dropping it
 * drops all.
 */
#ifndef VM_VM_H
#define VM_VM_H

#include <sys/queue.h>

#include "actors/roster.h"
#include "actors/shared/waiting.h"
#include "base/table.h"
#include "flow/flow.h"
#include "vmm/hybrid.h"
#include "wire/mark.h"
#include "wire/rpc.h"
#include "wire/window.h"

enum {
	MACHINES_MAX = 4096,
	OPS_MAX = 4096, /* running and remembered */
	OP_KEPT_MS = 600000, /* row B8: a finished operation can be polled for 10 minutes */
	DM_NAME_BYTES = 24, /* of "fc-rootfs-<id>" */
	DM_DEV_BYTES = 40,
	SESSIONS_MAX = 256, /* streams of one machine */
	CONSOLE_TAIL = 4096, /* bytes kept in memory to tell why a guest died */
	HANGUP_GRACE_MS = 5000, /* row A9: between HUP and KILL */
	USAGE_MS = 1000, /* how old a process's usage may be when it is told */
	EXPLAINS_MAX = 16, /* machines that the root helper is asked about at once */
	EARLY_MS = 15000 /* how long a letter waits for an agent that has not answered yet */
};

struct job;
struct load;
struct listing;
struct preflight;
struct forward; /* forwards.h */
struct vmd;
struct machine;
struct vmm_driver;

/* What an image says about programs; shared by the machines that stand on it. */
struct image_use {
	struct link by_id;
	uint32_t machines;
	struct arena mem;
	struct image_facts facts;
	char id[11];
};

/* Where a machine boots from, as the image and kernel actors told; paths beneath STATE. */
struct boot_set {
	char root[64], work[64], vmlinux[64], initramfs[64], modules[64];
	char *file; /* a registered image's root filesystem, absolute; NULL: root */
	uint64_t root_size;
};

/*
 * What the net actor gave a machine of system mode, known from its start (or the daemon's) on; all
 * empty otherwise.
 */
struct machine_net {
	char tap[16], address[19], gateway[16], mac[18];
	char dns[RESOLVERS_MAX * 16]; /* with commas between */
};

enum op_kind { OP_CREATE, OP_START, OP_STOP, OP_KILL, OP_RESTART, OP_DELETE, OP_KIND_COUNT };

struct op {
	struct link by_id;
	TAILQ_ENTRY(op) entry; /* in the order of their beginning */
	uint64_t id;
	enum op_kind kind;
	enum op_state state;
	uint64_t client; /* whose going cancels it; 0: detached, or the daemon's own */
	uint64_t listener; /* who is told of it; 0 when gone */
	struct reply_to reply; /* serial 0: nobody waits */
	uint64_t began_ms, ended_ms;
	char vm[11], name[64];
	struct why why;
	uint64_t timeout_ms; /* UINT64_MAX: the configuration's */
	bool make_only; /* create without boot */
	bool offline; /* nothing is fetched for it */
	bool force; /* admission is skipped */
	bool no_services; /* those that its image requires are not waited for */
	struct {
		const char *stage;
		enum stage_state state;
		uint64_t ms;
	} stages[FLOW_STEPS_MAX];
	uint32_t stages_n;
};

struct console {
	struct chan *chan;
	struct wtimer rest;
	uint64_t total; /* bytes ever */
	uint64_t allowance, allowed_at; /* what may be read now, and since when that holds */
	uint64_t segment; /* bytes in the newest file */
	char tail[CONSOLE_TAIL + 1];
	uint32_t tail_n;
};

/* The way to the guest's agent. */
struct agent_link {
	struct chan *chan; /* until the opening was answered */
	struct rpc *rpc; /* after it */
	struct mark_finder finder;
	struct hybrid_line line; /* before the opening, where there is one */
	unsigned tries; /* since the VMM began */
	uint8_t nonce[NONCE_BYTES];
	bool hello; /* the agent is there */
	bool port_closed; /* it was, and then the guest closed its port */
	struct wtimer retry;
	char version[64], commit[64], kernel[64];
	uint64_t built;
	uint64_t boot_ms;
};

enum session_kind {
	SESSION_EXEC,
	SESSION_PUT,
	SESSION_GET,
	SESSION_DIAL,
	SESSION_LOGS,
	SESSION_FORWARD
};

struct session { /* one stream of a client */
	struct link by_stream;
	TAILQ_ENTRY(session) entry; /* of its machine */
	struct machine *m;
	enum session_kind kind;
	uint64_t client; /* 0: the client has gone */
	uint64_t stream; /* towards the client */
	uint64_t agent_stream; /* 0: the agent has not answered yet */
	struct reply_to reply;
	struct window in, out[2]; /* channel 0; channels 1 and 2 */
	bool in_ended, out_ended[2];
	struct wtimer kill; /* until it has begun: how long the agent may take for that */
	/* a connection to a forwarded port: the client is a program of the host */
	struct chan *chan; /* NULL: it has gone */
	uint64_t port; /* of the guest */
	enum { PASSAGE_WAITS, PASSAGE_OPEN, PASSAGE_LINGERS } passage;
	bool half; /* it will say no more */
	/* logs: what the window keeps back; forwards: what the guest's window does */
	struct buf pending;
	bool follow;
};

struct query { /* a question of a client that the agent answers */
	TAILQ_ENTRY(query) entry; /* of its machine */
	struct machine *m;
	enum letter_id id; /* what the client asked: vm.health, vm.ports, vm.stats, vm.ssh */
	struct reply_to reply;
	struct wtimer deadline;
};

struct guest_view { /* the guest's own numbers, as they were told last */
	bool asked;
	uint64_t at_ms; /* 0: never */
	uint64_t memory, memory_used, root_size, root_used, work_size, work_used;
};

struct resizing { /* a work disk that grows while its machine runs; vm.set waits for it */
	struct reply_to reply; /* serial 0: none is under way */
	bool filling; /* the disk has grown, now its filesystem does */
	struct wtimer deadline;
};

struct explaining { /* vm.explain, while the helper looks; serial 0: free */
	struct reply_to reply;
	uint32_t serial; /* of the machine */
};

struct waiter { /* vm.wait */
	TAILQ_ENTRY(waiter) entry;
	struct vmd *v;
	char vm[11];
	enum wait_for until;
	uint64_t client;
	struct reply_to reply;
	struct wtimer deadline;
};

struct machine {
	/* What a row of a list reads lies together, for the caches' sake. */
	struct link by_id;
	struct vmd *v;
	struct child *child;
	bool on_probation; /* adopted in the middle of a flow: kept if its agent answers in time */
	uint64_t started_ms; /* monotonic, of the VMM */
	struct {
		uint64_t at_ms; /* monotonic; 0: not looked at yet */
		uint64_t rss, cpu_ms;
		bool known;
	} usage; /* of the VMM's process; looking costs more than all the rest of a list's row */
	struct vm_record r; /* strings point at the arrays below */
	char id[11], name[64], image[129], kernel[65], reason[32];
	struct flow flow;
	char image_id[11], kernel_id[11], home[256], boot_id[37], address[16];

	struct link by_name, by_serial;
	struct link by_address; /* while r.address is set */
	uint32_t serial; /* never used twice: what late answers name the machine by */
	unsigned holds_due; /* answers of image and kernel that a step waits for */
	char *ssh_key; /* r.ssh_key; NULL when there is none */
	char *root_file; /* r.root_file; the same */
	const struct vmm_driver *driver;
	struct image_use *use;
	struct boot_set boot;
	struct machine_net net;
	unsigned fill_told; /* percent of the root disk's room that were warned about last */
	struct op *op; /* what the flow works for; NULL: the daemon itself */
	struct op *next; /* waits for the flow's end */
	bool next_set, then_start; /* a delete without an op may wait too */
	bool delete_due; /* its client has gone while another's operation waited */
	uint64_t owner; /* client whose going deletes it (rm); 0 = none */
	bool disk_by_default; /* its size is the configuration's, not the client's */
	bool named; /* the dns actor was told of it */
	/* the VMM ended behind the flow's last write: the record is to be written again */
	bool stale;
	bool guest_down, guest_reset; /* the VMM told of a power-off or reset */
	uint32_t launched_ticket; /* flow ticket of a step that waits for the VMM to be ready */
	uint32_t ended_ticket; /* flow ticket of a step that waits for the VMM's end */
	uint32_t hello_ticket; /* ... for the agent's hello */
	uint32_t services_ticket; /* ... for the image's services */
	uint64_t clock_stopped_ms, clock_rested_ms; /* of the flow's time-out: since when, so far */
	uint64_t services_ms; /* how long they may take in this start */
	bool wants_launch, wants_end, wants_hello;
	struct job *copy; /* layer copy: the worker that makes the disks */
	unsigned copies_done;
	uint32_t copy_ticket;
	void *control; /* the driver's */
	/* the helper's answer to a launch was not here yet; what it brings is wanted */
	bool launch_due, launch_wanted;
	bool jail_cleaned; /* for this launch: one of another time was in its way */
	struct wtimer kill_again; /* while the helper cannot be asked to end the VMM */
	uint32_t dials[vmm_channel_COUNT]; /* ways that the helper was asked for, counted */
	struct console console;
	struct agent_link link;
	TAILQ_HEAD(, session) sessions;
	TAILQ_HEAD(, query) queries;
	uint32_t sessions_n;
	const char **publish; /* r.publish.v */
	struct forward *forwards;
	uint32_t forwards_n, passages_n;
	bool crowd_told;
	struct waiting early; /* letters for an agent that has not answered yet */
	struct wtimer early_deadline;
	uint64_t promised_memory, promised_disk; /* while it is being made or started */
	struct guest_view view;
	struct resizing set;
	struct wtimer patience; /* stop: until force; boot: until it is looked for a hang */
	bool kvm_on_trial;
	bool relaunch; /* its end is no end: it is started again, without KVM if that hung it */
	unsigned hung; /* launches of this boot whose emulated guest hung */
};

/*
 * A VMM, and what differs between two of them. What a driver begins may take a while: it answers
 * done, waiting (machine_launched comes later, once), or failed. The VMM's exit is told to
 * machine_vmm_ended by vmm.c; its sockets are reached through machine_dial. A driver that can
 * pause, save and restore says so by further entries; NULL there means that it cannot.
 */
struct vmm_driver {
	enum driver id;
	const char *name;
	/* Whether it can run such a machine here. Sets what the record leaves to it. */
	enum err (*probe)(struct vmd *v, struct vm_record *r, struct why *why);
	/* Starts the process, without the helper: machine_vmm_started is called inside. */
	enum err (*launch)(struct machine *m, struct why *why);
	/* The kernel's command line, where the helper starts it. NULL: it is never in a jail. */
	enum err (*ask_helper)(
		struct machine *m, struct priv_launch *q, struct arena *a, struct why *why);
	/* The process runs: makes a machine of it when it is fresh, and opens the ways to it. */
	enum flow_said (*connect)(struct machine *m, bool fresh, struct why *why);
	/* The way to its control API is there: parcel 0 without the helper. */
	enum err (*control)(struct machine *m, uint64_t parcel, struct why *why);
	void (*close)(struct machine *m); /* forget the control connection */
	/* The work disk of one that runs; set_disk_grew comes later. NULL: at its next start. */
	enum err (*grow)(struct machine *m, uint64_t size, struct why *why);
	const char *leaves[vmm_channel_COUNT]; /* its sockets in the machine's runtime directory */
	bool console_is_fifo;
	enum link_kind link; /* vsock: behind Firecracker's two lines (vmm/hybrid.h) */
	bool stays; /* after a guest's power-off, so that it must be ended */
};

extern const struct vmm_driver qemu_driver, firecracker_driver, stub_driver;

/* vmm.c */
const struct vmm_driver *vmm_of(enum driver id);
/* Which driver and layer it gets; refuses what that driver cannot do. */
enum err vmm_choose(struct vmd *v, struct vm_record *r, struct why *why);
bool vmm_reflinks(struct vmd *v); /* files beneath STATE can share blocks: by trial, once */
/* The same, but all that is wrong is told. */
void vmm_problems(struct vmd *v, struct vm_record *r, void (*add)(void *ctx, const struct why *why),
	void *ctx);
bool vmm_by_helper(const struct vmd *v); /* VMMs live in the helper's jails */
bool machine_jailed(const struct machine *m); /* this one does, or would */
enum flow_said vmm_launch(struct machine *m, struct why *why);
/* A word of its command line that no other machine's has. */
void vmm_needle(const struct machine *m, char out[32]);
enum err vmm_adopt(struct machine *m, struct why *why); /* takes back a running one */
void vmm_kill(struct machine *m); /* KILL */
void vmm_exited(void *machine, int status);
/* What a launch that waits ends with; why NULL: it runs. Too late is fine. */
void machine_launched(struct machine *m, const struct why *why);
/* Goes to a socket of the VMM, now or (by the helper) later; who uses it is told of failures. */
enum err machine_dial(struct machine *m, enum vmm_channel ch, struct why *why);
enum err machine_chan(struct machine *m, enum vmm_channel ch, uint64_t parcel,
	const struct chan_user *user, void *ctx, struct chan **ret, struct why *why);
enum err machine_reach(struct machine *m, enum vmm_channel ch, uint64_t parcel, struct why *why);
void machine_unreached(struct machine *m, enum vmm_channel ch, const struct why *why);

/* qemu.c: words for the guest's kernel and agent; driver words first. */
void kernel_line(struct machine *m, struct buf *b);

/* jailed.c: the same by the root helper. */
enum flow_said jail_launch(struct machine *m, struct why *why);
void jail_dial(struct machine *m, enum vmm_channel ch);
void jail_end(struct machine *m);
/* A launch is wanted no more. True: its answer is still due, and wants_end is told after it. */
bool jail_gives_up(struct machine *m);
void jail_clean(struct machine *m); /* its VMM is gone */
enum flow_said jail_empty(struct machine *m, struct flow *f); /* it has none, as far as we know */

struct vmd {
	struct actor *me;
	struct env *env;
	struct world *world;
	struct flow_host host;
	struct table by_id, by_name, by_serial, by_address, ops, sessions, images;
	struct machine **in_order; /* all of them, by id: what lists walk */
	uint32_t in_order_n, in_order_room;
	uint32_t next_serial;
	TAILQ_HEAD(, op) op_list;
	TAILQ_HEAD(, waiter) waiters;
	TAILQ_HEAD(, listing) listings;
	TAILQ_HEAD(, preflight) preflights;
	uint32_t preflights_n;
	uint64_t next_preflight;
	uint32_t views_due; /* guests whose numbers were asked for */
	uint64_t next_op, next_stream;
	uint64_t promised_memory, promised_disk; /* of all machines */
	uint32_t passages_n; /* connections to forwarded ports, of all machines */
	uint32_t held; /* links that are not read because the gate is full */
	struct load *load; /* while the store is read; recover.c */
	/* the store was read and what was open is settled; the gate listens after that */
	bool loaded;
	uint64_t boot_cpu_ms; /* most that an emulated guest took until its hello; 0: none yet */
	bool kvm_ran; /* a guest reached userspace under KVM in this life of the daemon */
	bool kvm_hangs; /* a guest did not reach userspace under KVM in this boot of the host */
	struct explaining explains[EXPLAINS_MAX];
	struct wtimer jails_again; /* those of nobody, whose VMM has not ended yet */
	unsigned jail_tries;
	struct reply_to counts_due; /* the gate waits for us to be loaded */
	struct wtimer forget_ops;
	struct wtimer fills; /* of layer dm, and of the host's disk, while a machine runs */
	bool fills_watched, room_told;
	char qemu[1024]; /* its program; "" until found */
	char firecracker[1024]; /* the same */
	enum { REFLINKS_UNTRIED, REFLINKS_WORK, REFLINKS_FAIL } reflinks; /* beneath STATE */
};

/* machine.c */
struct machine *machine_new(struct vmd *v, const struct vm_record *r, struct why *why);
void machine_free(struct machine *m);
struct machine *machine_find(struct vmd *v, const char *ref);
/* Where the first machine with a greater id stands in vmd.in_order. */
uint32_t machine_behind(const struct vmd *v, const char *id);
struct machine *machine_by_serial(struct vmd *v, uint32_t serial);
enum vm_state machine_state(const struct machine *m);
void machine_info(struct machine *m, bool disks, struct vm_info *ret);
void machine_tell_waiters(struct machine *m);
void machine_changed(struct machine *m); /* its state may have: tell watchers and waiters */
void machine_save(struct machine *m, struct store_put *put, struct arena *a);
void machine_write(struct machine *m); /* to the store, without waiting */
enum err machine_set_image(
	struct machine *m, const struct image_held *held, struct why *why) MUST_CHECK;
/* Its root disk stands on boot.file from now. */
enum err machine_set_root_file(struct machine *m, struct why *why) MUST_CHECK;
void machine_set_kernel(struct machine *m, const struct kernel_held *held);
void machine_set_reason(struct machine *m, const char *reason);
/* The key that may log in from now, written when it is another; NULL leaves the one before. */
enum err machine_set_ssh_key(struct machine *m, const char *key, struct why *why) MUST_CHECK;
void machine_vmm_started(struct machine *m, struct child *child);
void machine_vmm_taken(struct machine *m); /* it was started by an earlier daemon */
void machine_vmm_ended(struct machine *m, int status);
void machine_vmm_gone(struct machine *m); /* forget it: record and runtime files */
void machine_vmm_end(struct machine *m); /* KILL */
void machine_close_links(struct machine *m);
void machine_dir(const struct machine *m, char *out, size_t size, const char *leaf);

/* names.c */
void name_generate(struct vmd *v, char out[64]);
void id_generate(struct vmd *v, char out[11]);

/* named.c */
/*
 * What the machine's network gave it; NULL: nothing. False: another machine has it, or no memory;
 * it then has none.
 */
bool machine_set_address(struct machine *m, const char *address);
bool machine_give_address(struct machine *m); /* in user mode, when it has none; true: it has now */
/* From now on NAME.vm leads to it. False: it has no address, and fn is not called. */
bool machine_name_up(struct machine *m, answer_fn *fn, uint64_t ctx);
void machine_name_down(struct machine *m); /* not named is fine */

/* network.c */
bool machine_leases(const struct machine *m); /* it has its network from the net actor */
flow_fn vm_lease_address, vm_return_address;
void machine_mend_network(struct machine *m); /* it was taken back: its tap and rules, too */
void vm_settle_network(struct vmd *v); /* leases and taps of no machine end */
void machine_network_words(const struct machine *m, struct buf *line); /* for the guest's kernel */

/* strays.c */
struct stray_found {
	enum { STRAY_DIRECTORY, STRAY_PROCESS, STRAY_SNAPSHOT, STRAY_TAP } kind;
	const char *name, *why; /* of a process: its machine's id */
	enum area area; /* of a directory */
	pid_t pid;
	uint64_t start;
};
typedef void stray_fn(void *ctx, const struct stray_found *f);
void strays_each(struct vmd *v, stray_fn *fn, void *ctx);
void stray_remove(struct vmd *v, const struct stray_found *f); /* a directory or process */
void strays_sweep(struct vmd *v); /* all of them go, taps and snapshots by the helper */
void strays_end_processes(struct vmd *v); /* again, when machines have what is theirs */

/* doctor.c, explain.c */
letter_fn vm_on_look, vm_on_explain;

/* flows.c */
/* What an answer that a flow's step waits for is asked for by ... */
uint64_t vm_late_name(const struct machine *m, const struct flow *f);
/* ... and the machine whose flow still waits with it; NULL when the answer is too late. */
struct machine *vm_awaited(struct vmd *v, uint64_t ctx);
/* Of an ask whose ctx is vm_late_name: the step is over, and has nothing to keep. */
answer_fn vm_step_answered;
extern const struct flow_kind vm_create_flow, vm_make_flow, vm_start_flow, vm_stop_flow,
	vm_delete_flow;
void vm_flow_host_init(struct vmd *v);
enum flow_said vm_remove_disks(struct machine *m);
/* A new agent said hello: what a step had asked the one before will not be answered. */
void vm_agent_again(struct machine *m);
const struct flow_kind *vm_flow_by_name(const char *name);

/* hung.c */
void vm_hung_watch(struct machine *m); /* of a VMM that runs its hello is waited for */
void vm_hung_not(struct machine *m); /* it has come */
void vm_notice_lost_timer(struct machine *m); /* the console said more, or is waited for now */

/* services.c */
flow_fn vm_await_services;

/* ops.c */
struct op *op_new(struct vmd *v, enum op_kind kind, struct machine *m, const struct letter *l,
	bool detach, struct why *why);
struct op *op_find(struct vmd *v, uint64_t id);
void op_stage_news(
	struct vmd *v, struct op *op, const char *stage, enum flow_news news, uint64_t ms);
void op_finish(struct vmd *v, struct op *op, struct machine *m, const struct why *why);
void op_forget_all(struct vmd *v);
uint64_t op_time_left(const struct machine *m); /* of the flow that runs on it, in ms */
/* Whether time that passes is taken from it: not while something is downloaded for it. */
void op_clock(struct machine *m, bool runs);
/* Begins the operation's flow on the machine now, or when the flow that runs there has ended. */
void op_begin(struct vmd *v, struct op *op, struct machine *m);
void machine_flow_ended(struct machine *m);
void machine_delete_for(struct machine *m, struct op *op); /* op may be NULL */

/* admit.c */
/* What it will take of the host soon, in place of what was promised before. */
void admit_promise(struct machine *m, uint64_t memory, uint64_t disk);
enum err admit_memory(const struct vmd *v, uint64_t memory, struct why *why) MUST_CHECK;
/* disk: what it may take at most, 0 when it did not say. */
enum err admit_disk(const struct vmd *v, uint64_t disk, struct why *why) MUST_CHECK;

/* layer.c */
enum err layer_choose(struct vmd *v, enum layer *layer, struct why *why);
enum flow_said layer_make(struct machine *m, struct flow *f);
flow_fn layer_ready; /* before a start: what its disks stand on is there */
/* Ends a copy that is under way: true, and the flow is told when it has ended. */
bool layer_stop(struct machine *m, struct flow *f);

/* The work disk of a machine that does not run, when it is smaller. */
enum err layer_grow(struct machine *m, uint64_t size, struct why *why) MUST_CHECK;

/* layer_dm.c: the root disk as a snapshot that the root helper makes */
enum err dm_make_file(struct machine *m, struct why *why); /* for the machine's changes */
void dm_make(struct machine *m, uint32_t ticket); /* ends the flow's step */
flow_fn dm_ready; /* before a start: there, checked, its work disk as long as wanted */
enum flow_said dm_drop(struct machine *m, uint32_t ticket); /* with all its files; any layer */
void dm_sweep(struct vmd *v); /* devices of no machine go */
void dm_watch_fill(struct machine *m); /* its VMM was started, or taken back */
void machine_dm_dev(const struct machine *m, char out[DM_DEV_BYTES]);
/* Room for its root disk's changes, and how much they take; false: another layer. */
bool machine_fill(struct machine *m, uint64_t *size, uint64_t *used);

/* link.c */
void link_open(struct machine *m);
enum err link_reach(struct machine *m, uint64_t parcel, struct why *why);
void link_unreached(struct machine *m, const struct why *why);
void link_close(struct machine *m);
void link_reopen(struct machine *m); /* the agent behind it is a new one */
bool link_up(const struct machine *m);
/*
 * True: the machine runs but its agent has not answered yet, and the letter waits for it a while.
 */
bool link_waits(struct machine *m, const struct letter *l, letter_fn *fn);
void link_set_clock(struct machine *m); /* the guest's, to the host's */
void link_set_clocks(void *vmd); /* of all guests: the host's has jumped */
/* Lets the machine's key log in. */
void link_install_key(struct machine *m, rpc_answer_fn *fn, void *ctx);

/* console.c */
enum err console_reach(struct machine *m, uint64_t parcel, struct why *why);
void console_close(struct machine *m);
void console_drain(struct machine *m); /* the VMM has ended: its last words */
bool console_says(const struct machine *m, const char *text);
enum err console_read(struct machine *m, uint64_t tail, struct buf *ret, struct why *why);

/* sessions.c */
letter_fn session_exec, session_put, session_get, session_dial, session_space;
void session_from_client(void *state, const struct letter *l, const void *body);
void session_from_agent(struct machine *m, struct bytes method, struct bytes params);
void sessions_end(struct machine *m, const struct why *why); /* the guest is gone */
void sessions_client_gone(struct vmd *v, uint64_t client);

struct session *session_new(
	struct machine *m, enum session_kind kind, const struct letter *l, struct why *why);
void session_over(struct session *s); /* it came to its end: code 0 */

/* For sessions of kind SESSION_FORWARD; the agent's answer to session_dial_for is theirs. */
enum err session_dial_for(struct session *s, struct why *why) MUST_CHECK;
void session_to_agent(struct session *s, const uint8_t *p, size_t n);
void session_credit_agent(struct session *s, uint64_t bytes);
void session_leave(struct session *s); /* nobody listens any more: the agent ends it */
void session_free(struct session *s);

/* query.c */
letter_fn query_agent;
void queries_end(struct machine *m, const struct why *why);

/* preflight.c */
letter_fn vm_preflight;
void preflights_end(struct vmd *v);

/* look.c */
letter_fn look_list, look_show;
void look_info(const struct machine *m, struct vm_info *ret); /* what its guest told */
void look_gone(struct machine *m); /* its agent will not tell any more */
void look_end(struct vmd *v);

/* set.c */
letter_fn vm_set;
void set_disk_grew(struct machine *m, bool did); /* the VMM's answer */
void set_ends(struct machine *m, const struct why *why); /* nothing will answer any more */
/* Before a start: what was set while it ran holds from now on. */
enum err set_apply(struct machine *m, struct why *why) MUST_CHECK;
void set_info(const struct machine *m, struct vm_info *ret);

/* logs.c */
void session_logs(struct vmd *v, const struct letter *l, const struct vm_logs *q);
void session_console(struct machine *m, const uint8_t *p, size_t n); /* new console bytes */
void logs_pump(struct session *s); /* sends what the window lets; may end the session */
void logs_end(struct machine *m);

/* recover.c */
void vm_load(struct vmd *v);
void vm_load_done(struct vmd *v); /* also for an actor that closes while it loads */
void vm_probation_over(struct machine *m); /* its agent answered */
void vm_probation_failed(struct machine *m, const struct why *why);

/* vm.c */
void machine_gone(struct machine *m); /* answers who waits for it, and frees it */
void vm_record_from(
	struct vmd *v, const struct vm_create *q, char id[11], char name[64], struct vm_record *r);
enum err vm_check_name(struct vmd *v, const struct vm_create *q, struct why *why) MUST_CHECK;
void vm_loaded(struct vmd *v);
void vm_no_such(struct vmd *v, const struct letter *l, const char *ref);

#endif
