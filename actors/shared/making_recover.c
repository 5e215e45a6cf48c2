/*
 * making_recover.c - what an earlier daemon left: makings and deletions that were under way.
 *
 * Only what the journal names is removed, and what has not got its name yet. A directory that
 * neither a record nor the journal names stays, and is told of: its record may be one that cannot
 * be read.
 */
#include "actors/shared/making.h"
#include "base/log.h"

enum { DELETIONS = 64 }; /* of one store.write */

/* ---- deletions ---- */

enum err makings_note_deletion(struct makings *ms, uint64_t op, const char *id,
	struct store_put *ret, struct arena *a, struct why *why)
{
	char kind[32], key[JOURNAL_KEY_BYTES];
	struct flow_record r = { .op = op, .kind = kind, .subject = id, .at = 1 };

	snprintf(kind, sizeof(kind), "%s.delete", ms->area);
	journal_key(key, op);
	return record_put(ret, store_table_flow, key, &shape_flow_record, &r, a, why);
}

static void row_gone(void *state UNUSED, uint64_t ctx UNUSED, const struct why *why,
	const void *result UNUSED, struct arena *arena UNUSED)
{
	if (why) /* the next start finds nothing to remove, and tries again */
		log_line(LOG_WARN, "store", "a journal entry stays", "why", why->text, NULL);
}

void makings_remove(struct makings *ms, uint64_t op, const char *id)
{
	char path[MAKING_PATH_BYTES], key[JOURNAL_KEY_BYTES];
	struct store_put put = { .table = store_table_flow, .key = key };
	struct why why;

	if (world_remove(ms->world, STATE, making_path(ms->area, id, NULL, path), &why)) {
		log_line(LOG_WARN, ms->area, "files stay until the next start", "path", path, "why",
			why.text, NULL);
		return;
	}
	journal_key(key, op);
	record_write(ms->me, &put, 1, row_gone, 0);
}

/* ---- after a restart ---- */

static void sweep(struct makings *ms);

static void recovered(struct makings *ms, const struct why *why)
{
	ms->open.n = 0;
	if (!why)
		sweep(ms);
	buf_done(&ms->open);
	ms->recovered(ms->state, why);
}

static void forget_rows(void *state, uint64_t ctx, const struct why *why, const void *result,
	struct arena *arena);

static void forget_more(struct makings *ms)
{
	struct store_put puts[DELETIONS];
	uint32_t n = 0;
	size_t at = 0;

	for (; n < DELETIONS && at < ms->open.n; n++) {
		puts[n] = (struct store_put){ .table = store_table_flow,
			.key = (const char *)ms->open.p + at };
		at += strlen(puts[n].key) + 1;
	}
	if (n == 0) {
		recovered(ms, NULL);
		return;
	}
	record_write(ms->me, puts, n, forget_rows, (uint64_t)(uintptr_t)ms);
	buf_drop(&ms->open, at);
}

static void forget_rows(void *state UNUSED, uint64_t ctx, const struct why *why,
	const void *result UNUSED, struct arena *arena UNUSED)
{
	struct makings *ms = (struct makings *)(uintptr_t)ctx;

	if (why)
		recovered(ms, why);
	else
		forget_more(ms);
}

/*
 * An entry whose record is there was done; any other is undone. Keeps the keys of what is
 * settled.
 */
static void on_row(void *ctx, const char *key, const void *record)
{
	const struct flow_record *r = record;
	struct makings *ms = ctx;
	size_t n = strlen(ms->area);
	char path[MAKING_PATH_BYTES];
	struct why why;

	if (strncmp(r->kind, ms->area, n) != 0 || r->kind[n] != '.' || strlen(r->subject) > 16 ||
		strchr(r->subject, '/'))
		return;
	ms->next = MAX(ms->next, r->op >> ID_MARK_BITS); /* an entry that stays keeps its key */
	if (!ms->known(ms->state, r->subject)) {
		making_path(ms->area, r->subject, NULL, path);
		if (world_remove(ms->world, STATE, path, &why)) {
			log_line(LOG_WARN, ms->area, "files stay until the next start", "path",
				path, "why", why.text, NULL);
			return;
		}
		log_line(LOG_INFO, ms->area, "settled after a restart", "kind", r->kind, "id",
			r->subject, NULL);
	}
	buf_add(&ms->open, key, strlen(key) + 1);
}

static void rows_read(void *ctx, const struct why *why)
{
	struct makings *ms = ctx;
	struct why problem;

	if (!why && ms->open.failed) {
		fail(&problem, ERR_no_memory, "no memory to read the journal");
		why = &problem;
	}
	if (why)
		recovered(ms, why);
	else
		forget_more(ms);
}

static void gather(void *ctx, const char *name)
{
	struct makings *ms = ctx;

	if (name[0] == '.' && strlen(name) <= 64)
		buf_add(&ms->open, name, strlen(name) + 1);
	else if (!ms->known(ms->state, name))
		log_line(LOG_WARN, ms->area, "a directory that no record names", "name", name,
			NULL);
}

static void sweep(struct makings *ms)
{
	char path[MAKING_PATH_BYTES];
	struct why why;
	enum err e = world_list(ms->world, STATE, ms->area, gather, ms, &why);

	for (size_t at = 0; !e && at < ms->open.n;) {
		const char *name = (const char *)ms->open.p + at;

		at += strlen(name) + 1;
		e = world_remove(ms->world, STATE, making_path(ms->area, name, NULL, path), &why);
	}
	if (e)
		log_line(LOG_WARN, ms->area, "cannot sweep", "why", why.text, NULL);
}

void makings_recover(struct makings *ms)
{
	ms->rows = (struct record_scan){ .me = ms->me, .table = store_table_flow,
		.shape = &shape_flow_record, .row = on_row, .done = rows_read, .ctx = ms };
	record_scan(&ms->rows);
}
