/*
 * helper/helper.h - what the parts of banger-helper share: the configuration it was started with,
 * the directories it holds, and its ledger.
 *
 * The helper is the only root process of an installed system. Whoever may speak to it (root, and
 * the one owner) is taken to be hostile: it gains nothing but running microVMs. Names and paths
 * come in by letters, are checked without touching the host, and are opened beneath the held
 * directories; from then on only descriptors are used.
 */
#ifndef HELPER_HELPER_H
#define HELPER_HELPER_H

#include <sys/types.h>

#include "loop/loop.h"
#include "proto/proto.h"

struct ledger;
struct network;
struct vmms;

/* Addresses are in host byte order. */
struct subnet {
	uint32_t net, mask;
	unsigned bits;
	char text[20];
};

struct helper {
	struct loop *loop;
	uid_t owner;
	gid_t owner_gid; /* its number is the uid's when the owner has no passwd entry */
	struct subnet subnet;
	/* As given, absolute, without a final slash; and held. */
	char state_path[1024], runtime_path[1024], jail_path[1024];
	int state, runtime, jails;
	struct ledger *ledger;
	struct network *net;
	struct vmms *vmms;
};

/* places.c: finds and holds the three directories, refusing what somebody else could change. */
enum err places_open(struct helper *h, struct why *why) MUST_CHECK;
/* A socket that listens at path: 0600 from bind on, then the owner's. */
enum err places_listen(
	const char *path, uid_t owner, gid_t gid, int *ret, struct why *why) MUST_CHECK;
/* Where a path lies beneath a place: the rest, or NULL. Pure. */
const char *beneath(const char *place, const char *path);

/* paths.c: that a path lies beneath the state directory. Pure. */
enum err check_beneath_state(
	const struct helper *h, const char *path, const char *field, struct why *why) MUST_CHECK;
/* errno of a walk beneath a place, as what is wrong with the request. */
enum err walk_failed(const char *path, const char *field, struct why *why);

/*
 * paths.c: the owner's files, by absolute path beneath the state directory; the descriptor is what
 * was checked: a regular file, the owner's, with one link, on the state directory's device or below
 * it, no link followed on the way. field names the key of the request.
 */
enum err owner_file(const struct helper *h, const char *path, const char *field, bool writable,
	int *ret, struct why *why) MUST_CHECK;

/* confine.c: privileges are shed in named steps, each with its reason. */
enum err confine_early(struct why *why) MUST_CHECK; /* before anything is read */
enum err confine_ready(struct why *why) MUST_CHECK; /* all is open: capabilities, system calls */

#endif
