/*
 * fc_rules.c - the rules: a table of what each path takes, and a few checks that reach beyond it.
 *
 * A body's unknown field is refused, a missing one too, and one that the version does not have; ids
 * in a path are those of the body; files are opened when they are named; nothing is configured once
 * the machine runs.
 */
#include "tests/lib/fc_rules.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <unistd.h>

enum { KEYS_MAX = 10 };

struct key {
	const char *name;
	json_type type; /* JSON_TRUE stands for either truth value */
	bool required;
	unsigned since; /* minor version */
};

struct rule {
	const char *path; /* a final slash: an id follows, which is `id` in the body */
	const char *id;
	unsigned since;
	struct key keys[KEYS_MAX];
};

static const struct rule rules[] = {
	{ "/logger", NULL, 0,
		{ { "level", JSON_STRING, false, 0 }, { "log_path", JSON_STRING, false, 0 },
			{ "show_level", JSON_TRUE, false, 0 },
			{ "show_log_origin", JSON_TRUE, false, 0 },
			{ "module", JSON_STRING, false, 7 } } },
	{ "/metrics", NULL, 0, { { "metrics_path", JSON_STRING, true, 0 } } },
	{ "/serial", NULL, 14,
		{ { "serial_out_path", JSON_STRING, false, 14 },
			{ "rate_limiter", JSON_OBJECT, false, 16 } } },
	{ "/machine-config", NULL, 0,
		{ { "vcpu_count", JSON_INTEGER, true, 0 },
			{ "mem_size_mib", JSON_INTEGER, true, 0 }, { "smt", JSON_TRUE, false, 0 },
			{ "track_dirty_pages", JSON_TRUE, false, 0 },
			{ "huge_pages", JSON_STRING, false, 7 } } },
	{ "/boot-source", NULL, 0,
		{ { "kernel_image_path", JSON_STRING, true, 0 },
			{ "initrd_path", JSON_STRING, false, 0 },
			{ "boot_args", JSON_STRING, false, 0 } } },
	{ "/drives/", "drive_id", 0,
		{ { "drive_id", JSON_STRING, true, 0 }, { "is_root_device", JSON_TRUE, true, 0 },
			{ "path_on_host", JSON_STRING, true, 0 },
			{ "is_read_only", JSON_TRUE, true, 0 },
			{ "cache_type", JSON_STRING, false, 0 },
			{ "io_engine", JSON_STRING, false, 0 },
			{ "partuuid", JSON_STRING, false, 0 },
			{ "rate_limiter", JSON_OBJECT, false, 0 } } },
	{ "/network-interfaces/", "iface_id", 0,
		{ { "iface_id", JSON_STRING, true, 0 }, { "host_dev_name", JSON_STRING, true, 0 },
			{ "guest_mac", JSON_STRING, false, 0 },
			{ "mtu", JSON_INTEGER, false, 16 } } },
	{ "/vsock", NULL, 0,
		{ { "guest_cid", JSON_INTEGER, true, 0 }, { "uds_path", JSON_STRING, true, 0 } } },
	{ "/entropy", NULL, 4, { { "rate_limiter", JSON_OBJECT, false, 4 } } },
	{ "/actions", NULL, 0, { { "action_type", JSON_STRING, true, 0 } } },
};

struct answer {
	char *out;
	size_t size;
	unsigned status;
};

static void fault(struct answer *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void fault(struct answer *a, const char *fmt, ...)
{
	char text[512];
	json_t *o;
	char *body;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	o = json_pack("{s:s}", "fault_message", text);
	body = json_dumps(o, JSON_COMPACT);
	snprintf(a->out, a->size, "%s", body ? body : "{}");
	free(body);
	json_decref(o);
	a->status = 400;
}

static bool fits(json_type want, json_t *v)
{
	return want == JSON_TRUE ? json_is_boolean(v) : json_typeof(v) == want;
}

static bool check_keys(const struct fc_state *s, const struct rule *r, json_t *o, struct answer *a)
{
	const char *name;
	json_t *v;

	json_object_foreach(o, name, v)
	{
		const struct key *k = r->keys;

		while (k < r->keys + KEYS_MAX && k->name && strcmp(k->name, name) != 0)
			k++;
		if (k == r->keys + KEYS_MAX || !k->name || k->since > s->minor) {
			fault(a, "unknown field `%s`", name);
			return false;
		}
		if (!fits(k->type, v)) {
			fault(a, "invalid type for `%s`", name);
			return false;
		}
	}
	for (const struct key *k = r->keys; k < r->keys + KEYS_MAX && k->name; k++)
		if (k->required && !json_object_get(o, k->name)) {
			fault(a, "missing field `%s`", k->name);
			return false;
		}
	return true;
}

static const char *text_of(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static json_int_t number_of(json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static bool opens(const char *path, bool writable, struct answer *a)
{
	own_fd fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);

	if (fd < 0)
		fault(a, "cannot open %s: %s", path, strerror(errno));
	return fd >= 0;
}

static void take_machine(struct fc_state *s, json_t *o, struct answer *a)
{
	json_int_t cpus = number_of(o, "vcpu_count");

	if (cpus < 1 || cpus > 32)
		fault(a, "The vCPU number is invalid!");
	else if (number_of(o, "mem_size_mib") < 1)
		fault(a, "The memory size (MiB) is invalid.");
	else
		s->has_machine = true;
}

static void take_kernel(struct fc_state *s, json_t *o, struct answer *a)
{
	const char *args = text_of(o, "boot_args"), *initrd = text_of(o, "initrd_path");

	if (strlen(args) >= sizeof(s->cmdline)) {
		fault(a, "The kernel command line is invalid: too large");
		return;
	}
	if (!opens(text_of(o, "kernel_image_path"), false, a) ||
		(initrd[0] && !opens(initrd, false, a)))
		return;
	snprintf(s->cmdline, sizeof(s->cmdline), "%s", args);
	s->has_kernel = true;
}

static void take_drive(struct fc_state *s, json_t *o, struct answer *a)
{
	const char *cache = text_of(o, "cache_type"), *id = text_of(o, "drive_id");

	if (cache[0] && strcmp(cache, "Unsafe") != 0 && strcmp(cache, "Writeback") != 0) {
		fault(a, "unknown variant `%s`", cache);
		return;
	}
	if (!opens(text_of(o, "path_on_host"), !json_is_true(json_object_get(o, "is_read_only")),
		    a))
		return;
	if (s->drives_n < COUNT(s->drives))
		snprintf(s->drives[s->drives_n++], sizeof(s->drives[0]), "%.31s", id);
}

static void take_vsock(struct fc_state *s, json_t *o, struct answer *a)
{
	const char *path = text_of(o, "uds_path");

	if (number_of(o, "guest_cid") < 3)
		fault(a, "invalid guest_cid");
	else if (s->vsock[0] || access(path, F_OK) == 0)
		fault(a, "Cannot create backend for vsock device: UnixBind: Address in use");
	else if (strlen(path) >= sizeof(s->vsock))
		fault(a, "Cannot create backend for vsock device: path too long");
	else
		snprintf(s->vsock, sizeof(s->vsock), "%s", path);
}

static void take_action(struct fc_state *s, json_t *o, struct answer *a, bool *start)
{
	if (strcmp(text_of(o, "action_type"), "InstanceStart") != 0)
		fault(a, "unknown variant `%s`", text_of(o, "action_type"));
	else if (!s->has_kernel)
		fault(a, "Cannot start microvm without kernel configuration.");
	else
		s->started = *start = true;
}

static void act(struct fc_state *s, const struct rule *r, json_t *o, struct answer *a, bool *start)
{
	if (strcmp(r->path, "/machine-config") == 0)
		take_machine(s, o, a);
	else if (strcmp(r->path, "/boot-source") == 0)
		take_kernel(s, o, a);
	else if (strcmp(r->path, "/drives/") == 0)
		take_drive(s, o, a);
	else if (strcmp(r->path, "/vsock") == 0)
		take_vsock(s, o, a);
	else if (strcmp(r->path, "/actions") == 0)
		take_action(s, o, a, start);
}

static const struct rule *rule_of(const struct fc_state *s, const char *path)
{
	for (const struct rule *r = rules; r < rules + COUNT(rules); r++) {
		size_t n = strlen(r->path);

		if (r->since <= s->minor &&
			(r->id ? strncmp(path, r->path, n) == 0 : strcmp(path, r->path) == 0))
			return r;
	}
	return NULL;
}

static bool id_fits(const struct rule *r, const char *path, json_t *o, struct answer *a)
{
	const char *id = r->id ? path + strlen(r->path) : NULL;

	if (!id)
		return true;
	if (!*id ||
		id[strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")])
		fault(a, "invalid resource id");
	else if (strcmp(id, text_of(o, r->id)) != 0)
		fault(a, "The id from the path does not match the id from the body!");
	else
		return true;
	return false;
}

static void put(struct fc_state *s, const char *path, const char *body, size_t n, struct answer *a,
	bool *start)
{
	const struct rule *r = rule_of(s, path);
	json_t *o = body ? json_loadb(body, n, JSON_REJECT_DUPLICATES, NULL) : NULL;

	a->status = 204;
	a->out[0] = '\0';
	if (!r)
		fault(a, "Invalid request method and/or path: PUT %s.", path);
	else if (!body)
		fault(a, "Empty PUT request.");
	else if (!json_is_object(o))
		fault(a, "An error occurred when deserializing the json body of a request.");
	else if (s->started)
		fault(a, "The requested operation is not supported after starting the microVM.");
	else if (check_keys(s, r, o, a) && id_fits(r, path, o, a))
		act(s, r, o, a, start);
	json_decref(o);
}

unsigned fc_rules_take(struct fc_state *s, const char *method, const char *path, const char *body,
	size_t n, char *out, size_t size, bool *start)
{
	struct answer a = { out, size, 200 };

	*start = false;
	if (strcmp(method, "PUT") == 0) {
		put(s, path, body, n, &a, start);
	} else if (strcmp(method, "GET") != 0) {
		fault(&a, "Invalid request method and/or path: %s %s.", method, path);
	} else if (body) {
		fault(&a, "GET request cannot have a body.");
	} else if (strcmp(path, "/version") == 0) {
		snprintf(out, size, "{\"firecracker_version\":\"%s\"}", s->version);
	} else if (strcmp(path, "/") == 0) {
		snprintf(out, size,
			"{\"app_name\":\"Firecracker\",\"id\":\"double\",\"state\":\"%s\","
			"\"vmm_version\":\"%s\"}",
			s->started ? "Running" : "Not started", s->version);
	} else {
		fault(&a, "Invalid request method and/or path: GET %s.", path);
	}
	return a.status;
}
