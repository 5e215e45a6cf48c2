/*
 * fc_requests.c - every kind of request that the driver can send, one JSON object a line, for a
 * version of Firecracker: what tests/foreign/firecracker.py holds against its description.
 *
 *	fc_requests MAJOR MINOR
 */
#include <jansson.h>

#include "actors/vm/fc_api.h"
#include "base/text.h"

static void print(const struct fc_request *q)
{
	json_t *body = q->body ? json_loads(q->body, 0, NULL) : json_null();
	json_t *o = json_pack("{s:s,s:s,s:o}", "method", q->method, "path", q->path, "body", body);
	char *line = json_dumps(o, JSON_COMPACT);

	must(line);
	puts(line);
	free(line);
	json_decref(o);
}

static void boot(const struct fc_machine *m, struct fc_version v)
{
	struct arena a = { .max = MiB };
	struct fc_request all[FC_REQUESTS_MAX];
	struct why why;
	unsigned n;

	if (fc_boot(m, v, &a, all, &n, &why)) {
		fprintf(stderr, "%s\n", why.text);
		exit(1);
	}
	for (unsigned i = 0; i < n; i++)
		print(&all[i]);
	arena_done(&a);
}

/* With and without each part that may be absent, at both ends of each range. */
static struct fc_machine variant(unsigned i)
{
	struct fc_machine m = { .vcpus = i & 1 ? FC_VCPUS_MAX : 1,
		.mem_mib = i & 1 ? 1048576 : 64,
		.kernel = "/img/kernel",
		.initrd = i & 2 ? "/img/initrd" : NULL,
		.cmdline = i & 2 ? "console=ttyS0 quiet" : "",
		.disks_n = i & 4 ? 3 : 2,
		.nics_n = i & 8 ? FC_NICS_MAX : 0,
		.vsock = "/run/v.sock" };
	static const char *const disks[] = { "root", "work", "modules" };
	static const char *const nics[FC_NICS_MAX] = { "net0", "net1", "net2", "net3" };

	for (unsigned k = 0; k < COUNT(disks); k++)
		m.disks[k] = (struct fc_disk){ disks[k], "/disks/x", k == 2, (i & 1) != 0 };
	for (unsigned k = 0; k < FC_NICS_MAX; k++)
		m.nics[k] =
			(struct fc_nic){ nics[k], "bngr-x", i & 1 ? "02:00:00:00:00:01" : NULL };
	return m;
}

int main(int argc, char **argv)
{
	uint64_t major, minor;

	if (argc != 3 || parse_u64(argv[1], &major, NULL) || parse_u64(argv[2], &minor, NULL)) {
		fputs("usage: fc_requests MAJOR MINOR\n", stderr);
		return 2;
	}
	print(&fc_ask_version);
	for (unsigned i = 0; i < 16; i++) {
		struct fc_machine m = variant(i);

		boot(&m, (struct fc_version){ (unsigned)major, (unsigned)minor });
	}
	return 0;
}
