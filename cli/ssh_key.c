/*
 * ssh_key.c - the key pair with which machines are entered: made on first use, by ssh-keygen, under
 * a lock, and put in place by rename, so that two at once get one pair and a crash leaves none.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/file.h"
#include "cli/report.h"
#include "cli/spawn.h"
#include "cli/ssh.h"
#include "conf/config.h"

enum { PUBLIC_BYTES_MAX = 16384 };

enum err ssh_find(struct ssh *s, struct why *why)
{
	struct place data;
	struct conf conf;
	enum err e = place_data(&data, why);

	memset(s, 0, sizeof(*s));
	if (!e)
		e = place_beneath(&s->dir, &data, "ssh", why);
	if (!e)
		e = place_beneath(&s->known_hosts, &s->dir, "known_hosts", why);
	if (!e)
		e = place_beneath(&s->config, &s->dir, "config", why);
	if (!e)
		e = place_beneath(&s->users, &s->dir, "users", why);
	if (!e)
		e = place_beneath(&s->key, &s->dir, "id_ed25519", why);
	if (e)
		return e;
	e = conf_load(&conf, why);
	if (!e && conf.v.ssh_key_path &&
		!str_copy(s->key.path, sizeof(s->key.path), conf.v.ssh_key_path))
		e = fail_field(why, ERR_too_large, "ssh_key_path", "ssh_key_path is too long");
	conf_done(&conf);
	return e;
}

static enum err program(const char *name, char path[PLACE_BYTES], struct why *why)
{
	if (program_path(name, path, PLACE_BYTES, why) == OK)
		return OK;
	return fail_hint(why, "install OpenSSH's client (Debian: apt install openssh-client)");
}

/* Runs ssh-keygen; the first line of what it prints is kept. */
static enum err keygen(const char *const argv[], char *out, size_t size, struct why *why)
{
	char path[PLACE_BYTES];
	own_fd from = -1;
	size_t have = 0;
	ssize_t n = 1;
	pid_t pid;
	enum err e = program("ssh-keygen", path, why);

	if (!e)
		e = spawn_piped_at(path, argv, &pid, &from, why);
	if (e)
		return e;
	while (n > 0 || (n < 0 && errno == EINTR)) {
		char unused[256];
		size_t room = size - 1 - have;

		n = room ? read(from, out + have, room) : read(from, unused, sizeof(unused));
		have += n > 0 && room ? (size_t)n : 0;
	}
	out[have] = '\0';
	return spawn_wait(pid, "ssh-keygen", why);
}

static enum err leaf(const struct ssh *s, const char *more, char out[PLACE_BYTES], struct why *why)
{
	if ((size_t)snprintf(out, PLACE_BYTES, "%s%s", s->key.path, more) < PLACE_BYTES)
		return OK;
	return fail(why, ERR_too_large, "the path %.60s... is too long", s->key.path);
}

/* Under the lock. The public key is in place before the private one says that there is a pair. */
static enum err make_pair(const struct ssh *s, struct why *why)
{
	char new[PLACE_BYTES], new_pub[PLACE_BYTES], pub[PLACE_BYTES], said[256];
	const char *argv[] = { "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "banger", "-f",
		new, NULL };
	enum err e = leaf(s, ".new", new, why);

	if (!e)
		e = leaf(s, ".new.pub", new_pub, why);
	if (!e)
		e = leaf(s, ".pub", pub, why);
	if (e)
		return e;
	(void)unlink(new); /* what a crash left */
	(void)unlink(new_pub);
	e = keygen(argv, said, sizeof(said), why);
	if (!e && chmod(new, 0600) < 0)
		e = fail_errno(why, "cannot close %.250s to others", new);
	if (!e)
		e = file_sync(new, why);
	if (!e)
		e = file_sync(new_pub, why);
	if (!e && (rename(new_pub, pub) < 0 || rename(new, s->key.path) < 0))
		e = fail_errno(why, "cannot put the key in place at %.250s", s->key.path);
	if (!e)
		e = file_sync(s->key.path, why);
	return e;
}

static enum err check_private(const struct ssh *s, bool *there, struct why *why)
{
	struct stat st;

	*there = stat(s->key.path, &st) == 0;
	if (!*there)
		return errno == ENOENT ? OK : fail_errno(why, "cannot look at %.250s", s->key.path);
	if (!S_ISREG(st.st_mode))
		return fail(why, ERR_invalid_value, "%.250s is no file", s->key.path);
	if (st.st_uid != geteuid() || !(st.st_mode & 077))
		return OK; /* somebody else's is ssh's to judge */
	fail(why, ERR_denied, "the private key %.250s is open to others", s->key.path);
	return fail_hint(why, "chmod 600 %.200s", s->key.path);
}

static enum err make_if_missing(const struct ssh *s, struct why *why)
{
	struct place dir = s->key;
	own_fd lock = -1;
	bool there;
	enum err e = check_private(s, &there, why);

	if (e || there)
		return e;
	*strrchr(dir.path, '/') = '\0';
	if (!dir.path[0])
		return fail_field(why, ERR_invalid_value, "ssh_key_path",
			"ssh_key_path leads to the root directory");
	e = place_make(&dir, why);
	if (!e)
		e = file_lock_dir(dir.path, &lock, why);
	if (!e)
		e = check_private(s, &there, why);
	if (!e && !there)
		e = make_pair(s, why);
	return e;
}

/* NAME.pub; else what ssh-keygen makes of the private key. */
static enum err read_public(struct ssh *s, struct why *why)
{
	char pub[PLACE_BYTES], said[PUBLIC_BYTES_MAX];
	const char *argv[] = { "ssh-keygen", "-y", "-P", "", "-f", s->key.path, NULL };
	own_buf text = { 0 };
	bool there = false;
	enum err e = leaf(s, ".pub", pub, why);

	if (!e)
		e = file_read(pub, &text, &there, why);
	if (!e && !there)
		e = keygen(argv, said, sizeof(said), why);
	if (e && !there)
		return fail_hint(why, "put its public key into %.200s", pub);
	if (e || sshkey_of_file(there ? buf_cstr(&text) : said, s->public))
		return e;
	return fail(why, ERR_invalid_value, "%.250s holds no SSH public key", pub);
}

enum err ssh_key_ready(struct ssh *s, struct why *why)
{
	enum err e = place_make(&s->dir, why);

	if (!e)
		e = make_if_missing(s, why);
	return e ? e : read_public(s, why);
}

const char *ssh_key_for_letters(struct cli *c)
{
	struct ssh *s;
	struct why why;
	enum err e;

	if (c->ssh_tried)
		return c->ssh_key;
	c->ssh_tried = true;
	s = arena_take(&c->mem, sizeof(*s));
	e = s ? ssh_find(s, &why) : fail(&why, ERR_no_memory, "no memory for a key");
	if (!e)
		e = ssh_key_ready(s, &why);
	if (!e)
		c->ssh_key = s->public;
	else if (e != ERR_not_found && c->err_live) /* a host without OpenSSH needs no key */
		note(c, "no ssh key for machines: %s", why.text);
	return c->ssh_key;
}
