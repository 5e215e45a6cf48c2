/*
 * fuzz/ssh.c - what ssh stands on: keys as a guest writes them, and the files that are edited line
 * by line. The first byte picks; text ends at the first NUL, a second part begins behind 0x01.
 */
#include "tests/fuzz/fuzz.h"

#include "agent/authorized.h"
#include "base/sshkey.h"
#include "cli/ssh.h"

#define KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG7HvqvdSnEFjnNXV/fDDllER2Kvy4kcQR61iWEz5j0e"

/* What passes as a key is one line of two words. */
static void keys(const char *s)
{
	char key[SSHKEY_BYTES_MAX + 1];
	struct bytes found;
	size_t begin;

	if (sshkey_of_file(s, key)) {
		must(sshkey_ok(key, strlen(key)));
		must(strcspn(key, " ") + 1 + strcspn(strchr(key, ' ') + 1, " \t\r\n") ==
			strlen(key));
	}
	if (sshkey_of_line(s, &found, &begin))
		must(begin + found.n <= strcspn(s, "\n") && sshkey_ok(s + begin, found.n));
}

typedef bool edit_fn(const char *text, const char *what, struct buf *out);

static bool authorized(const char *text, const char *what UNUSED, struct buf *out)
{
	return authorized_edit(text, KEY, out);
}

static bool known_hosts(const char *text, const char *what, struct buf *out)
{
	static const char *const one = KEY;

	return known_hosts_edit(text, what, &one, 1, out);
}

static bool users(const char *text, const char *what, struct buf *out)
{
	return ssh_users_edit(text, what, "me", out);
}

static bool include(const char *text, const char *what, struct buf *out)
{
	return ssh_include_edit(text, what, true, out);
}

/* Done once, it is done: the same edit again changes nothing. */
static void twice(edit_fn *edit, const char *text, const char *what)
{
	own_buf first = { 0 };
	own_buf second = { 0 };
	bool changed = edit(text, what, &first);

	must(!first.failed && changed == !str_eq(text, buf_cstr(&first)));
	must(!edit(buf_cstr(&first), what, &second));
	must(str_eq(buf_cstr(&first), buf_cstr(&second)));
}

/* A host, or a path, as their types let them be. */
static bool plain(const char *what)
{
	return what[0] && !strpbrk(what, " \t\r\n\"=");
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static edit_fn *const edits[] = { known_hosts, users, include };
	char *s, *what, *all;

	if (n < 1 || n > 65536)
		return 0;
	all = s = strndup((const char *)p + 1, n - 1);
	must(s);
	strsep(&s, "\001");
	what = s ? s : (char[]){ "m.vm" };
	if (p[0] % 4 == 0) {
		keys(all);
		twice(authorized, all, NULL);
	} else if (plain(what)) {
		twice(edits[p[0] % 4 - 1], all, what);
	}
	free(all);
	return 0;
}
