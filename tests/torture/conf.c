/*
 * torture/conf.c - the configuration is loaded while memory and system calls say no: all of it
 * comes out, or a reason.
 */
#include "tests/torture/torture.h"

#include <fcntl.h>
#include <unistd.h>

#include "conf/config.h"

static void load(void)
{
	char path[] = "/tmp/banger-torture-XXXXXX";
	static const char text[] = "vcpus: 3\nmemory: 2G\ndefault_kernel: mine\n";
	const char *files[CONF_FILES] = { "/nowhere/config.yaml", path };
	struct why why = { .text = "" };
	struct conf c;
	int fd;

	torture_off();
	fd = mkstemp(path);
	must(fd >= 0 && write(fd, text, sizeof(text) - 1) == (ssize_t)sizeof(text) - 1);
	close(fd);
	torture_on();
	if (conf_load_from(&c, files, &why) == OK) {
		torture_must(c.v.vcpus == 3 && c.v.memory == 2 * GiB);
		torture_must(strcmp(c.v.default_kernel, "mine") == 0);
		torture_must(strcmp(c.v.default_image, "debian") == 0);
	} else {
		torture_must(torture_struck() && why.text[0]);
	}
	conf_done(&c);
	torture_off();
	must(unlink(path) == 0);
	torture_on();
}

static const struct scenario scenarios[] = {
	{ .name = "a configuration is loaded", .run = load },
};

TORTURE(scenarios)
