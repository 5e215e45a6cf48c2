/*
 * kernel_collect.c - finds the kernel and its modules in a Debian package or in a tar.
 *
 * Paths decide: boot/vmlinuz-*, vmlinuz or vmlinux for the kernel, [usr/]lib/modules/RELEASE/ for
 * the modules. Anything else is passed over.
 */
#include <archive_entry.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/kernel.h"
#include "worker/unpack.h"

enum { IMAGE_MAX = 512 * 1024 * 1024, ENTRIES_MAX = 262144 };

static bool begins(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

static const char *clean(const char *path)
{
	while (path[0] == '/' || (path[0] == '.' && path[1] == '/'))
		path++;
	return path;
}

/* The path beneath RELEASE, and RELEASE; NULL when it is no file of modules. */
static const char *below_modules(const char *path, char *release, size_t size)
{
	size_t n;

	if (begins(path, "usr/"))
		path += 4;
	if (!begins(path, "lib/modules/"))
		return NULL;
	path += strlen("lib/modules/");
	n = strcspn(path, "/");
	if (n == 0 || n >= size || path[n] != '/' || path[n + 1] == '\0')
		return NULL;
	memcpy(release, path, n);
	release[n] = '\0';
	return path + n + 1;
}

static bool is_kernel(const char *path)
{
	if (begins(path, "boot/"))
		path += 5;
	return str_eq(path, "vmlinuz") || str_eq(path, "vmlinux") || str_eq(path, "bzImage") ||
		(begins(path, "vmlinuz-") && !strchr(path, '/')) ||
		(begins(path, "vmlinux-") && !strchr(path, '/'));
}

static enum err same_release(struct kernel *k, const char *release, struct why *why)
{
	if (k->mods.release[0] == '\0')
		snprintf(k->mods.release, sizeof(k->mods.release), "%s", release);
	if (!str_eq(k->mods.release, release))
		return fail(why, ERR_invalid_value, "modules of two kernels: %.60s and %.60s",
			k->mods.release, release);
	return OK;
}

enum err kernel_take_image(struct kernel *k, struct source *s, struct why *why)
{
	enum err e;

	if (k->image >= 0) {
		fail(why, ERR_invalid_value, "it holds more than one kernel");
		return fail_hint(why, "pass a package or tar with one");
	}
	e = job_temp(k->job, &k->image, why);
	return e ? e : source_save(s, k->image, &k->image_n, why);
}

static bool has_dots(const char *path)
{
	while (*path) {
		size_t n = strcspn(path, "/");

		if (n == 0 || (n == 1 && path[0] == '.') || (n == 2 && strncmp(path, "..", 2) == 0))
			return true;
		path += n + (path[n] == '/');
	}
	return false;
}

static enum err take_module_file(struct kernel *k, const char *path, const char *release,
	struct archive_entry *e, struct source *data, struct why *why)
{
	struct timespec mtime = { archive_entry_mtime(e), archive_entry_mtime_nsec(e) };
	enum err err = same_release(k, release, why);

	if (!err && has_dots(path))
		err = fail(why, ERR_invalid_value, "its path holds '.' or '..'");
	if (!err)
		err = modset_add(&k->mods, path, 0644, mtime, data, why);
	return err;
}

static enum err take_entry(struct kernel *k, struct archive *a, struct source *s,
	struct archive_entry *e, const char *path, struct why *why)
{
	char release[sizeof(k->mods.release)];
	const char *below = below_modules(path, release, sizeof(release));
	bool kernel = is_kernel(path) || (below && str_eq(below, "vmlinuz"));
	int64_t size = archive_entry_size(e);
	struct entry_source *data;
	enum err err;

	if (archive_entry_filetype(e) != AE_IFREG || archive_entry_hardlink(e) ||
		(!kernel && !below))
		return OK;
	if (size < 0 || (uint64_t)size > k->ask.content_max - MIN(k->content, k->ask.content_max) ||
		(kernel && size > IMAGE_MAX))
		return fail(why, ERR_too_large, "%lld bytes are over the ceiling", (long long)size);
	k->content += (uint64_t)size;
	data = calloc(1, sizeof(*data));
	if (!data)
		return fail(why, ERR_no_memory, "no memory to unpack");
	entry_source_init(data, a, s, (uint64_t)size);
	err = kernel ? kernel_take_image(k, &data->s, why) :
		       take_module_file(k, below, release, e, &data->s, why);
	free(data);
	return err;
}

static enum err collect(struct kernel *k, struct archive *a, struct source *s, struct why *why)
{
	struct archive_entry *e = NULL;
	enum err err;

	for (;;) {
		const char *path;

		err = next_entry(a, s, &e, why);
		if (err)
			return err;
		if (!e)
			return check_end(a, why);
		if (++k->entries > ENTRIES_MAX)
			return fail(why, ERR_too_large, "more than %d entries", ENTRIES_MAX);
		path = archive_entry_pathname(e);
		if (path && take_entry(k, a, s, e, clean(path), why))
			return fail_entry(why, path);
		err = check_ratio(a, k->ask.content_max + k->ask.content_max / 4 + GiB, why);
		if (err)
			return err;
		job_tick(k->job, k->content, NULL);
	}
}

enum err kernel_collect_tar(struct kernel *k, struct source *s, struct why *why)
{
	own_archive a = NULL;
	enum err e = open_tar(s, &a, why);

	return e ? e : collect(k, a, s, why);
}

/* A package is an ar of three: version, control, and data, which is the tar. */
enum err kernel_collect_deb(struct kernel *k, struct source *s, struct why *why)
{
	own_archive a = NULL;
	struct archive_entry *e = NULL;
	struct entry_source *data;
	enum err err = open_any(s, &a, why);

	while (!err) {
		const char *path;

		err = next_entry(a, s, &e, why);
		if (err)
			break;
		if (!e)
			return fail(why, ERR_invalid_value, "a package without data");
		path = archive_entry_pathname(e);
		if (path && begins(path, "data.tar"))
			break;
	}
	if (err)
		return err;
	data = calloc(1, sizeof(*data));
	if (!data)
		return fail(why, ERR_no_memory, "no memory to unpack");
	entry_source_init(data, a, s, 0);
	err = kernel_collect_tar(k, &data->s, why);
	free(data);
	return err;
}
