/*
 * secrets.c - the list. A pattern has at most one star; it stands for any run of characters.
 */
#include "cli/secrets.h"

#include <ctype.h>

enum { NAME_BYTES = 256 };

static const char *const names[] = {
	/* environments */
	".env*",
	"*.env",
	".envrc",
	/* keys and certificates' private halves */
	"id_rsa*",
	"id_dsa*",
	"id_ecdsa*",
	"id_ed25519*",
	"*.pem",
	"*.key",
	"*.p8",
	"*.p12",
	"*.pfx",
	"*.pkcs12",
	"*.jks",
	"*.keystore",
	"*.ppk",
	"*.kdb",
	"*.kdbx",
	"*.agekey",
	"secring.*",
	"*_rsa",
	"*_dsa",
	"*_ecdsa",
	"*_ed25519",
	"*.ovpn",
	/* credentials of programs */
	".netrc",
	"_netrc",
	".npmrc",
	".yarnrc.yml",
	".pypirc",
	".pgpass",
	".my.cnf",
	".s3cfg",
	".boto",
	".git-credentials",
	".gitcookies",
	".htpasswd",
	".vault-token",
	".vault_pass*",
	".dockercfg",
	".dockerconfigjson",
	".terraformrc",
	"terraform.rc",
	"*.tfstate",
	"*.tfstate.backup",
	"*.tfvars",
	"kubeconfig",
	"*.kubeconfig",
	"credentials",
	"credentials.*",
	"*.credentials",
	"*credentials.json",
	"client_secret*",
	"service-account*",
	"service_account*",
	"secret",
	"secrets",
	"secret.*",
	"secrets.*",
	"*.secret",
	"*.secrets",
	"passwords.*",
	"auth.json",
	".rclone.conf",
	"rclone.conf",
	"*.mobileprovision",
	"*.keychain",
	"local.properties",
	/* where programs keep them */
	".ssh",
	".gnupg",
	".aws",
	".azure",
	".gcloud",
	".kube",
	".docker",
	".password-store",
};

static bool matches(const char *pattern, const char *name, size_t n)
{
	const char *star = strchr(pattern, '*');
	size_t all = strlen(pattern), head = star ? (size_t)(star - pattern) : all;
	size_t tail = star ? all - head - 1 : 0;

	if (!star)
		return n == all && memcmp(name, pattern, n) == 0;
	return n >= head + tail && memcmp(name, pattern, head) == 0 &&
	       memcmp(name + n - tail, star + 1, tail) == 0;
}

static bool secret_name(const char *name, size_t n)
{
	char low[NAME_BYTES];

	if (n == 0 || n >= sizeof(low))
		return false;
	for (size_t i = 0; i < n; i++)
		low[i] = (char)tolower((unsigned char)name[i]);
	/* the public half of a key */
	if (n > 4 && memcmp(low + n - 4, ".pub", 4) == 0)
		return false;
	for (size_t i = 0; i < COUNT(names); i++)
		if (matches(names[i], low, n))
			return true;
	return false;
}

bool secret_path(const char *path)
{
	while (*path) {
		size_t n = strcspn(path, "/");

		if (secret_name(path, n))
			return true;
		path += n + (path[n] == '/');
	}
	return false;
}

bool secret_content(const uint8_t *p, size_t n)
{
	static const char *const marks[] = { "PRIVATE KEY-----", "PRIVATE KEY BLOCK-----",
		"PuTTY-User-Key-File-", "AGE-SECRET-KEY-" };

	for (size_t i = 0; n > 0 && i < COUNT(marks); i++)
		if (memmem(p, n, marks[i], strlen(marks[i])))
			return true;
	return false;
}
