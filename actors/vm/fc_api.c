/*
 * fc_api.c - Firecracker's requests as JSON, in the order that its documentation gives, and its
 * answers: a version, or a fault in words. Answers are not trusted: they come with a ceiling, and
 * what is taken from them is one short text.
 */
#include "actors/vm/fc_api.h"

#include <jansson.h>

#include "base/text.h"

enum { CONSOLE_BURST = 262144, CONSOLE_REFILL_MS = 500, FAULT_MAX = 300 };

const struct fc_request fc_ask_version = { "GET", "/version", NULL };

struct list {
	struct fc_request *v;
	unsigned n;
	struct arena *mem;
	bool failed;
};

static void add(struct list *l, const char *path, const char *id, json_t *body)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	const char *full = id ? arena_fmt(l->mem, "%s/%s", path, id) : path;
	const char *kept = text ? arena_str(l->mem, text) : NULL;

	json_decref(body);
	free(text);
	if (!kept || !full || l->n == FC_REQUESTS_MAX)
		l->failed = true;
	else
		l->v[l->n++] = (struct fc_request){ "PUT", full, kept };
}

static bool at_least(struct fc_version v, unsigned major, unsigned minor)
{
	return v.major > major || (v.major == major && v.minor >= minor);
}

static void add_logs(struct list *l, struct fc_version v)
{
	/* its log goes where the console goes; it warns of each port that a kernel looks for */
	add(l, "/logger", NULL, json_pack("{s:s}", "level", "Error"));
	if (at_least(v, 1, 16)) /* a guest that floods its console costs nobody else time */
		add(l, "/serial", NULL,
			json_pack("{s:{s:i,s:i}}", "rate_limiter", "size", CONSOLE_BURST,
				"refill_time", CONSOLE_REFILL_MS));
}

static void add_machine(struct list *l, const struct fc_machine *m)
{
	add(l, "/machine-config", NULL,
		json_pack("{s:I,s:I}", "vcpu_count", (json_int_t)m->vcpus, "mem_size_mib",
			(json_int_t)m->mem_mib));
	add(l, "/boot-source", NULL,
		json_pack("{s:s,s:s*,s:s}", "kernel_image_path", m->kernel, "initrd_path",
			m->initrd, "boot_args", m->cmdline));
}

static void add_devices(struct list *l, const struct fc_machine *m)
{
	for (unsigned i = 0; i < m->disks_n; i++) {
		const struct fc_disk *d = &m->disks[i];

		/* no root device: the agent mounts the root, and the initrd starts the agent */
		add(l, "/drives", d->id,
			json_pack("{s:s,s:b,s:s,s:b,s:s}", "drive_id", d->id, "is_root_device", 0,
				"path_on_host", d->path, "is_read_only", (int)d->read_only,
				"cache_type", d->unsafe ? "Unsafe" : "Writeback"));
	}
	for (unsigned i = 0; i < m->nics_n; i++) {
		const struct fc_nic *n = &m->nics[i];

		add(l, "/network-interfaces", n->id,
			json_pack("{s:s,s:s,s:s*}", "iface_id", n->id, "host_dev_name", n->tap,
				"guest_mac", n->mac));
	}
	add(l, "/vsock", NULL, json_pack("{s:i,s:s}", "guest_cid", FC_CID, "uds_path", m->vsock));
	add(l, "/entropy", NULL, json_object());
}

enum err fc_boot(const struct fc_machine *m, struct fc_version v, struct arena *mem,
	struct fc_request ret[FC_REQUESTS_MAX], unsigned *ret_n, struct why *why)
{
	struct list l = { .v = ret, .mem = mem };

	must(m->disks_n <= FC_DISKS_MAX && m->nics_n <= FC_NICS_MAX);
	if (strlen(m->cmdline) > FC_CMDLINE_MAX)
		return fail(why, ERR_too_large, "the kernel's command line is longer than %d bytes",
			FC_CMDLINE_MAX);
	add_logs(&l, v);
	add_machine(&l, m);
	add_devices(&l, m);
	add(&l, "/actions", NULL, json_pack("{s:s}", "action_type", "InstanceStart"));
	if (l.failed)
		return fail(why, ERR_no_memory, "no memory for what Firecracker is asked");
	*ret_n = l.n;
	return OK;
}

/* ---- answers ---- */

static json_t *object_of(struct bytes body)
{
	json_t *o = json_loadb((const char *)body.p, body.n, JSON_REJECT_DUPLICATES, NULL);

	if (json_is_object(o))
		return o;
	json_decref(o);
	return NULL;
}

/* "1.16.1", "1.17.0-dev": two numbers, and whatever follows a dot. */
static bool read_version(const char *s, struct fc_version *ret)
{
	char part[2][8];
	uint64_t n[2];

	for (int i = 0; i < 2; i++) {
		size_t len = strcspn(s, ".");

		if (len == 0 || len >= sizeof(part[0]) || s[len] != '.')
			return false;
		memcpy(part[i], s, len);
		part[i][len] = '\0';
		if (parse_u64(part[i], &n[i], NULL) || n[i] > 9999)
			return false;
		s += len + 1;
	}
	*ret = (struct fc_version){ (unsigned)n[0], (unsigned)n[1] };
	return true;
}

enum err fc_take_version(
	struct bytes body, struct fc_version *ret, char *text, size_t size, struct why *why)
{
	json_t *o = object_of(body);
	const char *said = json_string_value(json_object_get(o, "firecracker_version"));
	bool good = said && read_version(said, ret) && str_copy(text, size, said);

	json_decref(o);
	if (!good)
		return fail(why, ERR_vmm_failed, "Firecracker does not tell its version");
	if (!at_least(*ret, FC_OLDEST.major, FC_OLDEST.minor))
		return fail(why, ERR_unsupported,
			"Firecracker %s is too old: %u.%u or newer is needed", text,
			FC_OLDEST.major, FC_OLDEST.minor);
	return OK;
}

enum err fc_check(const struct fc_request *q, unsigned status, struct bytes body, struct why *why)
{
	const char *fault;
	json_t *o;

	if (status == 200 || status == 204)
		return OK;
	o = object_of(body);
	fault = json_string_value(json_object_get(o, "fault_message"));
	if (!fault)
		fault = json_string_value(json_object_get(o, "error"));
	fail(why, ERR_vmm_failed, "Firecracker refused %s %s with status %u: %.*s", q->method,
		q->path, status, FAULT_MAX, fault ? fault : "no reason given");
	json_decref(o);
	return ERR_vmm_failed;
}
