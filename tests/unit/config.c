/*
 * unit/config.c - configuration files: what wins, where each value came from, and what is refused.
 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/config.h"
#include "conf/yaml.h"
#include "sys/beneath.h"

struct place_of {
	char path[64], system[96], user[96];
	struct conf c;
	struct why why;
};

static int setup(void **state)
{
	struct place_of *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	snprintf(p->path, sizeof(p->path), "/tmp/banger-conf-XXXXXX");
	assert_non_null(mkdtemp(p->path));
	snprintf(p->system, sizeof(p->system), "%s/system.yaml", p->path);
	snprintf(p->user, sizeof(p->user), "%s/user.yaml", p->path);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place_of *p = *state;
	own_fd tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct why why;
	enum err e = remove_tree(tmp, p->path + strlen("/tmp/"), &why);

	free(p);
	return (int)e;
}

static void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, 0600), 0);
}

static enum err load(struct place_of *p)
{
	const char *files[CONF_FILES] = { p->system, p->user };

	return conf_load_from(&p->c, files, &p->why);
}

static const struct conf_origin *origin(struct place_of *p, const char *key)
{
	for (uint32_t i = 0; i < shape_config.count; i++)
		if (str_eq(shape_config.fields[i].name, key))
			return &p->c.from[i];
	check_row(false, "no key %s", key);
	return NULL;
}

static void defaults_alone(void **state)
{
	struct place_of *p = *state;

	assert_int_equal(load(p), OK);
	assert_string_equal(p->c.v.default_image, "debian");
	assert_true(p->c.v.has_vcpus && p->c.v.vcpus == 2);
	assert_true(p->c.v.has_memory && p->c.v.memory == GiB);
	assert_true(p->c.v.has_boot_timeout_ms && p->c.v.boot_timeout_ms == 300000);
	assert_null(p->c.v.default_kernel);
	assert_null(p->c.v.qemu_bin);
	for (uint32_t i = 0; i < shape_config.count; i++)
		assert_null(p->c.from[i].file);
	conf_done(&p->c);
}

static void the_later_file_wins(void **state)
{
	struct place_of *p = *state;

	write_text(p->system, "vcpus: 3\nmemory: 512M\n");
	write_text(p->user, "# mine\n\nmemory: 2G\nstop_timeout_ms: 1500\n");
	assert_int_equal(load(p), OK);
	assert_int_equal(p->c.v.vcpus, 3);
	assert_int_equal(p->c.v.memory, 2 * GiB);
	assert_int_equal(p->c.v.stop_timeout_ms, 1500);
	assert_string_equal(origin(p, "vcpus")->file, p->system);
	assert_int_equal(origin(p, "vcpus")->line, 1);
	assert_string_equal(origin(p, "memory")->file, p->user);
	assert_int_equal(origin(p, "memory")->line, 3);
	assert_null(origin(p, "disk")->file);
	conf_done(&p->c);
}

/* Each is refused with the place, and for a key, with its name. */
static void refused(void **state)
{
	static const struct {
		const char *text, *place, *field;
	} rows[] = {
		{ "vcpu: 2\n", ":1:1: ", "vcpu" },
		{ "vcpus: 2\nvcpus: 2\n", ":2:1: ", "vcpus" },
		{ "vcpus: two\n", ":1:8: ", NULL },
		{ "vcpus: 0\n", ":1:8: ", "vcpus" },
		{ "vcpus: 65\n", ":1:8: ", "vcpus" },
		{ "vcpus: -1\n", ":1:8: ", NULL },
		{ "vcpus: 010\n", ":1:8: ", NULL },
		{ "vcpus: 0x2\n", ":1:8: ", NULL },
		{ "vcpus: '2'\n", ":1:8: ", "vcpus" },
		{ "vcpus: 1.5\n", ":1:8: ", NULL },
		{ "vcpus: [2]\n", ":1:8: ", "vcpus" },
		{ "vcpus: {a: 2}\n", ":1:8: ", "vcpus" },
		{ "vcpus:\n", ":1:", "vcpus" },
		{ "vcpus: ~\n", ":1:8: ", "vcpus" },
		{ "vcpus: &a 2\n", ":1:8: ", NULL },
		{ "vcpus: *a\n", ":1:8: ", NULL },
		{ "vcpus: !!int 2\n", ":1:8: ", NULL },
		{ "memory: 1K\n", ":1:9: ", "memory" },
		{ "driver: quemu\n", ":1:9: ", "driver" },
		{ "\ndriver: stub\n", ":2: ", "driver" },
		{ "qemu_bin: qemu\n", ":1:11: ", "qemu_bin" },
		{ "boot_timeout_ms: 30\n", ":1:18: ", "boot_timeout_ms" },
		{ "- vcpus\n", ":1:1: ", NULL },
		{ "vcpus: 2\n---\nvcpus: 3\n", ":2:1: ", NULL },
		{ "vcpus: [\n", ":", NULL },
		{ "default_image: \"a\\0b\"\n", ":1:16: ", "default_image" },
		{ "\xff\xfe\xfd\n", ":", NULL },
		{ "default_image: \"\xc3\x28\"\n", ":", NULL },
	};
	struct place_of *p = *state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		char want[160];

		write_text(p->user, rows[i].text);
		check_row(load(p) != OK, "%s", rows[i].text);
		snprintf(want, sizeof(want), "%s%s", p->user, rows[i].place);
		check_row(strncmp(p->why.text, want, strlen(want)) == 0, "%s: %s", rows[i].text,
			p->why.text);
		if (rows[i].field)
			check_row(str_eq(p->why.field, rows[i].field), "%s: %s", rows[i].text,
				p->why.field);
		conf_done(&p->c);
	}
}

static void says_what_was_meant(void **state)
{
	struct place_of *p = *state;

	write_text(p->user, "vcpu: 2\n");
	assert_int_equal(load(p), ERR_unknown_field);
	assert_non_null(strstr(p->why.hint, "vcpus"));
	conf_done(&p->c);
	write_text(p->user, "driver: qmeu\n");
	assert_int_equal(load(p), ERR_invalid_value);
	assert_non_null(strstr(p->why.hint, "qemu"));
	conf_done(&p->c);
}

static void empty_is_fine(void **state)
{
	static const char *const texts[] = { "", "\n", "# nothing\n", "---\n", "{}\n" };
	struct place_of *p = *state;

	for (size_t i = 0; i < COUNT(texts); i++) {
		write_text(p->user, texts[i]);
		check_row(load(p) == OK, "%zu: %s", i, p->why.text);
		assert_int_equal(p->c.v.vcpus, 2);
		conf_done(&p->c);
	}
}

static void files_of_others(void **state)
{
	struct place_of *p = *state;
	FILE *f;

	write_text(p->user, "vcpus: 2\n");
	assert_int_equal(chmod(p->user, 0602), 0);
	assert_int_equal(load(p), ERR_not_owned);
	conf_done(&p->c);
	assert_int_equal(unlink(p->user), 0);
	assert_int_equal(mkdir(p->user, 0700), 0);
	assert_int_equal(load(p), ERR_invalid_type);
	conf_done(&p->c);
	assert_int_equal(rmdir(p->user), 0);
	assert_int_equal(mkfifo(p->user, 0600), 0); /* and nobody waits for its writer */
	assert_int_equal(load(p), ERR_invalid_type);
	conf_done(&p->c);
	assert_int_equal(unlink(p->user), 0);
	f = fopen(p->user, "we");
	assert_non_null(f);
	for (int i = 0; i < YAML_BYTES_MAX / 16 + 1; i++)
		fputs("# a line of it\n\n", f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(load(p), ERR_too_large);
	conf_done(&p->c);
}

#define IN_PLACE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_PLACE(defaults_alone),
		IN_PLACE(the_later_file_wins),
		IN_PLACE(refused),
		IN_PLACE(says_what_was_meant),
		IN_PLACE(empty_is_fine),
		IN_PLACE(files_of_others),
	};

	umask(022);
	return RUN(tests);
}
