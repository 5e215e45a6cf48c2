/*
 * layer.c - a machine's own disks over its image's shared ones: qcow2, reflink or copy behind one
 * interface (row B7). dm, by the root helper, is in layer_dm.c; its work disk is made here.
 */
#include "actors/shared/job.h"
#include "actors/vm/forwards.h"
#include "actors/vm/vm.h"
#include "base/text.h"

/* Leaf names tell the format, so that a driver needs no more than the layer. */
static const struct {
	const char *root, *work;
} leaves[] = {
	[layer_qcow2] = { "root.qcow2", "work.qcow2" },
	[layer_reflink] = { "root.raw", "work.raw" },
	[layer_copy] = { "root.raw", "work.raw" },
	[layer_dm] = { "root.cow", "work.raw" },
};

enum err layer_choose(struct vmd *v, enum layer *layer, struct why *why)
{
	bool system = v->env->mode == mode_system;
	struct host_facts host;

	world_host_facts(v->world, &host);
	if (*layer == layer_auto)
		*layer = system ? layer_dm : layer_qcow2;
	if (*layer != layer_dm)
		return OK;
	if (system && host.device_mapper)
		return OK;
	if (system) {
		fail_field(why, ERR_unsupported, "layer", "this host has no device-mapper");
		return fail_hint(why, "modprobe dm_snapshot, or use copy");
	}
	fail_field(why, ERR_unsupported, "layer",
		"layer dm needs the root helper of a system install");
	return fail_hint(why, "use qcow2, reflink or copy");
}

/* Where its root disk begins: in its image, or in a file that the user keeps. */
static const char *root_of(const struct machine *m, enum area *area)
{
	*area = m->boot.file ? HOST : STATE;
	return m->boot.file ? m->boot.file + 1 : m->boot.root;
}

static enum err make_one(struct machine *m, const char *leaf, enum area area, const char *from,
	uint64_t size, struct why *why)
{
	char path[64];

	machine_dir(m, path, sizeof(path), leaf);
	if (m->r.layer == layer_qcow2)
		return world_overlay(m->v->world, path, area, from, size, why);
	return world_reflink(m->v->world, path, area, from, size, why);
}

/* ---- copy: by a worker, since it may take seconds ---- */

static enum err copy_next(struct machine *m, struct why *why);

static void copied(void *ctx, const struct why *why, const void *result UNUSED)
{
	struct machine *m = ctx;
	struct why bad = { .code = ERR_internal };
	char path[64];

	m->copy = NULL;
	if (m->flow.undoing || m->flow.kind->forward_only) { /* layer_stop ended it: go on there */
		switch (dm_drop(m, m->copy_ticket)) {
		case FLOW_DONE:
			flow_done(&m->flow, m->copy_ticket);
			return;
		case FLOW_FAILED:
			flow_fail(&m->flow, m->copy_ticket, &bad);
			return;
		case FLOW_WAIT:
			return;
		}
	}
	if (!why && m->copies_done == 1) {
		machine_dir(m, path, sizeof(path), leaves[layer_copy].work);
		if (world_resize(m->v->world, path, m->r.disk, &bad))
			why = &bad;
	}
	if (!why && ++m->copies_done < 2 && copy_next(m, &bad))
		why = &bad;
	if (why)
		flow_fail(&m->flow, m->copy_ticket, why);
	else if (m->copies_done == 2 && m->r.layer == layer_dm)
		dm_make(m, m->copy_ticket);
	else if (m->copies_done == 2)
		flow_done(&m->flow, m->copy_ticket);
}

static enum err copy_next(struct machine *m, struct why *why)
{
	static const struct job_user user = { .ended = copied };
	bool work = m->copies_done == 1;
	char from_dir[64], to_dir[64];
	const char *file = work ? NULL : m->boot.file;
	struct child_file extra = { .area = STATE, .path = from_dir, .directory = true, .as = 4 };
	struct work_copy body = { .to = work ? leaves[layer_copy].work : leaves[layer_copy].root };
	struct job_spec spec = { .world = m->v->world,
		.kind = LETTER_work_copy,
		.body = &body,
		.dir = to_dir,
		.extra = &extra };
	char *slash;

	if (file) {
		extra = (struct child_file){ .area = HOST, .path = file + 1, .as = 4 };
	} else {
		str_copy(from_dir, sizeof(from_dir), work ? m->boot.work : m->boot.root);
		slash = strrchr(from_dir, '/');
		must(slash);
		*slash = '\0';
		body.from = slash + 1;
	}
	machine_dir(m, to_dir, sizeof(to_dir), "");
	return job_start(&spec, &user, m, &m->copy, why);
}

/* A copy takes all at once what its originals take. */
static enum err room_for_copies(const struct machine *m, unsigned done, struct why *why)
{
	uint64_t size, root = 0, work = 0;
	enum area area;
	const char *path = root_of(m, &area);

	if (m->op && m->op->force)
		return OK;
	if (done == 0 && world_size(m->v->world, area, path, &size, &root, why))
		return why->code;
	if (world_size(m->v->world, STATE, m->boot.work, &size, &work, why))
		return why->code;
	return admit_disk(m->v, root + work, why);
}

/* From the root disk on, or (done 1) of the work disk alone. */
static enum flow_said copy_begin(struct machine *m, struct flow *f, unsigned done)
{
	char dir[64];

	machine_dir(m, dir, sizeof(dir), "");
	m->copies_done = done;
	m->copy_ticket = flow_ticket(f);
	admit_promise(m, m->promised_memory, 0); /* what it writes from here on is seen */
	if (room_for_copies(m, done, &f->why))
		return FLOW_FAILED;
	if (world_give(m->v->world, STATE, dir, &f->why) || copy_next(m, &f->why))
		return FLOW_FAILED;
	return FLOW_WAIT;
}

bool layer_stop(struct machine *m, struct flow *f)
{
	struct why why;

	if (!m->copy)
		return false;
	m->copy_ticket = flow_ticket(f);
	fail(&why, ERR_cancelled, "cancelled");
	job_stop(m->copy, &why);
	return true;
}

/* As an option takes it, and never less than it is. */
static void exact_size(char *out, size_t size, uint64_t bytes)
{
	bool whole = bytes % GiB == 0;

	snprintf(out, size, "%llu%c",
		(unsigned long long)(whole ? bytes / GiB : (bytes + MiB - 1) / MiB),
		whole ? 'G' : 'M');
}

/* The work disk begins as its image's work-seed, and a filesystem does not shrink. */
static enum err check_size(const struct machine *m, uint64_t seed, struct why *why)
{
	char asked[32], least[32];

	if (m->r.disk >= seed)
		return OK;
	exact_size(asked, sizeof(asked), m->r.disk);
	exact_size(least, sizeof(least), seed);
	fail_field(why, ERR_invalid_value, "disk",
		"a work disk of %s is too small: the work-seed of image '%s' takes %s", asked,
		m->r.image, least);
	if (m->disk_by_default)
		return fail_hint(why, "set `disk: %s` or more in config.yaml, or pass `--disk %s`",
			least, least);
	return fail_hint(why, "ask for `--disk %s` or more", least);
}

/* The work disk is the machine's alone, and raw: by reflink where that works. */
static enum flow_said make_for_dm(struct machine *m, struct flow *f)
{
	enum err e = dm_make_file(m, &f->why);

	if (e)
		return FLOW_FAILED;
	e = make_one(m, leaves[layer_dm].work, STATE, m->boot.work, m->r.disk, &f->why);
	if (e == ERR_unsupported)
		return copy_begin(m, f, 1);
	if (e)
		return FLOW_FAILED;
	dm_make(m, flow_ticket(f));
	return FLOW_WAIT;
}

enum flow_said layer_make(struct machine *m, struct flow *f)
{
	const char *root;
	uint64_t seed, used;
	enum area area;

	if (world_size(m->v->world, STATE, m->boot.work, &seed, &used, &f->why) ||
		check_size(m, seed, &f->why))
		return FLOW_FAILED;
	m->r.disk = (m->r.disk + 511) & ~(uint64_t)511;
	if (m->boot.file && m->r.layer == layer_dm)
		m->r.layer = layer_copy; /* root's own part attaches no file of the user's */
	if (m->r.layer == layer_copy)
		return copy_begin(m, f, 0);
	if (m->r.layer == layer_dm)
		return make_for_dm(m, f);
	root = root_of(m, &area);
	if (m->boot.file && m->r.layer == layer_qcow2 && machine_set_root_file(m, &f->why))
		return FLOW_FAILED;
	if (make_one(m, leaves[m->r.layer].root, area, root, m->boot.root_size, &f->why) ||
		make_one(m, leaves[m->r.layer].work, STATE, m->boot.work, m->r.disk, &f->why)) {
		if (f->why.code == ERR_unsupported)
			fail_hint(&f->why, "use --layer qcow2 or --layer copy");
		return FLOW_FAILED;
	}
	return FLOW_DONE;
}

enum err layer_grow(struct machine *m, uint64_t size, struct why *why)
{
	struct world *w = m->v->world;
	uint64_t has, used;
	char path[64];
	enum err e;

	machine_dir(m, path, sizeof(path), leaves[m->r.layer].work);
	if (m->r.layer == layer_qcow2)
		return world_overlay_grow(w, path, size, why);
	e = world_size(w, STATE, path, &has, &used, why);
	return e || has >= size ? e : world_resize(w, path, size, why);
}

enum flow_said layer_ready(void *owner, struct flow *f)
{
	struct machine *m = f->subject;
	const char *file = m->r.root_file;
	uint64_t size, used;

	if (forwards_open(m, &f->why) || set_apply(m, &f->why))
		return FLOW_FAILED;
	if (!file || world_size(m->v->world, HOST, file + 1, &size, &used, &f->why) == OK)
		return dm_ready(owner, f);
	fail(&f->why, ERR_not_found, "%.3000s, which the root disk of %s stands on, is not there",
		file, m->name);
	fail_hint(&f->why, "put it back: it is a file of registered image '%s'", m->image);
	return FLOW_FAILED;
}
