/*
 * unit/secrets.c - what looks like a secret, which names of a guest's are taken, and which links
 * stay where they belong.
 */
#include "tests/unit/unit.h"

#include "cli/secrets.h"
#include "cli/space_paths.h"

static void names(void **state UNUSED)
{
	static const char *const secret[] = { ".env", ".env.local", ".ENV", "a/b/.envrc",
		"prod.env", "id_rsa", "keys/id_ed25519", "deploy_rsa", "server.pem", "tls.KEY",
		"x.p12", "store.jks", "a.kdbx", ".netrc", ".npmrc", ".git-credentials",
		"credentials", "x/credentials.json", "aws-credentials.json", "terraform.tfstate",
		"terraform.tfstate.backup", "prod.tfvars", ".ssh/config", "home/.aws/config",
		".docker/config.json", "secrets.yaml", "client_secret_1.json",
		"service-account.json" };
	static const char *const open[] = { "env", "environment.c", "a.envelope", "id_rsa.pub",
		"keys/deploy.pub", "key.c", "monkey", "pem.txt", "secretary.txt", "credential.c",
		"tfstate", "README", "src/main.c", "a.key.txt", "", "/" };

	for (size_t i = 0; i < COUNT(secret); i++)
		check_row(secret_path(secret[i]), "%s", secret[i]);
	for (size_t i = 0; i < COUNT(open); i++)
		check_row(!secret_path(open[i]), "%s", open[i]);
}

static bool begins(const char *s)
{
	return secret_content((const uint8_t *)s, strlen(s));
}

static void contents(void **state UNUSED)
{
	assert_true(begins("-----BEGIN RSA PRIVATE KEY-----\n"));
	assert_true(begins("\n\n-----BEGIN OPENSSH PRIVATE KEY-----\n"));
	assert_true(begins("-----BEGIN PGP PRIVATE KEY BLOCK-----"));
	assert_true(begins("PuTTY-User-Key-File-3: ssh-ed25519"));
	assert_false(begins("-----BEGIN PUBLIC KEY-----"));
	assert_false(begins(""));
	assert_false(secret_content(NULL, 0));
}

static void guest_names(void **state UNUSED)
{
	static const char *const good[] = { "a", ".gitignore", "a/.gitattributes", ".gitmodules",
		".github/x", "git", "a.git", "a..b", "...", "\xff" };
	static const char *const bad[] = { ".git", ".GIT", "a/.git", "a/.Git/config", ".git/config",
		"git~1", "GIT~2/x", ".git.", ".git ", ".git:x", ".g\xe2\x80\x8cit", "..", "a/../b",
		".", "a//b", "/a", "./a" };

	for (size_t i = 0; i < COUNT(good); i++)
		check_row(look_path_ok(good[i]), "%s", good[i]);
	for (size_t i = 0; i < COUNT(bad); i++)
		check_row(!look_path_ok(bad[i]), "%s", bad[i]);
}

static void links(void **state UNUSED)
{
	static const struct {
		const char *path, *text;
		bool stays;
	} rows[] = { { "l", "a", true }, { "l", "a/b", true }, { "l", "./a", true },
		{ "l", "..", false }, { "l", "../x", false }, { "a/l", "..", true },
		{ "a/l", "../b", true }, { "a/l", "../../b", false }, { "a/l", "x/../../b", true },
		{ "a/l", "x/../../../b", false }, { "l", "/etc/passwd", false }, { "l", "", false },
		{ "l", "a/../..", false }, { "a/b/l", "../../c", true }, { "l", "..a", true },
		{ "l", ".//a", true } };

	for (size_t i = 0; i < COUNT(rows); i++)
		check_row(link_stays(rows[i].path, rows[i].text) == rows[i].stays, "%s -> %s",
			rows[i].path, rows[i].text);
}

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(names), TEST(contents), TEST(guest_names),
		TEST(links) };

	return RUN(tests);
}
