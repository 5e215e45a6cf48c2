/*
 * kernel/kernel.h - the kernel actor's own state, shared by the files of actors/kernel/ and nobody
 * else.
 */
#ifndef KERNEL_KERNEL_H
#define KERNEL_KERNEL_H

#include "actors/roster.h"
#include "actors/shared/shelf.h"

#define KERNEL_AREA "kernel"
#define KERNEL_FILE "vmlinux"
#define INITRAMFS_FILE "initramfs.cpio"
#define BOOT_MODULES_FILE "modules.cpio"
#define MODULES_FILE "modules.ext4"
#define DEFAULT_KEY "default-kernel" /* in table meta */

enum { KERNELS_MAX = 200, AGENT_WORD_BYTES = 96, KERNEL_NAME_BYTES = 65 };

struct kernel_making;

struct kernel {
	struct shelf_item it; /* first */
	struct kernel_record r; /* what it points to lies in mem; `named` is it.named */
	struct arena mem;
	struct kernel_making *renewal; /* its initramfs gets the agent of this build */
};

/* Somebody who waits: for a making's end, or for the default to be on disk. */
struct kernel_wait {
	TAILQ_ENTRY(kernel_wait) entry;
	struct reply_to reply;
	uint64_t client;
	char vm[11]; /* a machine that wants to stand on it; "" for a pull */
	char id[11]; /* that kernel and no other; "" for whichever has the name */
	char name[KERNEL_NAME_BYTES]; /* "": whatever is the default then */
};
TAILQ_HEAD(kernel_waits, kernel_wait);

struct kernel_making {
	struct shelf_making sm; /* first */
	bool make_default;
	bool imports; /* it belongs to the client whose bytes it takes */
	bool sets_default; /* the record step writes the default, too */
	const char *package; /* a pull's */
	char file[64]; /* what was downloaded */
	char agent[AGENT_WORD_BYTES]; /* in the initramfs that was made */
	struct kernel *renews; /* a renewal's */
	struct kernel_waits waits;
};

struct kernels { /* the actor */
	struct shelf shelf; /* first */
	char chosen[KERNEL_NAME_BYTES]; /* the default in the store; "" for none */
	struct kernel_waits settings; /* defaults that are being written */
};

/* kernel.c */
struct kernel *kernel_new(const struct kernel_record *r, struct why *why);
void kernel_free(struct shelf_item *it); /* NULL is fine */
struct kernels *kernels_of(struct kernel_making *p);
struct kernel *kernel_by_id(const struct kernels *s, const char *id);
struct kernel *kernel_by_name(const struct kernels *s, const char *name); /* none that is going */
struct kernel_info kernel_info_of(const struct kernels *s, const struct kernel *k);
const char *kernel_default_name(const struct kernels *s); /* NULL: there is none */
enum err kernel_not_found(struct kernels *s, const char *name, struct why *why);

/* waits.c */
struct kernel_wait *kernel_wait_add(struct kernel_waits *list, struct reply_to reply,
	uint64_t client, const char *vm, const char *name, struct why *why);
void kernel_wait_remove(struct kernel_waits *list, struct kernel_wait *w);
/* Each is answered: as it asked for when `why` is NULL. */
void kernel_waits_end(struct kernels *s, struct kernel_waits *list, const struct why *why);
void kernel_waits_free(struct kernel_waits *list);
/* Refuses those of a client (vm NULL), or of a machine; true when there were any. */
bool kernel_waits_drop(
	struct kernels *s, struct kernel_waits *list, uint64_t client, const char *vm);

/* make.c */
letter_fn kernel_on_import, kernel_on_pull;
/* The package; NULL when the catalog has no such kernel. */
const char *kernel_catalog(const struct kernels *s, const char *name);
/* What a host without kernels gets; NULL: nothing. */
const char *kernel_catalog_first(const struct kernels *s);
enum err kernel_offline(const char *name, struct why *why);
/* Begins a pull for whom `waits` will be filled with by the caller. */
enum err kernel_pull_begin(struct kernels *s, const char *name, uint64_t client, bool replace,
	bool make_default, struct kernel_making **ret, struct why *why) MUST_CHECK;
void kernel_making_ended(void *state, struct making *m, const struct why *why);

/* renew.c: steps about the agent, and the flow that renews a kernel's initramfs */
flow_fn kernel_step_initramfs;
enum err kernel_agent_word(
	struct kernels *s, char out[AGENT_WORD_BYTES], struct why *why) MUST_CHECK;
enum err kernel_renewal_begin(struct kernels *s, struct kernel *k, struct kernel_making **ret,
	struct why *why) MUST_CHECK;

/* hold.c */
letter_fn kernel_on_hold, kernel_on_drop;
/* id: that one, whatever its name; else by name, or (NULL) the default. */
void kernel_hold(struct kernels *s, const struct kernel_hold *q, struct reply_to reply);

/* setting.c */
letter_fn kernel_on_default;
void kernel_read_settings(void *state); /* then the shelf goes on */
/* Makes it the default, then answers what the letter asks for. */
void kernel_choose(struct kernels *s, const char *name, struct reply_to reply);

#endif
