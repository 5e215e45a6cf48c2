/*
 * cli/ssh.h - what ssh into machines stands on (row B11): the user's key pair, known_hosts of
 * banger's own, the settings of a host block.
 *
 * Everything lies in $XDG_DATA_HOME/banger/ssh; the private key elsewhere when config's
 * ssh_key_path says so. OpenSSH does the work: ssh-keygen makes the pair, ssh connects.
 */
#ifndef CLI_SSH_H
#define CLI_SSH_H

#include "base/sshkey.h"
#include "cli/cli.h"
#include "conf/places.h"

/* How long a guest's ssh server is waited for: one that an init will start, and one that somebody
 * may just have started by hand. */
enum { SSH_WAIT_MS = 30000, SSH_START_MS = 2000 };

struct ssh {
	struct place dir, known_hosts, config, users;
	struct place key; /* the private one */
	char public[SSHKEY_BYTES_MAX + 1]; /* "" until ssh_key_ready */
};

/* Finds the places; touches nothing. */
enum err ssh_find(struct ssh *s, struct why *why) MUST_CHECK;
/* Makes the key pair when there is none, once whoever tries at the same time; reads its public. */
enum err ssh_key_ready(struct ssh *s, struct why *why) MUST_CHECK;

/*
 * The user's public key for letters that install it; NULL when there is none and none can be made:
 * a machine can do without. It is said once where a person looks.
 */
const char *ssh_key_for_letters(struct cli *c);

/* ---- pure edits of files; each answers whether `out` differs from the text ---- */

/* known_hosts: the host's lines are these keys, and no other. */
bool known_hosts_edit(
	const char *text, const char *host, const char *const *keys, uint32_t n, struct buf *out);
/* The file of login names: the host's user, or none for root. */
bool ssh_users_edit(const char *text, const char *host, const char *user, struct buf *out);
/* ssh_config: an Include of `path` in the first line, once; or nowhere. */
bool ssh_include_edit(const char *text, const char *path, bool wanted, struct buf *out);

/* Does the edits under the lock of the directory that holds them. */
enum err known_hosts_set(const char *file, const char *host, const char *const *keys, uint32_t n,
	struct why *why) MUST_CHECK;
enum err ssh_users_set(
	const char *file, const char *host, const char *user, struct why *why) MUST_CHECK;

/* ---- settings ---- */

enum { SSH_SETTINGS_MAX = 12, SSH_SETTING_BYTES = 8192 };

/* "Keyword value" each, in the order in which they are written; lives in c->mem. */
enum err ssh_settings(struct cli *c, const struct ssh *s, const char *out[SSH_SETTINGS_MAX],
	unsigned *n, struct why *why) MUST_CHECK;

/* This program as a word of a command that a shell reads, with --socket when it was given. */
enum err ssh_self(struct cli *c, struct buf *out, struct why *why) MUST_CHECK;
/* Paths must need no quoting beyond quotes, in a shell and in ssh_config. */
enum err ssh_path_ok(const char *path, struct why *why) MUST_CHECK;

/* The machine that a host name stands for: without ".vm", in lower case; lives in c->mem. */
const char *ssh_machine_of(struct cli *c, const char *host, struct why *why);

#endif
