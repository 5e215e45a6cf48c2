/*
 * firecracker.c - the API of a simulated Firecracker: its socket appears some time after the
 * process began, and it takes what the rules of tests/lib/fc_rules.h take. Files are not looked at:
 * the host's are in memory, and paths are those of descriptors.
 */
#include "tests/lib/fc_rules.h"
#include "tests/sim/guest.h"

static void add_socket(struct proc *p, const char *leaf)
{
	char path[64];

	snprintf(path, sizeof(path), "vm/%s/%s", vmm_id(p), leaf);
	must(p->sockets_n < CHILD_SOCKETS_MAX);
	if (!node_put(p->sim, RUNTIME, path, 0))
		return; /* the machine is being taken away already */
	str_copy(p->sockets[p->sockets_n++].path, sizeof(p->sockets[0].path), path);
}

static void api_up(void *ctx, uint64_t arg UNUSED)
{
	add_socket(ctx, "api.sock");
}

void firecracker_begin(struct proc *p)
{
	struct sim *s = p->sim;

	p->fc = calloc(1, sizeof(*p->fc));
	must(p->fc);
	p->fc->minor = (unsigned)sim_between(s, 5, 17);
	snprintf(p->fc->version, sizeof(p->fc->version), "1.%u.1", p->fc->minor);
	if (s->calm || !sim_chance(s, s->weather.never / 4))
		sim_after(s, sim_between(s, 1, 40), api_up, p, 0);
}

/* The same request with paths that can be opened here. */
static char *here(const char *body)
{
	char *copy = strdup(body), *at = copy;

	must(copy);
	while ((at = strstr(at, "/proc/self/fd/")) != NULL) {
		size_t n = strcspn(at, "\"");

		if (memchr(at + strlen("/proc/self/fd/"), '/', n - strlen("/proc/self/fd/"))) {
			memset(at, 'v', n); /* the vsock socket, which is to be made */
		} else {
			memset(at, '/', n);
			memcpy(at + n - 8, "dev/null", 8);
		}
		at += n;
	}
	return copy;
}

unsigned vmm_request(struct proc *p, const char *method, const char *path, const char *body,
	char *answer, size_t size)
{
	struct sim *s = p->sim;
	own_mem char *text = body ? here(body) : NULL;
	bool start;
	unsigned status;

	if (!s->calm && sim_chance(s, s->weather.stillborn / 10)) {
		sim_mark(s, MARK_fc_refused);
		snprintf(answer, size, "{\"fault_message\":\"the seed says no\"}");
		return 400;
	}
	status = fc_rules_take(
		p->fc, method, path, text, text ? strlen(text) : 0, answer, size, &start);
	if (status >= 400)
		sim_fail(s, "Firecracker takes no %s %s: %s", method, path, answer);
	if (str_eq(path, "/vsock"))
		add_socket(p, "v.sock");
	if (start) {
		sim_mark(s, MARK_fc_started);
		guest_boot(vmm_guest(p));
	}
	return status;
}
