/*
 * identity.c - /etc/hostname, /etc/hosts and /etc/resolv.conf of the image, written only where
 * their content is not yet what it should be.
 */
#include "agent/identity.h"

#include <fcntl.h>
#include <unistd.h>

#include "agent/image.h"

enum { FILE_BYTES_MAX = 262144 };

bool hosts_has(const char *text, const char *name)
{
	size_t n = strlen(name);

	while (*text) {
		const char *end = text + strcspn(text, "\n");
		const char *hash = memchr(text, '#', (size_t)(end - text));
		const char *stop = hash ? hash : end, *at = text;
		bool first = true;

		while (at < stop) {
			size_t word;

			at += strspn(at, " \t\r");
			word = strcspn(at, " \t\r\n#");
			if (!first && word == n && memcmp(at, name, n) == 0 && at + n <= stop)
				return true;
			first = false;
			at += word;
			if (word == 0)
				break;
		}
		text = *end ? end + 1 : end;
	}
	return false;
}

static bool same(int root, const char *path, const struct buf *want)
{
	own_buf have = { 0 };

	return image_read(root, path, FILE_BYTES_MAX, &have, NULL) == OK && have.n == want->n &&
	       memcmp(have.p, want->p, want->n) == 0;
}

static void replace(int root, const char *path, struct buf *want, bool over_link,
	struct warnings *w)
{
	struct why why;

	if (want->failed)
		warn(w, "no memory for the image's %s", path);
	else if (!same(root, path, want) &&
		 image_write(root, path, want->p, want->n, 0644, over_link, &why))
		warn(w, "%s", why.text);
}

static void write_hosts(int root, const char *name, struct warnings *w)
{
	own_buf text = { 0 };
	own_buf have = { 0 };

	buf_init(&text, FILE_BYTES_MAX);
	if (image_read(root, "/etc/hosts", FILE_BYTES_MAX, &have, NULL) != OK || have.n == 0)
		buf_str(&have, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
	if (hosts_has(buf_cstr(&have), name))
		return;
	buf_add(&text, have.p, have.n);
	if (text.n > 0 && text.p[text.n - 1] != '\n')
		buf_str(&text, "\n");
	buf_fmt(&text, "127.0.1.1\t%s\n", name);
	replace(root, "/etc/hosts", &text, false, w);
}

/* A link whose target is away, or is a resolver's that does not run yet, gives way to a file. */
static bool is_stale_link(int root, const char *path)
{
	static const char stub[] = "run/systemd/";
	char text[4096];
	own_fd link = image_open(root, path, O_PATH | O_NOFOLLOW);
	own_fd file = image_open(root, path, O_PATH);
	ssize_t n = link < 0 ? -1 : readlinkat(link, "", text, sizeof(text) - 1);

	if (n < 0)
		return false;
	text[n] = '\0';
	return file < 0 || strstr(text, stub) != NULL;
}

static void write_resolv(int root, const struct conf *c, struct warnings *w)
{
	static const char path[] = "/etc/resolv.conf";
	own_buf text = { 0 };

	for (unsigned i = 0; i < c->dns_n; i++)
		buf_fmt(&text, "nameserver %u.%u.%u.%u\n", c->dns[i] >> 24, c->dns[i] >> 16 & 255,
			c->dns[i] >> 8 & 255, c->dns[i] & 255);
	replace(root, path, &text, is_stale_link(root, path), w);
}

void identity_setup(int root, const struct conf *c, struct warnings *w)
{
	own_fd etc = -1;

	if (!c->name[0] && c->dns_n == 0)
		return;
	etc = image_dir(root, "/etc", 0, 0);
	if (etc < 0)
		warn(w, "cannot make the image's /etc: %s", strerror(errno));
	if (c->name[0]) {
		own_buf text = { 0 };

		if (sethostname(c->name, strlen(c->name)) < 0)
			warn(w, "cannot set the host name: %s", strerror(errno));
		buf_fmt(&text, "%s\n", c->name);
		replace(root, "/etc/hostname", &text, false, w);
		write_hosts(root, c->name, w);
	}
	if (c->dns_n > 0)
		write_resolv(root, c, w);
}
