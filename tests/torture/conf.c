/*
 * torture/conf.c - the configuration is loaded while memory and system calls say no: all of it
 * comes out, or a reason.
 */
#include "tests/torture/torture.h"

#include <fcntl.h>
#include <unistd.h>

#include "conf/catalog.h"
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

static void catalog(void)
{
	static const char text[] = "images:\n  - {name: mine, reference: a}\n";
	struct bytes b = { (const uint8_t *)text, sizeof(text) - 1 };
	struct why why = { .text = "" };
	struct conf_catalog c;

	if (catalog_read(&c, "c.yaml", b, arch_amd64, &why) == OK) {
		torture_must(strcmp(c.v.images.v[0].name, "mine") == 0);
		torture_must(c.v.images.n > 1 && c.v.kernels.n == 1);
	} else {
		torture_must(torture_struck() && why.text[0]);
	}
	catalog_done(&c);
}

static const struct scenario scenarios[] = {
	{ .name = "a configuration is loaded", .run = load },
	{ .name = "a catalog is read", .run = catalog },
};

TORTURE(scenarios)
