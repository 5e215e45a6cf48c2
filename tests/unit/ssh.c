/*
 * unit/ssh.c - public keys as text, and the files of ssh that are edited line by line.
 */
#include "tests/unit/unit.h"

#include "agent/authorized.h"
#include "base/sshkey.h"
#include "cli/ssh.h"

#define ONE "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG7HvqvdSnEFjnNXV/fDDllER2Kvy4kcQR61iWEz5j0e"
#define TWO "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO3kUzBaG9VO8MvPWaZqNTz4J5QHT4pXGJ0AXVEoEq2f"
#define ECDSA \
	"ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBP73Vi5KbzvrXPd" \
	"DXRTku6ikQMpjiN1/45osyYm8IuqGlgsnBVxbk4xGsfS7biZl+yW1T46api+PBEWnlUQz5oc="
#define MARKED(key) key " " AUTHORIZED_MARK "\n"

static void lines(void **state UNUSED)
{
	static const struct {
		const char *line, *key;
	} rows[] = {
		{ ONE, ONE }, { ONE "\n", ONE }, { "  " ONE " me@host\nmore", ONE },
		{ ONE "\r\n", ONE }, { ECDSA " x", ECDSA }, { "no-pty " ONE, ONE },
		{ "command=\"echo \\\"a b\\\"\",no-pty " ONE " c", ONE }, { "", NULL },
		{ "# " ONE, NULL }, { "\n" ONE, NULL },
		{ "a b " ONE, NULL }, /* options are one word */
		{ "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIG7HvqvdSnEFjnNXV/fDDllER2Kvy4kcQR61iWEz5j0e",
			NULL },
		{ "ssh-ed25519\t"
		  "AAAAC3NzaC1lZDI1NTE5AAAAIG7HvqvdSnEFjnNXV/fDDllER2Kvy4kcQR61iWEz5j0e",
			NULL },
		/* a length over the end; bits behind the last byte; bytes behind the last part */
		{ "ssh-ed25519 "
		  "AAAAC3NzaC1lZDI1NTE5AAAAIW7HvqvdSnEFjnNXV/fDDllER2Kvy4kcQR61iWEz5j0e",
			NULL },
		{ "ssh-x AAAABXNzaC14AAAAAQE=", "ssh-x AAAABXNzaC14AAAAAQE=" },
		{ "ssh-x AAAABXNzaC14AAAAAQF=", NULL }, { "ssh-x AAAABXNzaC14AAAAAQEB", NULL },
		{ "ssh-x AAAABXNzaC14", NULL }, /* nothing but the type */
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct bytes key = { NULL, 0 };
		bool is = sshkey_of_line(rows[i].line, &key, NULL);

		check_row(is == (rows[i].key != NULL), "'%s'", rows[i].line);
		if (is)
			check_row(key.n == strlen(rows[i].key) &&
					  memcmp(key.p, rows[i].key, key.n) == 0,
				"'%s'", rows[i].line);
	}
}

static void files(void **state UNUSED)
{
	char key[SSHKEY_BYTES_MAX + 1];

	assert_true(sshkey_of_file("\n# a comment\n\r\n" ONE " me\n" TWO "\n", key));
	assert_string_equal(key, ONE);
	assert_false(sshkey_of_file("junk\n" ONE "\n", key));
	assert_false(sshkey_of_file("", key));
	assert_false(sshkey_ok(ONE "\n", sizeof(ONE)));
	assert_false(sshkey_ok(ONE, sizeof(ONE))); /* its NUL */
}

static void long_keys(void **state UNUSED)
{
	static char long_one[3 * SSHKEY_BYTES_MAX];

	memset(long_one, 'A', sizeof(long_one) - 1);
	memcpy(long_one, "ssh-rsa ", 8);
	for (size_t n = SSHKEY_BYTES_MAX - 8; n < sizeof(long_one); n++)
		assert_false(sshkey_ok(long_one, n));
	memset(long_one, 'a', sizeof(long_one) - 1);
	assert_false(sshkey_ok(long_one, sizeof(long_one) - 1));
}

static void authorized_keys(void **state UNUSED)
{
	static const struct {
		const char *have, *want;
	} rows[] = {
		{ "", MARKED(ONE) },
		{ MARKED(ONE), NULL },
		{ MARKED(TWO), MARKED(ONE) },
		{ TWO " mine\n" MARKED(TWO), TWO " mine\n" MARKED(ONE) },
		{ TWO " mine", TWO " mine\n" MARKED(ONE) },
		{ ONE " mine\n", NULL }, /* it is there already, under another name */
		{ ONE, NULL },
		{ "no-pty " ONE " x", NULL },
		{ "no-pty " MARKED(TWO), "no-pty " MARKED(TWO) MARKED(ONE) }, /* not as we write */
		{ TWO " not " AUTHORIZED_MARK "\n", TWO " not " AUTHORIZED_MARK "\n" MARKED(ONE) },
		{ TWO " " AUTHORIZED_MARK "-not\n", TWO " " AUTHORIZED_MARK "-not\n" MARKED(ONE) },
		{ TWO " " AUTHORIZED_MARK " \r\n" ONE, ONE },
		{ "# words\n\njunk " AUTHORIZED_MARK "\n",
			"# words\n\njunk " AUTHORIZED_MARK "\n" MARKED(ONE) },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		own_buf out = { 0 };
		bool changed = authorized_edit(rows[i].have, ONE, &out);

		check_row(changed == (rows[i].want != NULL), "row %zu", i);
		check_row(!changed || str_eq(buf_cstr(&out), rows[i].want), "row %zu: '%s'", i,
			buf_cstr(&out));
	}
}

static void known_hosts(void **state UNUSED)
{
	static const char *const keys[] = { ONE, ECDSA };
	own_buf out = { 0 };
	own_buf again = { 0 };
	own_buf none = { 0 };

	assert_true(
		known_hosts_edit("a.vm " TWO "\nm.vm " TWO "\nam.vm " TWO, "m.vm", keys, 2, &out));
	assert_string_equal(
		buf_cstr(&out), "a.vm " TWO "\nam.vm " TWO "\nm.vm " ONE "\nm.vm " ECDSA "\n");
	assert_false(known_hosts_edit(buf_cstr(&out), "m.vm", keys, 2, &again));
	assert_true(known_hosts_edit("m.vm " ONE "\n", "m.vm", NULL, 0, &none));
	assert_string_equal(buf_cstr(&none), "");
}

/* A file that has grown loses its oldest lines, never the host that is being written. */
static void known_hosts_end(void **state UNUSED)
{
	static const char *const key = ONE;
	own_buf text = { 0 };
	own_buf out = { 0 };
	unsigned lines_n = 0;

	for (unsigned i = 0; i < 3000; i++)
		buf_fmt(&text, "h%u.vm " TWO "\n", i);
	assert_true(known_hosts_edit(buf_cstr(&text), "h0.vm", &key, 1, &out));
	for (const char *p = buf_cstr(&out); *p; p++)
		lines_n += *p == '\n';
	assert_int_equal(lines_n, 1025);
	assert_non_null(strstr(buf_cstr(&out), "h2999.vm " TWO "\nh0.vm " ONE "\n"));
	assert_null(strstr(buf_cstr(&out), "h1.vm"));
}

static void users(void **state UNUSED)
{
	static const struct {
		const char *have, *host, *user, *want;
	} rows[] = {
		{ "", "m.vm", "me", "Host m.vm\n  User me\n" },
		{ "", "m.vm", "root", "" },
		{ "Host m.vm\n  User me\n", "m.vm", "you", "Host m.vm\n  User you\n" },
		{ "Host m.vm\n  User me\nHost n.vm\n  User x\n", "m.vm", "root",
			"Host n.vm\n  User x\n" },
		{ "Host m.vmx\n  User me\n", "m.vm", "root", "Host m.vmx\n  User me\n" },
		{ "  User stray\nHost n.vm\n  User x\n", "m.vm", "me",
			"Host n.vm\n  User x\nHost m.vm\n  User me\n" },
		/* names that would mean something else there */
		{ "", "m.vm", "me\nProxyCommand evil", "" },
		{ "", "m.vm", "a b", "" },
		{ "", "m.vm", "-oProxyCommand", "" },
		{ "", "m.vm", "%h", "" },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		own_buf out = { 0 };
		bool changed = ssh_users_edit(rows[i].have, rows[i].host, rows[i].user, &out);

		check_row(str_eq(buf_cstr(&out), rows[i].want), "row %zu: '%s'", i, buf_cstr(&out));
		check_row(changed == !str_eq(rows[i].have, rows[i].want), "row %zu", i);
	}
}

#define INCLUDE "Include \"/x/banger/ssh/config\"\n"

static void include(void **state UNUSED)
{
	static const struct {
		const char *without, *with; /* from either the other is made */
	} rows[] = {
		{ "", INCLUDE },
		{ "Host *\n  User a\n", INCLUDE "Host *\n  User a\n" },
		{ "Host *\r\n\tUser a", INCLUDE "Host *\r\n\tUser a" },
		{ "# Include \"/x/banger/ssh/config\"\n",
			INCLUDE "# Include \"/x/banger/ssh/config\"\n" },
		{ "Include /x/banger/ssh/config /y\n",
			INCLUDE "Include /x/banger/ssh/config /y\n" },
		{ "Includes /x/banger/ssh/config\n", INCLUDE "Includes /x/banger/ssh/config\n" },
		{ "Include /x/banger/ssh/config2\n\n",
			INCLUDE "Include /x/banger/ssh/config2\n\n" },
	};
	static const char *const spellings[] = { "include /x/banger/ssh/config\n",
		"\tINCLUDE=\"/x/banger/ssh/config\" \r\n", "Include  \"/x/banger/ssh/config\"" };
	static const char path[] = "/x/banger/ssh/config";

	for (size_t i = 0; i < COUNT(rows); i++) {
		own_buf with = { 0 };
		own_buf without = { 0 };
		own_buf again = { 0 };

		check_row(ssh_include_edit(rows[i].without, path, true, &with), "row %zu", i);
		check_row(str_eq(buf_cstr(&with), rows[i].with), "row %zu", i);
		check_row(!ssh_include_edit(rows[i].with, path, true, &again), "row %zu", i);
		check_row(ssh_include_edit(rows[i].with, path, false, &without), "row %zu", i);
		check_row(str_eq(buf_cstr(&without), rows[i].without), "row %zu", i);
	}
	for (size_t i = 0; i < COUNT(spellings); i++) {
		own_buf text = { 0 };
		own_buf out = { 0 };

		buf_fmt(&text, "Host a\n%s", spellings[i]);
		check_row(ssh_include_edit(buf_cstr(&text), path, true, &out), "row %zu", i);
		check_row(str_eq(buf_cstr(&out), INCLUDE "Host a\n"), "row %zu", i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(lines), TEST(files), TEST(long_keys),
		TEST(authorized_keys), TEST(known_hosts), TEST(known_hosts_end), TEST(users),
		TEST(include) };

	return RUN(tests);
}
