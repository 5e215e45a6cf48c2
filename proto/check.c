/*
 * check.c - what makes a name, path, address or signal right. Pure, no system calls, fuzzed.
 */
#include "proto/check.h"

#include <ctype.h>
#include <signal.h>

#include "base/sshkey.h"
#include "base/text.h"

static bool all_of(const char *s, size_t n, const char *extra)
{
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && !strchr(extra, s[i]))
			return false;
	return true;
}

const char *check_env(const char *s, size_t n)
{
	const char *eq = memchr(s, '=', n);

	return eq && eq != s ? NULL : "must be NAME=value";
}

/* No empty, "." or ".." component between from and the end. */
static bool clean_path(const char *s)
{
	while (*s) {
		size_t n = strcspn(s, "/");

		if (n == 0 || (n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.'))
			return false;
		s += n;
		if (*s == '/' && s[1] == '\0')
			return false;
		s += *s == '/';
	}
	return true;
}

const char *check_abs_path(const char *s, size_t n)
{
	if (n == 1 && s[0] == '/')
		return NULL;
	if (s[0] == '/' && clean_path(s + 1))
		return NULL;
	return "must be an absolute path without '.', '..' or '//'";
}

const char *check_rel_path(const char *s, size_t n)
{
	(void)n;
	return s[0] != '/' && clean_path(s) ? NULL : "must be a relative path without '.' or '..'";
}

const char *check_vm_id(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!islower((unsigned char)s[i]) && !isdigit((unsigned char)s[i]))
			return "must be 2 to 10 of [a-z0-9]";
	return NULL;
}

const char *check_vm_name(const char *s, size_t n)
{
	if (!is_label(s, n))
		return "must be a lower-case DNS label: [a-z0-9-], no hyphen at either end";
	if (strspn(s, "0123456789") == n)
		return "must not be all digits";
	if (str_eq(s, "localhost"))
		return "must not be localhost";
	if (strncmp(s, "xn--", 4) == 0)
		return "must not begin with xn--";
	return NULL;
}

const char *check_vm_ref(const char *s, size_t n)
{
	return is_label(s, n) ? NULL : "must be a machine's name or id";
}

const char *check_image_name(const char *s, size_t n)
{
	if (!isalnum((unsigned char)s[0]) || !all_of(s, n, "._/:@-") || strstr(s, "..") ||
		strstr(s, "//"))
		return "must begin with a letter or digit and hold only [A-Za-z0-9._/:@-]";
	return NULL;
}

const char *check_kernel_name(const char *s, size_t n)
{
	if (!isalnum((unsigned char)s[0]) || !all_of(s, n, "._+~-"))
		return "must begin with a letter or digit and hold only [A-Za-z0-9._+~-]";
	return NULL;
}

const char *check_digest(const char *s, size_t n)
{
	if (n == 71 && strncmp(s, "sha256:", 7) == 0 && strspn(s + 7, "0123456789abcdef") == 64)
		return NULL;
	return "must be sha256: and 64 lower-case hex digits";
}

const char *check_sha256(const char *s, size_t n)
{
	if (n == 64 && strspn(s, "0123456789abcdef") == 64)
		return NULL;
	return "must be 64 lower-case hex digits";
}

/* What is behind the host is the server's affair; a password is in no file of ours. */
const char *check_bundle_url(const char *s, size_t n)
{
	static const char https[] = "https://";
	size_t head = sizeof(https) - 1, host;

	for (size_t i = 0; i < n; i++)
		if (s[i] <= ' ' || s[i] > '~')
			return "must be ASCII without spaces; %20 is one";
	if (n <= head || strncmp(s, https, head) != 0)
		return "must begin with https://";
	host = strcspn(s + head, "/?#");
	if (memchr(s + head, '@', host))
		return "must not hold a user or password";
	if (host == 0 || s[head + host] != '/' || head + host + 1 == n)
		return "must be https://HOST/PATH";
	return NULL;
}

const char *check_user(const char *s, size_t n)
{
	const char *colon = memchr(s, ':', n);
	size_t name = colon ? (size_t)(colon - s) : n;

	if (name == 0 || s[0] == '-' || !all_of(s, name, "._-") ||
		(colon && (name + 1 == n || !all_of(colon + 1, n - name - 1, "._-"))))
		return "must be a user name or uid, optionally with :group";
	return NULL;
}

const char *check_term(const char *s, size_t n)
{
	return all_of(s, n, "._+-") ? NULL : "must hold only [A-Za-z0-9._+-]";
}

const char *check_signal(const char *s, size_t n)
{
	(void)n;
	return signal_number(s) ? NULL : "must be a signal's name without SIG, like TERM";
}

bool parse_ipv4(const char *s, size_t n, uint32_t *ret)
{
	uint32_t v = 0;
	size_t i = 0;

	for (int part = 0; part < 4; part++) {
		uint32_t octet = 0;
		size_t digits = 0;

		if (part > 0 && (i >= n || s[i++] != '.'))
			return false;
		for (; i < n && isdigit((unsigned char)s[i]) && digits < 4; i++, digits++)
			octet = octet * 10 + (uint32_t)(s[i] - '0');
		if (digits == 0 || octet > 255 || (digits > 1 && s[i - digits] == '0'))
			return false;
		v = v << 8 | octet;
	}
	*ret = v;
	return i == n;
}

const char *check_ipv4(const char *s, size_t n)
{
	uint32_t v;

	return parse_ipv4(s, n, &v) ? NULL : "must be an IPv4 address";
}

bool parse_cidr(const char *s, size_t n, uint32_t *addr, unsigned *bits)
{
	const char *slash = memchr(s, '/', n);
	uint64_t v;

	if (!slash || !parse_ipv4(s, (size_t)(slash - s), addr) ||
		!isdigit((unsigned char)slash[1]) || parse_u64(slash + 1, &v, NULL) || v > 32)
		return false;
	*bits = (unsigned)v;
	return true;
}

const char *check_cidr(const char *s, size_t n)
{
	unsigned bits;
	uint32_t v;

	if (parse_cidr(s, n, &v, &bits))
		return NULL;
	return "must be an IPv4 address with prefix length, like 10.0.2.15/24";
}

bool parse_subnet(const char *s, size_t n, uint32_t *net, unsigned *bits)
{
	return parse_cidr(s, n, net, bits) && *bits >= 16 && *bits <= 30 &&
	       (*net & ~(~0u << (32 - *bits))) == 0;
}

/* Not where a host's own or nobody's addresses are. */
const char *check_subnet(const char *s, size_t n)
{
	unsigned bits;
	uint32_t net;

	if (!parse_subnet(s, n, &net, &bits))
		return "must be an IPv4 network with a prefix of 16 to 30 and no bits behind it, "
		       "like 10.87.48.0/20";
	if (net >> 24 == 0 || net >> 24 == 127 || net >> 28 >= 14 || net >> 16 == 0xa9fe)
		return "must be of addresses that machines can have (not 0/8, 127/8, 169.254/16, "
		       "224/4 or 240/4)";
	return NULL;
}

const char *check_mac(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (i % 3 == 2 ? s[i] != ':' : !strchr("0123456789abcdef", s[i]))
			return "must be six pairs of lower-case hex digits with colons between";
	return NULL;
}

static bool parse_port(const char *s, size_t n, uint16_t *ret)
{
	char digits[8];
	uint64_t v;

	if (n == 0 || n >= sizeof(digits))
		return false;
	memcpy(digits, s, n);
	digits[n] = '\0';
	if (parse_u64(digits, &v, NULL) || v == 0 || v > 65535)
		return false;
	*ret = (uint16_t)v;
	return true;
}

bool parse_publish(const char *s, uint32_t *addr, uint16_t *host, uint16_t *guest)
{
	const char *last = strrchr(s, ':'), *first = strchr(s, ':');

	*addr = 0x7f000001;
	if (!last || !parse_port(last + 1, strlen(last + 1), guest))
		return false;
	if (first == last)
		return parse_port(s, (size_t)(last - s), host);
	return parse_ipv4(s, (size_t)(first - s), addr) &&
	       parse_port(first + 1, (size_t)(last - first - 1), host);
}

bool parse_service(const char *s, size_t n, char name[SERVICE_NAME_MAX + 1], uint16_t *port)
{
	const char *colon = memchr(s, ':', n);
	size_t len = colon ? (size_t)(colon - s) : 0;

	if (len == 0 || len > SERVICE_NAME_MAX || !isalnum((unsigned char)s[0]))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!islower((unsigned char)s[i]) && !isdigit((unsigned char)s[i]) &&
			!strchr("._-", s[i]))
			return false;
	memcpy(name, s, len);
	name[len] = '\0';
	return parse_port(colon + 1, n - len - 1, port);
}

const char *check_service(const char *s, size_t n)
{
	char name[SERVICE_NAME_MAX + 1];
	uint16_t port;

	if (parse_service(s, n, name, &port))
		return NULL;
	return "must be NAME:PORT, like sshd:22; a name is of [a-z0-9._-] and at most 32 long";
}

bool parse_local(const char *s, uint32_t *addr, uint16_t *port)
{
	const char *colon = strchr(s, ':');

	return colon && parse_ipv4(s, (size_t)(colon - s), addr) && *addr >> 24 == 127 &&
	       parse_port(colon + 1, strlen(colon + 1), port);
}

const char *check_local(const char *s, size_t n)
{
	uint16_t port;
	uint32_t addr;

	(void)n;
	if (parse_local(s, &addr, &port))
		return NULL;
	return "must be an address of this host's loopback and a port, like 127.0.0.1:42069";
}

const char *check_publish(const char *s, size_t n)
{
	uint16_t host, guest;
	uint32_t addr;

	(void)n;
	return parse_publish(s, &addr, &host, &guest) ? NULL : "must be [ADDR:]HOST:GUEST";
}

static const struct {
	const char *name;
	int number;
} signals[] = {
#define S(name) { #name, SIG##name },
	S(HUP) S(INT) S(QUIT) S(ILL) S(TRAP) S(ABRT) S(BUS) S(FPE) S(KILL) S(USR1) S(SEGV) S(USR2)
	S(PIPE) S(ALRM) S(TERM) S(STKFLT) S(CHLD) S(CONT) S(STOP) S(TSTP) S(TTIN) S(TTOU) S(URG)
	S(XCPU) S(XFSZ) S(VTALRM) S(PROF) S(WINCH) S(IO) S(PWR) S(SYS)
#undef S
};

int signal_number(const char *name)
{
	uint64_t v;

	for (size_t i = 0; i < COUNT(signals); i++)
		if (str_eq(signals[i].name, name))
			return signals[i].number;
	/* real-time signals are RTMIN+n; n counts from 32, as the kernel does */
	if (strncmp(name, "RT+", 3) == 0 && !parse_u64(name + 3, &v, NULL) && v < 33)
		return 32 + (int)v;
	return 0;
}

const char *signal_word(int number)
{
	static const char *const rt[] = { "RT+0", "RT+1", "RT+2", "RT+3", "RT+4", "RT+5", "RT+6",
		"RT+7", "RT+8", "RT+9", "RT+10", "RT+11", "RT+12", "RT+13", "RT+14", "RT+15",
		"RT+16", "RT+17", "RT+18", "RT+19", "RT+20", "RT+21", "RT+22", "RT+23", "RT+24",
		"RT+25", "RT+26", "RT+27", "RT+28", "RT+29", "RT+30", "RT+31", "RT+32" };

	for (size_t i = 0; i < COUNT(signals); i++)
		if (signals[i].number == number)
			return signals[i].name;
	return number >= 32 && number < 32 + (int)COUNT(rt) ? rt[number - 32] : NULL;
}

const char *check_ssh_key(const char *s, size_t n)
{
	return sshkey_ok(s, n) ? NULL : "must be an SSH public key: its type, a space, base64";
}
