/*
 * import.c - image.import: an image from the bytes of a client.
 *
 * The bytes go to a worker as they come and are never seen here. What the worker says of the result
 * is checked like any peer's. The image is visible when the operation has ended well, not before.
 */
#include "actors/image/image.h"

enum { FILES_MAX = 5000000 };
#define CONTENT_MAX (64 * GiB)

/* ---- state ---- */

struct import {
	struct making m;
	struct images *s;
	struct arena mem;
	struct image_import ask; /* in mem */
	struct image *fresh; /* when the worker has told what it is */
};

static void import_free(struct import *p)
{
	image_free(p->fresh);
	arena_done(&p->mem);
	free(p);
}

void image_import_ended(void *state, struct making *m, const struct why *why)
{
	struct import *p = CONTAINER_OF(m, struct import, m);

	if (!why) {
		image_appear(state, p->fresh);
		p->fresh = NULL;
	}
	import_free(p);
}

/* ---- steps ---- */

static enum err take_facts(struct making *m, const void *result, struct why *why)
{
	struct import *p = CONTAINER_OF(m, struct import, m);
	struct image_record r = { .name = m->name, .id = m->id,
		.created = world_unix_ms(p->s->world), .managed = true, .named = true,
		.facts = *(const struct image_facts *)result };

	if (making_has(m, ROOT_FILE, why) || making_has(m, WORK_FILE, why))
		return why->code;
	p->fresh = image_new(&r, why);
	return p->fresh ? OK : why->code;
}

static enum flow_said unpack(void *owner UNUSED, struct flow *f)
{
	struct import *p = CONTAINER_OF((struct making *)f->subject, struct import, m);
	struct work_image body = { .format = p->ask.has_format ? p->ask.format : pack_kind_auto,
		.size = p->ask.size, .has_size = p->ask.has_size, .files_max = FILES_MAX,
		.user = p->ask.user, .work_size = p->s->env->config->disk };

	if (making_room(&p->m, CONTENT_MAX, &body.content_max, &f->why))
		return FLOW_FAILED;
	return making_work(&p->m, LETTER_work_image, &body, true, NULL, take_facts);
}

static void written(void *state, uint64_t ctx, const struct why *why, const void *result UNUSED,
	struct arena *arena UNUSED)
{
	making_written(&((struct images *)state)->makings, ctx, why);
}

/* The image whose name is taken; its record must not come back when it is being deleted. */
static enum err replaced(struct import *p, struct image **ret, struct why *why)
{
	*ret = image_by_name(p->s, p->m.name);
	if (!*ret || p->ask.replace)
		return OK;
	fail_field(why, ERR_exists, "name", "image '%s' is there already", p->m.name);
	return fail_hint(why, "`--replace` takes its name");
}

static enum err put_old(struct store_put *ret, const struct image *old, bool named, struct arena *a,
	struct why *why)
{
	struct image_record r = old->r;

	r.named = named;
	return record_put(ret, store_table_image, r.id, &shape_image_record, &r, a, why);
}

/* The new record, the old one without its name, and the end of the journal entry: all or none. */
static enum flow_said record(void *owner UNUSED, struct flow *f)
{
	struct import *p = CONTAINER_OF((struct making *)f->subject, struct import, m);
	char key[JOURNAL_KEY_BYTES];
	struct store_put puts[3];
	struct image *old;
	struct arena a;
	uint32_t n = 0;
	enum err e = replaced(p, &old, &f->why);
	enum flow_said said = FLOW_FAILED;

	arena_init(&a, 0);
	if (!e)
		e = record_put(&puts[n++], store_table_image, p->m.id, &shape_image_record,
			&p->fresh->r, &a, &f->why);
	if (!e && puts[0].value.n > RECORD_CEILING)
		e = fail(&f->why, ERR_too_large,
			"the image's own configuration (environment, command) is over %d KiB",
			RECORD_CEILING / 1024);
	if (!e && old)
		e = put_old(&puts[n++], old, false, &a, &f->why);
	if (!e) {
		journal_key(key, f->op);
		puts[n++] = (struct store_put){ .table = store_table_flow, .key = key };
		p->m.final = true;
		said = making_write(&p->m, puts, n, written);
	}
	arena_done(&a);
	return said;
}

/* Reached only when it is not known whether the record is on disk. */
static enum flow_said undo_record(void *owner UNUSED, struct flow *f)
{
	struct import *p = CONTAINER_OF((struct making *)f->subject, struct import, m);
	struct image *old = image_by_name(p->s, p->m.name);
	enum flow_said said = FLOW_DONE;
	struct store_put puts[2];
	struct arena a;
	uint32_t n = 1;

	if (!p->m.final)
		return FLOW_DONE;
	arena_init(&a, 0);
	puts[0] = (struct store_put){ .table = store_table_image, .key = p->m.id };
	if (!old || put_old(&puts[n++], old, true, &a, NULL) == OK)
		said = making_write(&p->m, puts, n, written);
	arena_done(&a);
	return said;
}

static const struct flow_step steps[] = {
	{ "prepare", making_prepare, making_undo_prepare, 4 },
	{ "unpack", unpack, making_undo_work, 0 },
	{ "publish", making_publish, making_undo_publish, 0 },
	{ "record", record, undo_record, 0 },
};

static const struct flow_kind import_flow = {
	.name = IMAGE_AREA ".import",
	.steps = steps,
	.count = COUNT(steps),
};

/* ---- letters in ---- */

static enum err begin(struct images *s, const struct letter *l, const struct image_import *q,
	struct why *why)
{
	struct import *p;
	enum err e = making_admit(&s->makings, q->name, why);

	if (e)
		return e;
	if (!q->replace && image_by_name(s, q->name)) {
		fail_field(why, ERR_exists, "name", "image '%s' is there already", q->name);
		return fail_hint(why, "`--replace` takes its name");
	}
	p = calloc(1, sizeof(*p));
	if (!p)
		return fail(why, ERR_no_memory, "no memory for an import");
	p->s = s;
	arena_init(&p->mem, 64 * KiB);
	e = shape_copy(&shape_image_import, q, &p->ask, &p->mem, why);
	if (e) {
		import_free(p);
		return e;
	}
	p->m.reply = l->reply;
	p->m.quiet = true;
	making_begin(&s->makings, &p->m, &import_flow, q->name, l->client);
	return OK;
}

void image_on_import(void *state, const struct letter *l, const void *body)
{
	struct images *s = state;
	struct why why;

	if (waiting_took(&s->waiting, l, image_on_import))
		return;
	if (begin(s, l, body, &why))
		refuse(s->me, l->reply, &why);
}
