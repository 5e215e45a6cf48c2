/*
 * modules.c - finit_module in the order of a list, and the read-only disk of further modules.
 */
#include "agent/modules.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent/disk.h"
#include "agent/image.h"

static void load(const char *name, struct warnings *w)
{
	char path[300];
	own_fd fd = -1;

	if (strchr(name, '/') || snprintf(path, sizeof(path), "/modules/%s", name) >= 300) {
		warn(w, "/modules.list names no plain file: %.60s", name);
		return;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
		warn(w, "cannot load module %s: %s", name, strerror(errno));
}

void modules_load(struct warnings *w)
{
	own_file list = fopen("/modules.list", "re");
	char line[256];

	while (list && fgets(line, sizeof(line), list)) {
		line[strcspn(line, "#\r\n")] = '\0';
		line[strcspn(line, " \t")] = '\0';
		if (line[0])
			load(line, w);
	}
}

/* Whether the image brings modules of this kernel. */
static bool image_has(int root, const char *dir)
{
	char path[300];
	own_fd fd = -1;

	snprintf(path, sizeof(path), "%s/modules.dep", dir);
	fd = image_open(root, path, O_PATH);
	return fd >= 0;
}

enum err modules_show(int root, const char *disk, struct why *why)
{
	static const char at[] = "/modules.disk";
	char dir[200], inner[256];
	struct utsname u;
	own_fd to = -1;
	bool ro;
	enum err e;

	if (uname(&u) < 0)
		return fail_errno(why, "cannot tell the kernel's release");
	snprintf(dir, sizeof(dir), "/lib/modules/%s", u.release);
	if (image_has(root, dir))
		return OK;
	if (mkdir(at, 0755) < 0 && errno != EEXIST)
		return fail_errno(why, "cannot make %s", at);
	e = disk_mount(disk, at, true, &ro, why);
	if (e)
		return e;
	snprintf(inner, sizeof(inner), "%s%s", at, dir);
	to = image_dir(root, dir, 0, 0);
	if (to < 0)
		return fail_errno(why, "cannot make the image's %s", dir);
	if (mount(access(inner, F_OK) == 0 ? inner : at, fd_path(to).s, NULL, MS_BIND, NULL) < 0)
		return fail_errno(why, "cannot show the modules at %s", dir);
	return OK;
}
