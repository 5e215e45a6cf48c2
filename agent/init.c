/*
 * init.c - finds the image's init and becomes it.
 *
 * Links in images are absolute and are resolved inside the image. The text of the link tells
 * systemd from others.
 */
#include "agent/init.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/image.h"
#include "agent/spawn.h"

static const char *const places[] = { "/sbin/init", "/lib/systemd/systemd",
	"/usr/lib/systemd/systemd", "/etc/init", "/bin/init", "/init" };

static bool names_systemd(int root, const char *path)
{
	char text[4096];
	own_fd fd = image_open(root, path, O_PATH | O_NOFOLLOW);
	ssize_t n = fd < 0 ? -1 : readlinkat(fd, "", text, sizeof(text) - 1);
	const char *s = path, *last;

	if (n > 0) {
		text[n] = '\0';
		s = text;
	}
	last = strrchr(s, '/');
	return str_eq(last ? last + 1 : s, "systemd");
}

static bool is_program(int root, const char *path)
{
	own_fd fd = image_open(root, path, O_PATH);
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111);
}

enum init_kind init_find(int root, const char **ret_path)
{
	for (size_t i = 0; i < COUNT(places); i++) {
		if (!is_program(root, places[i]))
			continue;
		*ret_path = places[i];
		return names_systemd(root, places[i]) ? init_kind_systemd : init_kind_other;
	}
	*ret_path = NULL;
	return init_kind_none;
}

void init_become(const char *at, const char *path)
{
	char first[256];
	char *argv[] = { first, NULL };
	char *envp[] = { (char[]){ "HOME=/" }, (char[]){ "TERM=linux" },
		(char[]){ DEFAULT_PATH }, NULL };

	snprintf(first, sizeof(first), "%s", path);
	if (chdir(at) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
		chdir("/") < 0)
		return;
	execve(path, argv, envp);
}
