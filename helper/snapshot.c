/*
 * snapshot.c - copy-on-write devices of machines (row F4): noted, made by a child, noted as made;
 * removed by a child, and forgotten.
 *
 * The ledger's entry of a snapshot holds its mark, which is the dm device's uuid and the beginning
 * of its loop devices' marks. What bears no mark that the ledger knows is never touched.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "helper/disks.h"
#include "helper/ledger.h"
#include "helper/node.h"
#include "helper/task.h"
#include "helper/verbs.h"
#include "sys/loopdev.h"

enum { SNAPSHOT_DEADLINE_MS = 15000, LOOK_TRIES = 40, LOOK_MS = 50 };

#define DEV_PLACE "/dev/mapper/"

const char *snapshot_name(const char *target)
{
	size_t n = strlen(DEV_PLACE);

	return strncmp(target, DEV_PLACE, n) == 0 ? target + n : target;
}

/* ---- finding ---- */

enum err snapshot_find(const struct helper *h, const char *dm_dev, const char *field,
	struct dm_info *ret, struct why *why)
{
	const char *name = snapshot_name(dm_dev);
	const struct priv_entry *r = ledger_find(h->ledger, priv_thing_dm, name);
	own_fd control = -1;
	enum err e;

	if (!r)
		return fail_field(
			why, ERR_not_found, field, "the helper made no snapshot %s", name);
	e = dm_control(&control, why);
	if (!e)
		e = dm_find(control, name, ret, why);
	if (e == ERR_not_found || (!e && !ret->active))
		return fail_field(why, ERR_not_found, field, "snapshot %s is not there", name);
	if (!e && !str_eq(ret->uuid, r->detail))
		return fail_field(why, ERR_not_owned, field, "device %s is not the helper's", name);
	return e;
}

enum err snapshot_open(const struct helper *h, const char *dm_dev, const char *field, bool writable,
	int *ret, struct why *why)
{
	own_fd fd = -1;
	struct dm_info info;
	enum err e = snapshot_find(h, dm_dev, field, &info, why);

	if (e)
		return e;
	fd = open_device(S_IFBLK, info.dev, writable ? O_RDWR : O_RDONLY);
	if (fd < 0)
		return fail_errno(why, "cannot open snapshot %s", snapshot_name(dm_dev));
	for (int i = 0; i < LOOK_TRIES; i++) {
		e = snapshot_find(h, dm_dev, field, &info, why);
		if (e)
			return e;
		if (info.open_count <= 1) {
			*ret = take_fd(&fd);
			return OK;
		}
		(void)!poll(NULL, 0, LOOK_MS);
	}
	return fail_field(why, ERR_busy, field, "snapshot %s is in use", snapshot_name(dm_dev));
}

/* ---- jobs ---- */

struct snapshot_call {
	struct call *call;
	struct snapshot_job job;
	const char *base_given, *cow_given; /* loop devices that a request names, or NULL */
	const char *name_field; /* how the request calls the name */
	struct why failed; /* why it is being unmade, when that was not asked for */
	bool undoing;
};

static struct snapshot_call *new_job(struct call *c, const char *name)
{
	struct snapshot_call *s = call_memory(c, sizeof(*s));

	if (!s)
		return NULL;
	*s = (struct snapshot_call){ .call = c, .job = { .h = c->h, .name = name } };
	return s;
}

/* ---- removing ---- */

/* Whether a device of that name is there that the ledger does not know. */
static enum err must_not_be(const char *name, const char *field, struct why *why)
{
	own_fd control = -1;
	struct dm_info info;
	enum err e = dm_control(&control, why);

	if (!e)
		e = dm_find(control, name, &info, why);
	if (!e)
		return fail_field(why, ERR_not_owned, field, "device %s is not the helper's", name);
	return e == ERR_not_found || e == ERR_unsupported ? OK : e;
}

struct seeking {
	const char *loop_mark;
	const struct priv_entry *found;
};

static void seek_mark(void *ctx, const struct priv_entry *r)
{
	struct seeking *s = ctx;
	size_t n = r->detail ? strlen(r->detail) : 0;

	if (n && strncmp(s->loop_mark, r->detail, n) == 0 && s->loop_mark[n] == '-')
		s->found = r;
}

/*
 * A loop device is free, or of this snapshot; ret_name (when not NULL) learns whose it is. Looked
 * at by its mark, which survives a crash of the helper at any point.
 */
static enum err judge_loop(const struct helper *h, const char *loop, const char *name,
	const char *field, const char **ret_name, struct why *why)
{
	struct seeking s = { NULL, NULL };
	char mark[LOOP_MARK_BYTES + 1];
	uint64_t n;

	if (!loop)
		return OK;
	if (parse_u64(loop + strlen("/dev/loop"), &n, NULL) || n > INT32_MAX)
		return fail_field(why, ERR_invalid_value, field, "no loop device %s", loop);
	if (!loop_mark_of((int)n, mark))
		return errno == ENXIO || errno == ENODEV ?
			       OK :
			       fail_errno(why, "cannot look at loop device %s", loop);
	s.loop_mark = mark;
	ledger_each(h->ledger, priv_thing_dm, seek_mark, &s);
	if (!s.found || (name && !str_eq(s.found->name, name)))
		return fail_field(why, ERR_not_owned, field,
			s.found ? "%s belongs to another snapshot" : "%s is not the helper's",
			loop);
	*ret_name = s.found->name;
	return OK;
}

/* In the child, since what a loop device stands on may answer late or never. */
static enum err unmake_in(void *arg, struct buf *result UNUSED, int *gift UNUSED, struct why *why)
{
	struct snapshot_call *s = arg;
	const struct snapshot_job *j = &s->job;
	const char *whose = NULL;
	enum err e = judge_loop(j->h, s->base_given, j->name, "base_loop", &whose, why);

	if (!e)
		e = judge_loop(
			j->h, s->cow_given, j->name ? j->name : whose, "cow_loop", &whose, why);
	if (e)
		return e;
	if (!j->name && whose)
		return fail_field(why, ERR_busy, s->base_given ? "base_loop" : "cow_loop",
			"snapshot %s stands on it; name that as well", whose);
	if (!j->name)
		return OK;
	return j->mark[0] ? snapshot_unmake(j, why) : must_not_be(j->name, s->name_field, why);
}

static void unmake_done(void *ctx, const struct why *why, struct bytes result UNUSED, int fd UNUSED)
{
	struct snapshot_call *s = ctx;

	if (!why && s->job.mark[0])
		snapshot_forget(&s->job);
	if (s->undoing && why)
		log_line(LOG_ERROR, "helper", "not undone", "name", s->job.name, "why", why->text,
			NULL);
	if (s->undoing)
		call_fail(s->call, &s->failed);
	else if (why)
		call_fail(s->call, why);
	else
		call_done(s->call, NULL);
}

static void unmake(struct snapshot_call *s)
{
	struct task_spec spec = { .what = "removing a snapshot",
		.run = unmake_in,
		.arg = s,
		.deadline_ms = SNAPSHOT_DEADLINE_MS };
	struct why why;

	snapshot_recall_loops(&s->job);
	if (task_start(s->call->h, &spec, unmake_done, s, &why))
		call_fail(s->call, s->undoing ? &s->failed : &why);
}

/* ---- making ---- */

static bool make_mark(const char *vm_id, char out[MARK_MAX])
{
	uint8_t random[8];
	char hex[2 * sizeof(random) + 1];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return false;
	hex_of(hex, random, sizeof(random));
	return snprintf(out, MARK_MAX, "BANGER-%s-%s", vm_id, hex) < MARK_MAX;
}

static enum err make_in(void *arg, struct buf *result, int *gift UNUSED, struct why *why)
{
	struct snapshot_call *s = arg;
	struct snapshot_made made = { -1, -1, 0 };
	enum err e = snapshot_make(&s->job, &made, why);

	if (!e)
		buf_add(result, &made, sizeof(made));
	return e;
}

static enum err note_made(struct snapshot_call *s, const struct snapshot_made *m, struct why *why)
{
	const char *vm = ((const struct priv_create_dm *)s->call->body)->vm_id;
	uint64_t now = ledger_now();
	enum err e = snapshot_note_loop(&s->job, vm, now, m->base_loop, why);

	if (!e)
		e = snapshot_note_loop(&s->job, vm, now, m->cow_loop, why);
	/* last: an entry with a number is complete */
	return e ? e : snapshot_note(&s->job, vm, now, &m->dev, why);
}

static void undo_make(struct snapshot_call *s, const struct why *why)
{
	s->failed = *why;
	s->undoing = true;
	unmake(s);
}

static void make_done(void *ctx, const struct why *why, struct bytes result, int fd UNUSED)
{
	struct snapshot_call *s = ctx;
	char base[24], cow[24], dev[64];
	struct snapshot_made m;
	struct why failed;

	if (why) {
		undo_make(s, why);
		return;
	}
	must(result.n == sizeof(m)); /* the child is ours and has read nothing of anybody's */
	memcpy(&m, result.p, sizeof(m));
	if (note_made(s, &m, &failed)) {
		undo_make(s, &failed);
		return;
	}
	snprintf(base, sizeof(base), "/dev/loop%d", m.base_loop);
	snprintf(cow, sizeof(cow), "/dev/loop%d", m.cow_loop);
	snprintf(dev, sizeof(dev), DEV_PLACE "%s", s->job.name);
	call_done(s->call, &(struct priv_dm_handles){ base, cow, s->job.name, dev });
}

static enum err may_make(const struct helper *h, const char *name, struct why *why)
{
	if (ledger_find(h->ledger, priv_thing_dm, name)) {
		fail_field(why, ERR_exists, "vm_id", "snapshot %s was made already", name);
		return fail_hint(why, "remove it first: priv.remove_dm_snapshot");
	}
	if (ledger_count(h->ledger, priv_thing_dm) >= SNAPSHOTS_MAX)
		return fail(why, ERR_busy, "%d snapshots were made, one more is refused",
			SNAPSHOTS_MAX);
	return OK;
}

enum err snapshot_make_check(const struct helper *h, const void *body, struct why *why)
{
	const struct priv_create_dm *q = body;

	enum err e = check_beneath_state(h, q->base_path, "base_path", why);

	return e ? e : check_beneath_state(h, q->cow_path, "cow_path", why);
}

void snapshot_make_about(const void *body, char out[ABOUT_MAX])
{
	snprintf(out, ABOUT_MAX, "fc-rootfs-%s", ((const struct priv_create_dm *)body)->vm_id);
}

void snapshot_make_act(struct call *c, const void *body)
{
	const struct priv_create_dm *q = body;
	struct snapshot_call *s = new_job(c, c->about);
	struct task_spec spec = { .what = "making a snapshot",
		.run = make_in,
		.arg = s,
		.deadline_ms = SNAPSHOT_DEADLINE_MS };
	struct why why;
	enum err e;

	if (!s)
		return;
	s->job.base_path = q->base_path;
	s->job.cow_path = q->cow_path;
	e = may_make(c->h, s->job.name, &why);
	if (!e && !make_mark(q->vm_id, s->job.mark))
		e = fail_errno(&why, "cannot make a mark");
	if (!e)
		e = snapshot_note(&s->job, q->vm_id, ledger_now(), NULL, &why);
	if (e) {
		call_fail(c, &why);
		return;
	}
	if (task_start(c->h, &spec, make_done, s, &why)) {
		snapshot_forget(&s->job);
		call_fail(c, &why);
	}
}

/* ---- removing: what was asked for ---- */

static const char *filled(const char *text)
{
	return text && text[0] ? text : NULL;
}

static const char *name_of(const struct priv_dm_leftovers *h)
{
	const char *name = filled(h->dm_name), *dev = filled(h->dm_dev);

	return name ? name : dev ? snapshot_name(dev) : NULL;
}

enum err snapshot_cleanup_check(const struct helper *h UNUSED, const void *body, struct why *why)
{
	const struct priv_dm_leftovers *q = &((const struct priv_cleanup_dm *)body)->handles;
	const char *name = filled(q->dm_name), *dev = filled(q->dm_dev);
	const char *base = filled(q->base_loop), *cow = filled(q->cow_loop);

	if (name && dev && !str_eq(name, snapshot_name(dev)))
		return fail_field(
			why, ERR_invalid_value, "dm_dev", "%s is not the device of %s", dev, name);
	if (base && cow && str_eq(base, cow))
		return fail_field(
			why, ERR_invalid_value, "cow_loop", "%s stands for both loops", cow);
	return OK;
}

void snapshot_cleanup_about(const void *body, char out[ABOUT_MAX])
{
	const char *name = name_of(&((const struct priv_cleanup_dm *)body)->handles);

	snprintf(out, ABOUT_MAX, "%s", name ? name : "");
}

void snapshot_remove_about(const void *body, char out[ABOUT_MAX])
{
	snprintf(
		out, ABOUT_MAX, "%s", snapshot_name(((const struct priv_remove_dm *)body)->target));
}

/* A name that the ledger does not know has no mark: it must not be there. */
static struct snapshot_call *removing(struct call *c, const char *name, const char *field)
{
	const struct priv_entry *r = name ? ledger_find(c->h->ledger, priv_thing_dm, name) : NULL;
	struct snapshot_call *s = new_job(c, name);

	if (!s)
		return NULL;
	s->name_field = field;
	if (r && r->detail)
		(void)!str_copy(s->job.mark, sizeof(s->job.mark), r->detail);
	return s;
}

void snapshot_cleanup_act(struct call *c, const void *body)
{
	const struct priv_dm_leftovers *q = &((const struct priv_cleanup_dm *)body)->handles;
	struct snapshot_call *s =
		removing(c, name_of(q), filled(q->dm_name) ? "dm_name" : "dm_dev");

	if (!s)
		return;
	s->base_given = filled(q->base_loop);
	s->cow_given = filled(q->cow_loop);
	unmake(s);
}

void snapshot_remove_act(struct call *c, const void *body)
{
	struct snapshot_call *s =
		removing(c, snapshot_name(((const struct priv_remove_dm *)body)->target), "target");

	if (s)
		unmake(s);
}

/* ---- how full it is ---- */

void snapshot_status_act(struct call *c, const void *body)
{
	const struct priv_dm *q = body;
	const char *name = snapshot_name(q->dm_dev);
	own_fd control = -1;
	struct dm_info info;
	struct dm_fill fill;
	struct why why;
	char text[200];
	enum err e = snapshot_find(c->h, q->dm_dev, "dm_dev", &info, &why);

	if (!e)
		e = dm_control(&control, &why);
	if (!e)
		e = dm_status(control, name, text, sizeof(text), &why);
	if (!e && !dm_read_snapshot(text, &fill))
		e = fail(&why, ERR_conflict, "snapshot %s says '%.100s'", name, text);
	if (e)
		call_fail(c, &why);
	else
		call_done(c,
			&(struct priv_dm_fill){ fill.used, fill.total, fill.metadata, fill.valid });
}
