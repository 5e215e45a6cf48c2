/*
 * unit/places.c - where things lie: which variable wins, and which directories are not taken.
 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/places.h"
#include "sys/beneath.h"

static const char *const variables[] = { "BANGER_CONFIG_DIR", "BANGER_STATE_DIR",
	"BANGER_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "HOME" };

struct dir {
	char path[64];
};

static int setup(void **state)
{
	struct dir *d = calloc(1, sizeof(*d));

	assert_non_null(d);
	snprintf(d->path, sizeof(d->path), "/tmp/banger-places-XXXXXX");
	assert_non_null(mkdtemp(d->path));
	for (size_t i = 0; i < COUNT(variables); i++)
		unsetenv(variables[i]);
	setenv("HOME", d->path, 1);
	*state = d;
	return 0;
}

static int teardown(void **state)
{
	struct dir *d = *state;
	own_fd tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct why why;
	enum err e = remove_tree(tmp, d->path + strlen("/tmp/"), &why);

	free(d);
	return (int)e;
}

static void check_place(enum err e, const struct place *p, const char *dir, const char *rest)
{
	char want[PLACE_BYTES];

	assert_int_equal(e, OK);
	snprintf(want, sizeof(want), "%s%s", dir, rest);
	assert_string_equal(p->path, want);
}

static void who_wins(void **state)
{
	const char *home = ((struct dir *)*state)->path;
	struct place p;
	struct why why;

	check_place(place_config(&p, &why), &p, home, "/.config/banger");
	check_place(place_state(&p, &why), &p, home, "/.local/state/banger");
	setenv("XDG_CONFIG_HOME", "relative", 1); /* ignored, as its specification says */
	check_place(place_config(&p, &why), &p, home, "/.config/banger");
	setenv("XDG_CONFIG_HOME", "", 1);
	check_place(place_config(&p, &why), &p, home, "/.config/banger");
	setenv("XDG_CONFIG_HOME", "/x/conf", 1);
	setenv("XDG_STATE_HOME", "/x/state/", 1);
	setenv("XDG_RUNTIME_DIR", "/x/run", 1);
	check_place(place_config(&p, &why), &p, "/x/conf", "/banger");
	check_place(place_state(&p, &why), &p, "/x/state", "/banger");
	check_place(place_runtime(&p, &why), &p, "/x/run", "/banger");
	setenv("BANGER_CONFIG_DIR", "/c///", 1);
	setenv("BANGER_STATE_DIR", "/s", 1);
	setenv("BANGER_RUNTIME_DIR", "/r", 1);
	check_place(place_config(&p, &why), &p, "/c", "");
	check_place(place_state(&p, &why), &p, "/s", "");
	check_place(place_runtime(&p, &why), &p, "/r", "");
	unsetenv("HOME"); /* no longer asked */
	check_place(place_config(&p, &why), &p, "/c", "");
}

static void refused(void **state)
{
	char longest[PLACE_BYTES + 8];
	struct place p;
	struct why why;

	(void)state;
	setenv("BANGER_STATE_DIR", "relative", 1);
	assert_int_equal(place_state(&p, &why), ERR_invalid_value);
	assert_string_equal(why.field, "BANGER_STATE_DIR");
	unsetenv("BANGER_STATE_DIR");
	unsetenv("HOME");
	assert_int_equal(place_state(&p, &why), ERR_invalid_value);
	assert_string_equal(why.field, "HOME");
	assert_non_null(strstr(why.hint, "BANGER_STATE_DIR"));
	setenv("HOME", "/nowhere/at/all", 1);
	assert_int_equal(place_config(&p, &why), ERR_not_found);
	setenv("HOME", "here", 1);
	assert_int_equal(place_config(&p, &why), ERR_invalid_value);
	memset(longest, 'x', sizeof(longest) - 1);
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	setenv("BANGER_CONFIG_DIR", longest, 1);
	assert_int_equal(place_config(&p, &why), ERR_too_large);
}

static struct place beneath(const char *dir, const char *name)
{
	struct place d, p;
	struct why why;

	assert_true(strlen(dir) < sizeof(d.path));
	memcpy(d.path, dir, strlen(dir) + 1);
	assert_int_equal(place_beneath(&p, &d, name, &why), OK);
	return p;
}

static void made_for_us_alone(void **state)
{
	const char *home = ((struct dir *)*state)->path;
	struct place p = beneath(home, "a/b/c"), up = beneath(home, "a");
	struct stat st;
	struct why why;

	assert_int_equal(place_make(&p, &why), OK);
	assert_int_equal(place_make(&p, &why), OK);
	assert_int_equal(stat(p.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(stat(up.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(chmod(p.path, 0755), 0);
	assert_int_equal(place_make(&p, &why), OK);
	assert_int_equal(chmod(p.path, 0770), 0);
	assert_int_equal(place_make(&p, &why), ERR_not_owned);
	assert_non_null(strstr(why.text, "chmod"));
}

static void not_ours(void **state)
{
	const char *home = ((struct dir *)*state)->path;
	struct place dir = beneath(home, "d"), link = beneath(home, "l"), file = beneath(home, "f");
	struct place below = beneath(home, "f/x");
	struct why why;
	int fd;

	assert_int_equal(mkdir(dir.path, 0700), 0);
	assert_int_equal(symlink("d", link.path), 0);
	assert_int_equal(place_make(&link, &why), OK); /* our own link to our own directory */
	assert_int_equal(unlink(link.path), 0);
	assert_int_equal(symlink("nowhere", link.path), 0);
	assert_int_not_equal(place_make(&link, &why), OK);
	fd = open(file.path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	close(fd);
	assert_int_not_equal(place_make(&file, &why), OK);
	assert_int_not_equal(place_make(&below, &why), OK);
	if (geteuid() != 0)
		return;
	assert_int_equal(chown(dir.path, 12345, 12345), 0);
	assert_int_equal(place_make(&dir, &why), ERR_not_owned);
	assert_int_equal(unlink(link.path), 0);
	assert_int_equal(symlink("d", link.path), 0);
	assert_int_equal(place_make(&link, &why), ERR_not_owned);
	assert_int_equal(chown(dir.path, 0, 0), 0);
	assert_int_equal(lchown(link.path, 12345, 12345), 0);
	assert_int_equal(place_make(&link, &why), ERR_not_owned);
}

static void sockets(void **state)
{
	char deep[128];
	struct place p;
	struct why why;
	bool system = true;

	(void)state;
	setenv("BANGER_RUNTIME_DIR", "/r", 1);
	check_place(place_socket(&p, &system, &why), &p, "/r/", SOCKET_NAME);
	assert_false(system);
	memset(deep, 'd', sizeof(deep) - 1);
	deep[0] = '/';
	deep[sizeof(deep) - 1] = '\0';
	setenv("BANGER_RUNTIME_DIR", deep, 1);
	assert_int_equal(place_socket(&p, &system, &why), ERR_too_large);
	assert_non_null(strstr(why.hint, "BANGER_RUNTIME_DIR"));
}

#define IN_DIR(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_DIR(who_wins),
		IN_DIR(refused),
		IN_DIR(made_for_us_alone),
		IN_DIR(not_ours),
		IN_DIR(sockets),
	};

	return RUN(tests);
}
