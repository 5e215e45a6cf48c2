/*
 * firecracker.c - the Firecracker driver: a process per machine, made into one by a short row of
 * HTTP requests, then left alone; its agent is behind hybrid vsock.
 *
 * Without the helper everything is given as descriptors: the runtime directory (so that the paths
 * of its sockets are always short) and the files (so that the process needs no way to them). Its
 * output, which is the guest's console and its own few lines, goes into a FIFO that keeps what fits
 * while nobody reads. The API is used while the machine is made and not held open behind that.
 */
#include <unistd.h>

#include "actors/vm/fc_api.h"
#include "actors/vm/vm.h"
#include "base/log.h"

enum { DIR_FD = 10, FILES_FD = 11, STEP_MS = 10000, START_MS = 60000 };

#define GIVEN "/proc/self/fd/"

struct fc { /* a machine in the making */
	struct machine *m;
	struct http *http;
	struct arena mem;
	struct fc_request todo[FC_REQUESTS_MAX];
	unsigned at, n; /* the request that is under way; n 0: the version is asked for */
};

/* Files that it is given, in the order of their descriptors. */
struct fc_files {
	char root[64], work[64];
	const char *paths[5]; /* beneath STATE: kernel, initrd, then the disks */
	unsigned n;
};

/* ---- can it be used ---- */

static enum err find_program(struct vmd *v, struct why *why)
{
	const char *configured = v->env->config->firecracker_bin;

	if (v->firecracker[0])
		return OK;
	if (world_find_program(v->world, configured, "firecracker", v->firecracker,
		    sizeof(v->firecracker), why) == OK)
		return OK;
	v->firecracker[0] = '\0';
	return fail_hint(why, "put firecracker on PATH, or name it in config as firecracker_bin");
}

/* Who asks for kvm by name is taken at their word: Firecracker itself says if it cannot. */
static enum err check_kvm(struct vmd *v, struct vm_record *r, struct why *why)
{
	struct host_facts host;

	if (r->accel == accel_tcg)
		return fail_field(why, ERR_unsupported, "accel", "driver firecracker needs kvm");
	world_host_facts(v->world, &host);
	if (r->accel == accel_auto && (!host.kvm || v->kvm_hangs)) {
		fail_field(why, ERR_unavailable, "driver", "driver firecracker needs KVM: %s",
			host.kvm ? "it hangs guests on this host" : host.kvm_why);
		return fail_hint(why, "use --driver qemu; `banger doctor` says more");
	}
	r->accel = accel_kvm;
	return OK;
}

static enum err probe(struct vmd *v, struct vm_record *r, struct why *why)
{
	enum err e = find_program(v, why);

	if (e)
		return e;
	if (r->vcpus > FC_VCPUS_MAX)
		return fail_field(why, ERR_invalid_value, "vcpus",
			"driver firecracker takes at most %d virtual CPUs", FC_VCPUS_MAX);
	return check_kvm(v, r, why);
}

/* ---- the requests ---- */

static void fc_free(struct fc *f)
{
	if (!f)
		return;
	http_free(f->http);
	arena_done(&f->mem);
	free(f);
}

static void close_control(struct machine *m)
{
	fc_free(m->control);
	m->control = NULL;
}

static void files_of(const struct machine *m, struct fc_files *f)
{
	machine_dir(m, f->root, sizeof(f->root), "root.raw");
	machine_dir(m, f->work, sizeof(f->work), "work.raw");
	f->paths[0] = m->boot.vmlinux;
	f->paths[1] = m->boot.initramfs;
	f->paths[2] = f->root;
	f->paths[3] = f->work;
	f->paths[4] = m->boot.modules;
	f->n = m->boot.modules[0] ? 5 : 4;
}

/* Paths as the process sees them: in its jail, or descriptors that it was given. */
static void place(const struct machine *m, struct arena *a, struct fc_machine *x)
{
	static const char *const ids[] = { "root", "work", "modules" };
	bool jailed = vmm_by_helper(m->v);
	struct fc_files files;

	files_of(m, &files);
	x->kernel = jailed ? "/img/kernel" : arena_fmt(a, GIVEN "%d", FILES_FD);
	x->initrd = jailed ? "/img/initrd" : arena_fmt(a, GIVEN "%d", FILES_FD + 1);
	x->vsock =
		jailed ? "/run/v.sock" :
			 arena_fmt(a, GIVEN "%d/%s", DIR_FD, m->driver->leaves[vmm_channel_vsock]);
	for (unsigned i = 0; i < files.n - 2; i++) {
		x->disks[i] = (struct fc_disk){ .id = ids[i],
			.path = jailed ? arena_fmt(a, "/disks/%s", ids[i]) :
					 arena_fmt(a, GIVEN "%d", FILES_FD + 2 + (int)i),
			.read_only = i == 2,
			.unsafe = m->r.rm };
	}
	x->disks_n = files.n - 2;
	if (m->net.tap[0])
		x->nics[x->nics_n++] =
			(struct fc_nic){ .id = "net", .tap = m->net.tap, .mac = m->net.mac };
}

static enum err plan(struct fc *f, struct fc_version v, struct why *why)
{
	struct machine *m = f->m;
	own_buf line = { .max = 2048 };
	struct fc_machine x = { .vcpus = m->r.vcpus, .mem_mib = m->r.memory / MiB };

	kernel_line(m, &line);
	x.cmdline = buf_cstr(&line);
	place(m, &f->mem, &x);
	if (line.failed || !x.kernel || !x.initrd || !x.vsock)
		return fail(
			why, ERR_too_large, "the command line of machine %s is too long", m->name);
	return fc_boot(&x, v, &f->mem, f->todo, &f->n, why);
}

static void next(struct fc *f);

/* It is a machine, or will never be one. */
static void over(struct fc *f, const struct why *why)
{
	struct machine *m = f->m;
	struct why kept;

	if (why)
		kept = *why;
	close_control(m);
	if (!why)
		link_open(m);
	machine_launched(m, why ? &kept : NULL);
}

static void answered(void *ctx, const struct why *why, const struct http_answer *a)
{
	struct fc *f = ctx;
	const struct fc_request *q = f->n ? &f->todo[f->at] : &fc_ask_version;
	struct fc_version version;
	char text[32];
	struct why bad;
	enum err e;

	if (why) {
		e = fail(&bad, why->code == ERR_timeout ? ERR_timeout : ERR_vmm_failed,
			"Firecracker did not answer %s %s: %s", q->method, q->path, why->text);
	} else {
		e = fc_check(q, a->status, a->body, &bad);
		if (!e && !f->n) {
			e = fc_take_version(a->body, &version, text, sizeof(text), &bad);
			if (!e)
				e = plan(f, version, &bad);
		} else if (!e) {
			f->at++;
		}
	}
	if (e)
		fail_hint(&bad, "see `banger vm logs %s`", f->m->name);
	if (e || (f->n && f->at == f->n))
		over(f, e ? &bad : NULL);
	else
		next(f);
}

static void next(struct fc *f)
{
	const struct fc_request *q = f->n ? &f->todo[f->at] : &fc_ask_version;
	struct http_request r = { .method = q->method,
		.path = q->path,
		.body = q->body,
		.ms = f->n && f->at + 1 == f->n ? START_MS : STEP_MS,
		.answer_max = FC_ANSWER_MAX };

	http_ask(f->http, &r, answered, f);
}

/* The API's socket: without the helper it may still have to appear. */
static enum err control(struct machine *m, uint64_t parcel, struct why *why)
{
	struct fc *f = calloc(1, sizeof(*f));
	char path[64];
	enum err e;

	if (!f)
		return fail(why, ERR_no_memory, "no memory for Firecracker's API");
	f->m = m;
	f->mem.max = 64 * KiB;
	machine_dir(m, path, sizeof(path), m->driver->leaves[vmm_channel_api]);
	e = parcel ? world_parcel_http(m->v->world, parcel, &f->http, why) :
		     world_http(m->v->world, path, &f->http, why);
	if (e) {
		free(f);
		return e;
	}
	close_control(m);
	m->control = f;
	next(f);
	return OK;
}

static enum flow_said connect_all(struct machine *m, bool fresh, struct why *why)
{
	if (machine_dial(m, vmm_channel_console, why))
		return FLOW_FAILED;
	if (!fresh) {
		link_open(m);
		return FLOW_DONE;
	}
	return machine_dial(m, vmm_channel_api, why) ? FLOW_FAILED : FLOW_WAIT;
}

/* ---- the process ---- */

static enum err launch(struct machine *m, struct why *why)
{
	struct fc_files files;
	char dir[64], out[64], name[32], api[64];
	char *argv[] = { m->v->firecracker, (char[]){ "--id" }, name, (char[]){ "--api-sock" }, api,
		NULL };
	struct child_spec spec = { .argv = argv,
		.files = { { RUNTIME, dir, .directory = true, .as = DIR_FD } },
		.files_n = 1,
		.out = out,
		.outlives = true,
		.unprivileged = true,
		.kvm = true };
	struct child *child;
	enum err e = find_program(m->v, why);

	machine_dir(m, dir, sizeof(dir), "");
	machine_dir(m, out, sizeof(out), m->driver->leaves[vmm_channel_console]);
	snprintf(name, sizeof(name), "banger-%s", m->id);
	snprintf(api, sizeof(api), GIVEN "%d/%s", DIR_FD, m->driver->leaves[vmm_channel_api]);
	files_of(m, &files);
	for (unsigned i = 0; i < files.n; i++)
		spec.files[spec.files_n++] = (struct child_file){ .area = STATE,
			.path = files.paths[i],
			.writable = i == 2 || i == 3,
			.as = FILES_FD + (int)i };
	spec.program = m->v->firecracker;
	/* where the daemon is root, the process is not: what it writes must be its own */
	if (!e && geteuid() == 0) {
		e = world_give(m->v->world, RUNTIME, dir, why);
		if (!e)
			e = world_give(m->v->world, STATE, dir, why);
	}
	if (!e)
		e = world_spawn(m->v->world, &spec, vmm_exited, m, &child, NULL, why);
	if (!e)
		machine_vmm_started(m, child);
	return e;
}

/* The jailer lies beside Firecracker, or the helper makes the jail itself. */
static enum err ask_helper(
	struct machine *m, struct priv_launch *q, struct arena *a, struct why *why)
{
	char beside[1024], jailer[1024];
	const char *slash;
	enum err e = find_program(m->v, why);

	if (e)
		return e;
	q->driver = vmm_firecracker;
	q->binary = m->v->firecracker;
	slash = strrchr(q->binary, '/');
	snprintf(beside, sizeof(beside), "%.*s/jailer", (int)(slash - q->binary), q->binary);
	if (world_find_program(m->v->world, beside, "jailer", jailer, sizeof(jailer), NULL) == OK)
		q->jailer = arena_str(a, jailer);
	return OK;
}

const struct vmm_driver firecracker_driver = {
	.id = driver_firecracker,
	.name = "firecracker",
	.probe = probe,
	.launch = launch,
	.ask_helper = ask_helper,
	.connect = connect_all,
	.control = control,
	.close = close_control,
	.leaves = { [vmm_channel_api] = "api.sock",
		[vmm_channel_vsock] = "v.sock",
		[vmm_channel_console] = "console" },
	.console_is_fifo = true,
	.link = link_kind_vsock,
	.stays = true,
};
