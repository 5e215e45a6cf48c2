/*
 * space.c - what every command on a workspace begins and ends with.
 */
#include "cli/space.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/file.h"
#include "cli/report.h"
#include "letter/pack.h"

enum { RECORD_BYTES_MAX = 4194304 };

static const uint64_t own_op = 1;

enum err space_path(const struct space *s, const char *name, char ret[GIT_PATH_BYTES],
	struct why *why)
{
	return repo_path(ret, s->home, name, why);
}

static enum err find_machine(struct space *s, const char *vm, struct why *why)
{
	struct vm_only which = { vm };
	struct vm_shown shown;
	enum err e = ask(s->c, LETTER_vm_show, &which, &shown, why);

	if (e)
		return e;
	s->vm = shown.vm.id;
	s->name = shown.vm.name;
	if (shown.vm.state != vm_state_running) {
		fail_field(why, ERR_conflict, "vm", "machine %s is not running", s->name);
		return fail_hint(why, "start it with `banger vm start %s`", s->name);
	}
	if (!shown.dir)
		return fail(why, ERR_version_mismatch, "the daemon does not tell where %s lies",
			s->name);
	return repo_path(s->home, shown.dir, "workspace", why);
}

/* One command at a time; what an earlier one left half-way goes. */
static enum err lock_home(struct space *s, struct why *why)
{
	if (mkdir(s->home, 0700) < 0 && errno != EEXIST)
		return fail_errno(why, "cannot make %.200s", s->home);
	s->lock = open(s->home, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->lock < 0)
		return fail_errno(why, "cannot open %.200s", s->home);
	if (flock(s->lock, LOCK_EX | LOCK_NB) < 0)
		return fail_field(why, ERR_busy, "vm",
			"another command works on the workspace of %s", s->name);
	if (tree_remove(s->lock, "temp", why))
		return why->code;
	if (mkdir(s->temp, 0755) < 0)
		return fail_errno(why, "cannot make %.200s", s->temp);
	return OK;
}

static enum err load_record(struct space *s, struct why *why)
{
	struct buf text = { .max = RECORD_BYTES_MAX };
	char path[GIT_PATH_BYTES];
	bool there;
	enum err e = space_path(s, "record", path, why);

	if (!e)
		e = repo_read(path, &text, &there, why);
	if (!e && there) {
		e = shape_read(&shape_space_record, mp_over(text.p, text.n), LENIENT, &s->c->mem,
			&s->record, why);
		s->prepared = !e;
	}
	buf_done(&text);
	if (!s->prepared)
		return e;
	e = space_path(s, "base", path, why);
	if (!e)
		e = plan_load(&s->base, path, &there, why);
	s->prepared = !e && there;
	if (!e)
		e = space_path(s, "seen", path, why);
	return e ? e : plan_load(&s->seen, path, &there, why);
}

enum err space_open(struct space *s, struct cli *c, struct interrupts *i, const char *vm,
	struct why *why)
{
	enum err e;

	*s = (struct space){ .c = c, .interrupts = i, .lock = -1 };
	plan_init(&s->base);
	plan_init(&s->seen);
	e = find_machine(s, vm, why);
	op_init(&s->op, c, &own_op);
	if (!e)
		e = repo_path(s->temp, s->home, "temp", why);
	if (!e)
		e = lock_home(s, why);
	if (!e)
		e = load_record(s, why);
	return e ? e : git_init(&s->git, c, i, why);
}

void space_close(struct space *s)
{
	op_close(&s->op);
	if (s->lock >= 0)
		(void)!tree_remove(s->lock, "temp", NULL);
	fd_done(&s->lock);
	plan_done(&s->base);
	plan_done(&s->seen);
	repo_done(&s->repo);
}

enum err space_repo(struct space *s, const char *path, bool alternates, struct why *why)
{
	char dir[GIT_PATH_BYTES], objects[GIT_PATH_BYTES];
	enum err e = repo_find(&s->repo, path, alternates, why);

	if (!e)
		e = repo_path(dir, s->temp, "git", why);
	if (!e)
		e = space_path(s, "objects", objects, why);
	return e ? e : repo_shadow(&s->repo, &s->git, dir, objects, why);
}

enum err space_save(struct space *s, struct why *why)
{
	own_buf text = { .max = RECORD_BYTES_MAX };
	char path[GIT_PATH_BYTES];
	enum err e = shape_pack(&shape_space_record, &s->record, &text, why);

	if (!e)
		e = space_path(s, "record", path, why);
	return e ? e : file_replace(path, 0600, &text, why);
}

/* Shown as the stages of the daemon's operations are. */
void space_step(struct space *s, const char *stage, enum stage_state state)
{
	own_buf text = { .max = 4 * KiB };
	uint64_t now = loop_now_ms(s->c->loop);
	struct op_stage m = { .op = own_op, .stage = stage, .state = state };

	if (state == stage_state_begun)
		s->step_began = now;
	m.ms = now - s->step_began;
	if (shape_pack(&shape_op_stage, &m, &text, NULL) == OK)
		op_note(&s->op, LETTER_op_stage, buf_bytes(&text));
}

enum err space_interrupted(struct space *s, struct why *why)
{
	return s->interrupts->first ? fail(why, ERR_cancelled, "interrupted") : OK;
}

enum err space_object(struct git *g, const char *name, char ret[72], struct why *why)
{
	own_buf said = { .max = 64 * KiB };
	struct git_call k = { .args = GIT_ARGS("rev-parse", "--quiet", "--verify", name),
		.out = &said };
	enum err e = git_call(g, &k, why);

	ret[0] = '\0';
	if (!e && k.code == 0 && said.n > 0) {
		said.n--;
		if (said.n > 64 || !str_copy(ret, 72, buf_cstr(&said)))
			e = fail(why, ERR_internal, "git named no object");
	}
	return e;
}
