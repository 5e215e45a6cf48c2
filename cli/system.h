/*
 * cli/system.h - the parts of `banger system` (row G1): what is asked before anything is touched,
 * the files of an install, and systemd.
 *
 * All of it runs as root, on files that only root can change.
 */
#ifndef CLI_SYSTEM_H
#define CLI_SYSTEM_H

#include "cli/cli.h"
#include "conf/places.h"

#define UNIT_DIR "/etc/systemd/system"
#define TMPFILES_FILE "/etc/tmpfiles.d/banger.conf"
#define HELPER_STATE_DIR "/var/lib/banger-helper"
#define HELPER_RUNTIME_DIR "/run/banger-helper"
#define HELPER_SOCKET HELPER_RUNTIME_DIR "/helper.sock"

enum { UNITS = 4, PROBLEMS_MAX = 16 };

/* Sockets first: whoever connects while a service starts waits. */
extern const char *const unit_names[UNITS];
enum unit_index { HELPER_SOCKET_UNIT, DAEMON_SOCKET_UNIT, HELPER_UNIT, DAEMON_UNIT };

/* What an install is made from. Text lives in the arena of the command. */
struct setup {
	struct install install;
	const char *owner, *home; /* name, or the uid in digits; home directory */
	const char *templates; /* directory */
};

/* Whatever stands in the way, found in one go. */
struct problems {
	struct {
		const char *text, *hint;
	} v[PROBLEMS_MAX];
	unsigned n;
};

void problem(struct cli *c, struct problems *p, const char *hint, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
/* Says them all; answers the exit code. */
int problems_report(struct cli *c, const struct problems *p);

/* Refuses with the line to type when this is not root; true when it is. */
bool must_be_root(struct cli *c, int *code);

/* What root noted at install; *there false when there is no install. */
enum err install_read(struct cli *c, struct install *ret, bool *there, struct why *why) MUST_CHECK;

/* Fills the setup; adds what is wrong with owner, programs, directories, systemd. */
void system_check(struct cli *c, struct setup *s, struct problems *p);

/* system_files.c: units, tmpfiles and metadata; changed says which units are not what they were. */
enum err system_write(struct cli *c, const struct setup *s, bool changed[UNITS], bool *any,
	struct why *why) MUST_CHECK;
/* Removes them, and the install's directories; with purge also what is the owner's. */
enum err system_remove(struct cli *c, bool purge, struct why *why) MUST_CHECK;

/* system_host.c: runs a program of the host to its end; argv ends with NULL. */
enum err host_run(const char *const argv[], struct why *why) MUST_CHECK;
/* The same, with its output; a code other than 0 is no failure: *code. */
enum err host_read(
	const char *const argv[], struct buf *out, int *code, struct why *why) MUST_CHECK;
enum err systemctl(
	const char *verb, const char *const *units, unsigned n, struct why *why) MUST_CHECK;
/* State of a unit. */
enum err unit_look(
	struct cli *c, const char *name, struct system_unit *ret, struct why *why) MUST_CHECK;
/* Ends what still runs in a stopped service's group, and waits until it is gone. */
enum err unit_end_all(const char *name, struct why *why) MUST_CHECK;

#endif
