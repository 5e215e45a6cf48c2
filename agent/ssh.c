/*
 * ssh.c - agent.ssh: lets a key log in, and tells what the guest's ssh server identifies itself
 * with (row B11). The image's files are read as what they are: its user may have written them.
 */
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "agent/authorized.h"
#include "agent/handlers.h"
#include "agent/image.h"
#include "agent/later.h"
#include "agent/sockets.h"
#include "base/log.h"
#include "base/sshkey.h"

enum { HOST_KEYS_MAX = 16, ENTRIES_MAX = 1024, FILE_BYTES_MAX = 16384 };

static bool is_host_key(const char *name)
{
	static const char front[] = "ssh_host_", back[] = "_key.pub";
	size_t n = strlen(name);

	return n > sizeof(front) + sizeof(back) - 2 &&
	       memcmp(name, front, sizeof(front) - 1) == 0 &&
	       str_eq(name + n - (sizeof(back) - 1), back);
}

/* The key of one file; NULL when it holds none. */
static const char *read_key(int root, const char *name, struct arena *a)
{
	own_buf text = { 0 };
	char path[300], key[SSHKEY_BYTES_MAX + 1];

	snprintf(path, sizeof(path), "/etc/ssh/%s", name);
	if (image_read(root, path, FILE_BYTES_MAX, &text, NULL) ||
		!sshkey_of_file(buf_cstr(&text), key))
		return NULL;
	return arena_str(a, key);
}

static void host_keys(int root, struct arena *a, struct agent_ssh_said *said)
{
	own_dir dir = NULL;
	struct dirent *e;
	int fd = image_open(root, "/etc/ssh", O_RDONLY | O_DIRECTORY);

	said->host_keys.v = arena_take(a, HOST_KEYS_MAX * sizeof(*said->host_keys.v));
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (fd >= 0 && !dir)
		close(fd);
	for (int i = 0; dir && said->host_keys.v && i < ENTRIES_MAX; i++) {
		const char *key;

		e = readdir(dir);
		if (!e || said->host_keys.n == HOST_KEYS_MAX)
			return;
		key = is_host_key(e->d_name) ? read_key(root, e->d_name, a) : NULL;
		if (key)
			said->host_keys.v[said->host_keys.n++] = key;
	}
}

static bool has_server(int root)
{
	static const char *const places[] = { "/usr/sbin/sshd", "/usr/bin/sshd",
		"/usr/local/sbin/sshd", "/sbin/sshd", "/usr/sbin/dropbear", "/usr/bin/dropbear" };

	for (size_t i = 0; i < COUNT(places); i++) {
		own_fd fd = image_open(root, places[i], O_PATH);

		if (fd >= 0)
			return true;
	}
	return false;
}

/* The user must get it. That root has it as well is for those who log in as root; an image whose
 * root has no place for it is no worse for that. */
static enum err install(
	int root, const struct account *who, const char *key, struct arena *a, struct why *why)
{
	struct account admin;
	struct why lesser;
	enum err e = authorized_install(root, who, key, why);

	if (e || who->uid == 0)
		return e;
	if (account_find(root, NULL, a, &admin, &lesser) ||
		authorized_install(root, &admin, key, &lesser))
		log_line(LOG_INFO, "ssh", "no key for root", "why", lesser.text, NULL);
	return OK;
}

static void answer_ssh(struct session *s, uint32_t msgid, const void *body, bool mounted UNUSED)
{
	const struct agent_ssh *x = body;
	int root = s->agent->root;
	struct agent_ssh_said said = { .init = s->agent->init != init_kind_none };
	struct account who;
	struct why why;
	enum err e = account_find(root, x->user, &s->arena, &who, &why);

	if (!e && x->ssh_key)
		e = install(root, &who, x->ssh_key, &s->arena, &why);
	if (e) {
		refuse(s, msgid, &why);
		return;
	}
	said.user = who.name;
	said.server = has_server(root);
	said.listens = sockets_serve(22);
	host_keys(root, &s->arena, &said);
	answer(s, msgid, LETTER_agent_ssh, &said);
}

/* Before the init has mounted its filesystems, what is written to a home might be hidden later. An
 * init that never gets there is no reason not to answer. */
void on_ssh(const struct request *r)
{
	if (mounted_now(r->session->agent))
		answer_ssh(r->session, r->msgid, r->body, true);
	else
		later_when_mounted(r, answer_ssh);
}
