/*
 * config.c - defaults, then each file over it. The defaults are a document of the same kind, so
 * that they pass the same checks.
 */
#include "conf/config.h"

#include "base/text.h"
#include "conf/yaml.h"
#include "proto/check.h"

static const char defaults[] = "default_image: debian\n"
			       "vcpus: 2\n"
			       "memory: 1G\n"
			       "disk: 8G\n"
			       "driver: auto\n"
			       "accel: auto\n"
			       "net: nat\n"
			       "subnet: " SUBNET_DEFAULT "\n"
			       "layer: auto\n"
			       "boot_timeout_ms: 5m\n"
			       "stop_timeout_ms: 10s\n"
			       "layer_cache: 8G\n"
			       "pull_timeout_ms: 30s\n"
			       "dns_listen: 127.0.0.1:42069\n"
			       "log_level: info\n";

/* A machine without a guest is one that was asked for by name, never by habit. */
static enum err check_driver(
	const struct conf *c, const char *file, const uint32_t *lines, struct why *why)
{
	const struct field *f = shape_field(&shape_config, "driver");

	must(f);
	if (!c->v.has_driver || c->v.driver != driver_stub)
		return OK;
	fail_field(why, ERR_invalid_value, "driver",
		"%.200s:%u: driver: stub machines run no guest, and are no default", file,
		lines[f - shape_config.fields]);
	return fail_hint(why, "write auto, qemu or firecracker");
}

static enum err load_file(struct conf *c, const char *file, struct why *why)
{
	uint32_t lines[CONF_KEYS_MAX] = { 0 };
	own_buf text = { 0 };
	bool there;
	enum err e = yaml_file(file, YAML_OURS, &text, &there, why);

	if (!e && there)
		e = yaml_read(&shape_config, file, (struct bytes){ text.p, text.n }, &c->mem, &c->v,
			lines, why);
	if (!e && there)
		e = check_driver(c, file, lines, why);
	for (uint32_t i = 0; !e && i < shape_config.count; i++)
		if (lines[i])
			c->from[i] = (struct conf_origin){ file, lines[i] };
	return e;
}

enum err conf_load_from(struct conf *c, const char *const files[CONF_FILES], struct why *why)
{
	struct bytes built_in = { (const uint8_t *)defaults, sizeof(defaults) - 1 };
	enum err e = OK;

	must(shape_config.count <= CONF_KEYS_MAX);
	memset(c, 0, sizeof(*c));
	arena_init(&c->mem, MiB);
	for (int i = 0; !e && i < CONF_FILES && files[i]; i++)
		if (!str_copy(c->files[i].path, sizeof(c->files[i].path), files[i]))
			e = fail(why, ERR_too_large, "the path %.60s... is too long", files[i]);
	if (!e)
		e = yaml_read(&shape_config, "defaults", built_in, &c->mem, &c->v, NULL, why);
	for (int i = 0; !e && i < CONF_FILES && files[i]; i++)
		e = load_file(c, c->files[i].path, why);
	return e;
}

enum err conf_load(struct conf *c, struct why *why)
{
	const char *files[CONF_FILES] = { SYSTEM_CONFIG_FILE, NULL };
	struct place dir, file;
	enum err e = place_config(&dir, why);

	if (!e)
		e = place_beneath(&file, &dir, "config.yaml", why);
	if (e) {
		memset(c, 0, sizeof(*c)); /* so that conf_done finds nothing */
		return e;
	}
	files[1] = file.path;
	return conf_load_from(c, files, why);
}

void conf_done(struct conf *c)
{
	arena_done(&c->mem);
}
