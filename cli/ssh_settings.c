/*
 * ssh_settings.c - how ssh is told to reach machines: the same settings for `vm ssh` and for the
 * host block.
 *
 * ssh reads known_hosts only after the server's first line came. That line comes through our
 * ProxyCommand, which writes the machine's host keys, as its agent tells them, before it passes a
 * byte on. So the file is right whenever it is read, with every version of OpenSSH, and nothing is
 * ever accepted blindly.
 */
#include <ctype.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/ssh.h"

enum err ssh_path_ok(const char *path, struct why *why)
{
	for (const char *p = path; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f || strchr("'\"\\$%*?[]{}", *p)) {
			fail(why, ERR_unsupported,
				"ssh cannot be given the path %.200s: a character in it has a "
				"meaning of its own there",
				path);
			return fail_hint(why, "choose another place (XDG_DATA_HOME, ssh_key_path)");
		}
	return OK;
}

enum err ssh_self(struct cli *c, struct buf *out, struct why *why)
{
	char self[PLACE_BYTES];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	enum err e;

	if (n < 0)
		return fail_errno(why, "cannot tell where this program lies");
	self[n] = '\0';
	e = ssh_path_ok(self, why);
	if (!e && c->socket)
		e = ssh_path_ok(c->socket, why);
	if (e)
		return e;
	buf_fmt(out, "'%s'", self);
	if (c->socket)
		buf_fmt(out, " --socket '%s'", c->socket);
	return OK;
}

const char *ssh_machine_of(struct cli *c, const char *host, struct why *why)
{
	size_t n = strlen(host);
	char *name = arena_strn(&c->mem, host, n);

	if (!name) {
		fail(why, ERR_no_memory, "no memory for a name");
		return NULL;
	}
	for (char *p = name; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	if (n > 3 && str_eq(name + n - 3, ".vm"))
		name[n - 3] = '\0';
	return type_ok(&type_vm_ref, "vm", name, why) ? NULL : name;
}

enum err ssh_settings(struct cli *c, const struct ssh *s, const char *out[SSH_SETTINGS_MAX],
	unsigned *n, struct why *why)
{
	own_buf self = { 0 };
	enum err e = ssh_self(c, &self, why);
	unsigned k = 0;

	if (!e)
		e = ssh_path_ok(s->dir.path, why);
	if (!e)
		e = ssh_path_ok(s->key.path, why);
	if (e)
		return e;
	out[k++] = arena_fmt(&c->mem, "IdentityFile \"%s\"", s->key.path);
	out[k++] = "IdentitiesOnly yes";
	out[k++] = arena_fmt(&c->mem, "UserKnownHostsFile \"%s\"", s->known_hosts.path);
	out[k++] = "GlobalKnownHostsFile /dev/null";
	out[k++] = "StrictHostKeyChecking yes";
	out[k++] = "UpdateHostKeys no";
	out[k++] = "VerifyHostKeyDNS no";
	out[k++] = "CheckHostIP no";
	out[k++] = arena_fmt(&c->mem,
		"ProxyCommand %s vm proxy --known-hosts '%s' --identity '%s' '%%h' %%p",
		buf_cstr(&self), s->known_hosts.path, s->key.path);
	must(k <= SSH_SETTINGS_MAX);
	for (unsigned i = 0; i < k; i++)
		if (!out[i])
			return fail(why, ERR_no_memory, "no memory for settings");
	*n = k;
	return OK;
}
