/*
 * worker.c - a simulated banger-worker: takes one job, eats its stream with credit, makes the files
 * that the real one would, answers plausible facts; or fails, dies, hangs, or breaks the rules.
 */
#include "tests/sim/sim.h"

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

enum { WANTS_MAX = 8, LAYERS = 3 };

enum worker_fate { FATE_WORK, FATE_DIE, FATE_REFUSE, FATE_HANG, FATE_RUDE };

struct worker {
	struct proc *p;
	struct sim *sim;
	struct rpc *rpc;
	struct window window;
	enum letter_id kind;
	uint32_t msgid;
	bool streams; /* waits for the stream's end */
	bool over; /* it has said its last word */
	enum worker_fate fate;
	char from[64], to[64]; /* of a copy */
	struct want { /* of a downloader: what it was asked for */
		char tag[16], digest[72];
		uint64_t size;
	} wants[WANTS_MAX];
	unsigned wants_n;
	unsigned whole; /* of a builder: what it has got */
};

/* The path of a leaf in a directory; a program of ours gives no names that are too long. */
static void path_of(char out[NODE_PATH_BYTES], const char *dir, const char *leaf)
{
	must(snprintf(out, NODE_PATH_BYTES, "%s/%s", dir, leaf) < NODE_PATH_BYTES);
}

/* A file in the job's directory; false when the disk is full or the directory is gone. */
static bool make(struct worker *k, const char *leaf, uint64_t size)
{
	char path[NODE_PATH_BYTES];

	path_of(path, k->p->dir, leaf);
	return !disk_is_full(k->sim) && node_put(k->sim, STATE, path, size);
}

static void refuse_job(struct worker *k, const char *text)
{
	struct why why;

	fail(&why, ERR_invalid_value, "%s", text);
	rpc_refuse(k->rpc, k->msgid, &why);
}

static void answer_job(struct worker *k, const void *result)
{
	struct why why;

	must(rpc_answer(k->rpc, k->msgid, &letter_kinds[k->kind], result, &why) == OK);
}

static bool copy_file(struct worker *k)
{
	char path[NODE_PATH_BYTES];
	struct node *n;

	if (k->from[0])
		path_of(path, k->p->extra, k->from);
	else
		must(str_copy(path, sizeof(path), k->p->extra));
	n = node_find(k->sim, k->p->extra_area, path);
	return n && make(k, k->to, n->size);
}

/* As much as may be written without a grant, or less. */
static uint64_t write_bundle(struct worker *k)
{
	static const uint8_t bytes[CHUNK_BYTES];
	uint64_t n = sim_roll(k->sim, WINDOW_BYTES + 1), left = n;
	struct why why;

	while (left > 0) {
		struct stream_data d = { 1, 1, { bytes, (size_t)MIN(left, sizeof(bytes)) } };

		must(rpc_note(k->rpc, &letter_kinds[LETTER_stream_data], &d, &why) == OK);
		left -= d.data.n;
	}
	return n;
}

static void do_job(struct worker *k)
{
	static const char *const services[] = { "sshd:22", "web:80" };
	struct image_facts image = { .size = GiB, .used = 200 * MiB, .files = 9000,
		.init = init_kind_systemd, .os = "Simulated", .home = "/root", .digest = DIGEST,
		.config.services = { (const char **)(uintptr_t)services,
			(uint32_t)sim_roll(k->sim, 3) } };
	struct image_made made = { .facts = image };
	struct work_exported exported = { 0 };
	struct kernel_facts kernel = { .release = "6.1.0", .arch = "x86_64", .size = 30 * MiB,
		.pvh = true, .digest = DIGEST, .agent = "none" };
	struct work_fetched fetched = { "linux.deb", 60 * MiB, "linux-image" };
	struct work_copied copied = { MiB };
	struct nothing none;
	bool modules = sim_chance(k->sim, 800);
	bool good = false;

	switch ((int)k->kind) {
	case LETTER_work_registry:
		good = true;
		break;
	case LETTER_work_image:
	case LETTER_work_pull:
		good = make(k, "root.ext4", GiB) && make(k, "work.ext4", 64 * MiB);
		break;
	case LETTER_work_inspect:
	case LETTER_work_seed:
		good = make(k, "work.ext4", 64 * MiB);
		break;
	case LETTER_work_kernel:
		good = make(k, "vmlinux", 30 * MiB);
		kernel.modules = modules ? 900 : 0;
		kernel.modules_size = modules ? 90 * MiB : 0;
		if (modules)
			good = good && make(k, "modules.ext4", 90 * MiB) &&
			       make(k, "modules.cpio", 9 * MiB);
		break;
	case LETTER_work_initramfs:
		good = make(k, "initramfs.cpio", 10 * MiB);
		break;
	case LETTER_work_fetch:
		good = make(k, fetched.file, fetched.size);
		break;
	case LETTER_work_export:
		exported.bytes = write_bundle(k);
		good = true;
		break;
	default:
		good = copy_file(k);
		break;
	}
	if (good && k->kind == LETTER_work_pull)
		sim_mark(k->sim, MARK_pulled);
	if (!good)
		refuse_job(k, "cannot write: no space left on device");
	else
		answer_job(k, letter_kinds[k->kind].out == &shape_image_made ?
				      (const void *)&made :
			      letter_kinds[k->kind].out == &shape_image_facts ?
				      (const void *)&image :
			      k->kind == LETTER_work_export ? (const void *)&exported :
			      k->kind == LETTER_work_kernel ? (const void *)&kernel :
			      k->kind == LETTER_work_fetch  ? (const void *)&fetched :
			      k->kind == LETTER_work_copy   ? (const void *)&copied :
							      (const void *)&none);
}

static void be_rude(struct worker *k)
{
	struct stream_credit much = { 1, 2, 1000 };
	struct stream_data nothing = { 1, 1, { (const uint8_t *)"", 0 } };
	struct why why;

	if (sim_chance(k->sim, 200))
		must(rpc_note(k->rpc, &letter_kinds[LETTER_stream_data], &nothing, &why) == OK);
	else if (sim_chance(k->sim, 400))
		must(rpc_note(k->rpc, &letter_kinds[LETTER_stream_credit], &much, &why) == OK);
	else if (sim_chance(k->sim, 500))
		rpc_answer_packed(k->rpc, k->msgid, (struct bytes){ (const uint8_t *)"\x07", 1 });
	else
		chan_write(rpc_chan(k->rpc), "\xc1\xc1", 2);
}

static void act(void *ctx, uint64_t steps)
{
	struct work_progress progress = { .done = 1000 * (10 - steps), .detail = "files" };
	struct worker *k = ctx;
	struct why why;

	if (steps > 0) {
		must(rpc_note(k->rpc, &letter_kinds[LETTER_work_progress], &progress, &why) == OK);
		sim_after(k->sim, sim_between(k->sim, 1, 400), act, k, steps - 1);
		return;
	}
	k->over = true;
	switch (k->fate) {
	case FATE_WORK:
		do_job(k);
		return;
	case FATE_DIE:
		sim_mark(k->sim, MARK_worker_died);
		proc_exit_later(k->p, 0, sim_chance(k->sim, 500) ? 1 : 139);
		return;
	case FATE_REFUSE:
		sim_mark(k->sim, MARK_worker_refused);
		refuse_job(k, "this is no archive");
		return;
	case FATE_HANG:
		sim_mark(k->sim, MARK_worker_hung);
		return;
	case FATE_RUDE:
		sim_mark(k->sim, MARK_worker_rude);
		be_rude(k);
		return;
	}
}

/* ---- a pull: one downloads, one builds ---- */

/* Layers of few kinds, so that pulls share them. */
static void digest_of(char out[72], uint64_t which)
{
	memset(out, "abcdef0123456789"[which], 71);
	memcpy(out, "sha256:", 7);
	out[71] = '\0';
}

static void say_have(void *ctx, uint64_t at)
{
	struct worker *k = ctx;
	const struct want *w = &k->wants[at % WANTS_MAX];
	bool whole = at >= WANTS_MAX;
	struct work_have have = { .digest = w->digest, .bytes = whole ? w->size : w->size / 2,
		.ready = whole ? w->size : 0, .whole = whole, .tag = w->tag[0] ? w->tag : NULL };
	struct why why;

	if (k->fate != FATE_WORK && sim_chance(k->sim, 300)) {
		sim_forget(k->sim, k);
		act(k, 0);
		return;
	}
	if (!whole)
		sim_after(k->sim, sim_between(k->sim, 1, 400), say_have, k, at + WANTS_MAX);
	must(rpc_note(k->rpc, &letter_kinds[LETTER_work_have], &have, &why) == OK);
}

static void on_want(struct worker *k, const struct work_want *q)
{
	struct want *w = &k->wants[k->wants_n];
	bool whole = q->tag || sim_chance(k->sim, 300);

	if (k->over)
		return;
	if (k->wants_n == WANTS_MAX || (!q->tag && !q->digest))
		sim_fail(k->sim, "a downloader is asked for too much, or for nothing");
	str_copy(w->tag, sizeof(w->tag), q->tag ? q->tag : "");
	digest_of(w->digest, 15);
	if (q->digest)
		str_copy(w->digest, sizeof(w->digest), q->digest);
	w->size = q->size ? q->size : 500;
	sim_after(k->sim, sim_between(k->sim, 1, 300), say_have, k,
		k->wants_n++ + (whole ? WANTS_MAX : 0));
}

static void want(struct worker *k, const struct work_want *w)
{
	struct why why;

	must(rpc_note(k->rpc, &letter_kinds[LETTER_work_want], w, &why) == OK);
}

static void want_first(void *ctx, uint64_t arg UNUSED)
{
	want(ctx, &(struct work_want){ .tag = "latest", .manifest = true, .has_manifest = true });
}

static void on_have(struct worker *k, const struct work_have *have)
{
	uint64_t first = sim_roll(k->sim, 5);
	char digest[72];

	if (!have->whole || k->over)
		return;
	for (uint64_t i = 0; have->tag && i < LAYERS; i++) {
		digest_of(digest, first + i);
		want(k, &(struct work_want){ .digest = digest, .size = 1000, .has_size = true,
			.layer = true, .has_layer = true });
	}
	k->whole += !have->tag;
	if (k->whole == LAYERS)
		sim_after(k->sim, sim_between(k->sim, 1, 300), act, k, sim_roll(k->sim, 4));
	if (k->whole > LAYERS)
		sim_fail(k->sim, "a builder is told of what it did not want");
}

/* ---- what it is told ---- */

static bool read_job(struct worker *k, struct bytes params)
{
	union {
		struct work_image image;
		struct work_inspect inspect;
		struct work_seed seed;
		struct work_kernel kernel;
		struct work_initramfs initramfs;
		struct work_fetch fetch;
		struct work_export export;
		struct work_copy copy;
		struct work_pull pull;
		struct work_registry registry;
	} body;
	struct arena a = { .max = 64 * KiB };
	struct why why;
	bool good = shape_read(letter_kinds[k->kind].in, mp_over(params.p, params.n), STRICT, &a,
			    &body, &why) == OK;

	if (good && k->kind == LETTER_work_copy) {
		str_copy(k->from, sizeof(k->from), body.copy.from ? body.copy.from : "");
		str_copy(k->to, sizeof(k->to), body.copy.to);
	}
	k->streams = k->kind == LETTER_work_image || k->kind == LETTER_work_registry ||
		     (k->kind == LETTER_work_kernel && good && !body.kernel.file);
	arena_done(&a);
	return good;
}

static enum worker_fate fate_of(struct sim *s)
{
	if (s->calm || !sim_chance(s, s->weather.worker))
		return FATE_WORK;
	return (enum worker_fate)sim_between(s, FATE_DIE, FATE_RUDE);
}

static void on_request(void *ctx, uint32_t msgid, struct bytes method, struct bytes params)
{
	struct worker *k = ctx;

	k->kind = letter_by_method((const char *)method.p, method.n);
	k->msgid = msgid;
	if (k->kind < LETTER_work_image || k->kind > LETTER_work_registry || !read_job(k, params))
		sim_fail(k->sim, "a worker cannot read its job %.*s", (int)method.n,
			(const char *)method.p);
	k->fate = fate_of(k->sim);
	if (k->kind == LETTER_work_pull)
		sim_after(k->sim, sim_between(k->sim, 1, 100), want_first, k, 0);
	else if (!k->streams || (k->fate != FATE_WORK && sim_chance(k->sim, 500)))
		sim_after(k->sim, sim_between(k->sim, 1, 300), act, k, sim_roll(k->sim, 4));
}

static bool on_talk(struct worker *k, enum letter_id id, struct bytes params)
{
	struct arena a = { .max = 64 * KiB };
	struct why why;
	bool good = (id == LETTER_work_want && k->kind == LETTER_work_registry) ||
		    (id == LETTER_work_have && k->kind == LETTER_work_pull);
	union {
		struct work_want want;
		struct work_have have;
	} body;

	if (!good)
		return false;
	if (shape_read(letter_kinds[id].in, mp_over(params.p, params.n), STRICT, &a, &body, &why))
		sim_fail(k->sim, "a worker cannot read what another says: %s", why.text);
	if (id == LETTER_work_want)
		on_want(k, &body.want);
	else
		on_have(k, &body.have);
	arena_done(&a);
	return true;
}

static void on_note(void *ctx, struct bytes method, struct bytes params)
{
	enum letter_id id = letter_by_method((const char *)method.p, method.n);
	struct arena a = { .max = 64 * KiB };
	struct stream_credit credit = { 1, 0, 0 };
	struct worker *k = ctx;
	struct stream_data d;
	struct why why;

	if (on_talk(k, id, params) ||
		(id == LETTER_stream_credit && k->kind == LETTER_work_export))
		return;
	if (id != LETTER_stream_data || shape_read(&shape_stream_data, mp_over(params.p, params.n),
						STRICT, &a, &d, &why))
		sim_fail(k->sim, "a worker was told %.*s", (int)method.n, (const char *)method.p);
	if (!k->streams || d.stream != 1 || d.ch != 0 || !window_use(&k->window, d.data.n))
		sim_fail(k->sim, "a worker got bytes that it had not granted");
	credit.bytes = window_passed(&k->window, d.data.n);
	if (credit.bytes)
		must(rpc_note(k->rpc, &letter_kinds[LETTER_stream_credit], &credit, &why) == OK);
	if (d.data.n == 0 && !k->over) {
		k->streams = false;
		sim_forget(k->sim, k);
		sim_after(k->sim, sim_between(k->sim, 1, 300), act, k, sim_roll(k->sim, 4));
	}
	arena_done(&a);
}

static void on_closed(void *ctx, const struct why *why)
{
	struct worker *k = ctx;

	if (why->code == ERR_malformed)
		sim_fail(k->sim, "letters to a worker are malformed: %s", why->text);
	sim_forget(k->sim, k);
	proc_exit_later(k->p, 1, 0);
}

static const struct rpc_user rpc_user = {
	.request = on_request,
	.note = on_note,
	.closed = on_closed,
};

void worker_begin(struct proc *p, struct chan *letters)
{
	struct worker *k = calloc(1, sizeof(*k));

	must(k);
	k->p = p;
	k->sim = p->sim;
	p->worker = k;
	window_init(&k->window);
	k->rpc = rpc_new(letters, FRAME_BYTES_MAX, &rpc_user, k);
	must(k->rpc);
}

void worker_end(struct proc *p)
{
	struct worker *k = p->worker;

	sim_forget(k->sim, k);
	rpc_free(k->rpc);
	free(k);
	p->worker = NULL;
}
