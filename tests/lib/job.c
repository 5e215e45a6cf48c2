/*
 * job.c - sets up what worker/job.c would get from a daemon. Its directory is in memory where the
 * host has a place for that.
 */
#include "tests/lib/job.h"

#include <fcntl.h>
#include <unistd.h>

#include "letter/pack.h"
#include "sys/beneath.h"

void job_rig_hold(void)
{
	must(open("/dev/null", O_RDONLY | O_CLOEXEC) == FD_DIR);
	must(open("/dev/null", O_RDONLY | O_CLOEXEC) == FD_EXTRA);
}

static void put_at(const char *path, int as)
{
	own_fd fd = open(path, O_RDONLY | O_CLOEXEC);

	must(fd >= 0 && dup3(fd, as, O_CLOEXEC) == as);
}

void job_rig_begin(struct job_rig *r, enum letter_id kind, const void *body, struct bytes input)
{
	const char *top = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	struct why why;

	*r = (struct job_rig){ .job = { .kind = kind } };
	snprintf(r->path, sizeof(r->path), "%s/banger-job-XXXXXX", top);
	must(mkdtemp(r->path));
	put_at(r->path, FD_DIR);
	put_at(r->path, FD_EXTRA);
	r->top = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(r->top >= 0);
	buf_init(&r->job.params, MiB);
	buf_init(&r->job.coming, MiB);
	buf_init(&r->job.handed, MiB);
	arena_init(&r->job.arena, 4 * MiB);
	window_init(&r->job.window);
	must(loop_new(&r->job.loop, &why) == OK);
	r->job.told_ms = UINT64_MAX / 2; /* nobody listens to its progress */
	must(shape_pack(letter_kinds[kind].in, body, &r->job.params, &why) == OK);
	buf_add(&r->job.coming, input.p, input.n);
	must(!r->job.coming.failed);
	r->job.ended = true;
}

void job_rig_end(struct job_rig *r)
{
	struct why why;

	loop_free(r->job.loop);
	buf_done(&r->job.params);
	buf_done(&r->job.coming);
	buf_done(&r->job.handed);
	arena_done(&r->job.arena);
	must(!remove_tree(r->top, strrchr(r->path, '/') + 1, &why));
	close(r->top);
	put_at("/dev/null", FD_DIR);
	put_at("/dev/null", FD_EXTRA);
}
