/*
 * ledger.c - the helper's memory of what it made.
 *
 * A record in the file is: length (4 bytes, little endian), CRC-32 of the payload (4 bytes, little
 * endian), payload (a packed priv_entry; the first record is a priv_ledger_head). A torn tail is
 * cut off. No fsync: the file outlives the process by the kernel's page cache, and of what it names
 * only jails outlive the kernel; a jail that is not in it is found by its place.
 */
#include "helper/ledger.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "sys/beneath.h"

enum { RECORD_MAX = 16384, FILE_MAX = 64 * 1048576, HEAD_BYTES = 8, SLACK = 4096 };

static const char file_name[] = ".ledger", new_name[] = ".ledger.new";

struct ledger {
	int dir, fd;
	char boot_id[40];
	struct table entries;
	unsigned counts[priv_thing_COUNT];
	unsigned stale; /* records in the file that say nothing any more */
};

static uint32_t crc32_of(const uint8_t *p, size_t n)
{
	uint32_t crc = ~0u;

	for (size_t i = 0; i < n; i++) {
		crc ^= p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	}
	return ~crc;
}

static void put_le32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static uint32_t get_le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void make_key(char *out, size_t size, enum priv_thing kind, const char *name)
{
	snprintf(out, size, "%s/%s", word_of(priv_thing, kind), name);
}

static struct ledger_entry *find(const struct ledger *l, enum priv_thing kind, const char *name)
{
	char key[sizeof(((struct ledger_entry *)0)->key)];
	struct link *k;

	make_key(key, sizeof(key), kind, name);
	k = table_get(&l->entries, key, strlen(key));
	return k ? CONTAINER_OF(k, struct ledger_entry, by_key) : NULL;
}

static void drop(struct ledger *l, struct ledger_entry *e)
{
	table_del(&l->entries, &e->by_key);
	l->counts[e->r.kind]--;
	arena_done(&e->mem);
	free(e);
}

/* ---- in memory ---- */

static enum err keep(struct ledger *l, const struct priv_entry *r, struct why *why)
{
	struct ledger_entry *e = calloc(1, sizeof(*e)), *old;
	enum err err;

	if (!e)
		return fail(why, ERR_no_memory, "no memory for the ledger");
	e->mem.max = RECORD_MAX;
	e->mem.block = 64; /* there may be thousands, of a few words each */
	make_key(e->key, sizeof(e->key), r->kind, r->name);
	err = shape_copy(&shape_priv_entry, r, &e->r, &e->mem, why);
	old = find(l, r->kind, r->name);
	if (!err && old)
		drop(l, old);
	if (!err && !table_add(&l->entries, &e->by_key, e->key, strlen(e->key)))
		err = fail(why, ERR_no_memory, "no memory for the ledger");
	if (err) {
		arena_done(&e->mem);
		free(e);
		return err;
	}
	l->counts[r->kind]++;
	return OK;
}

static void apply(struct ledger *l, const struct priv_entry *r)
{
	struct ledger_entry *old = find(l, r->kind, r->name);
	struct why why;

	l->stale += old != NULL || r->gone;
	if (r->gone && old)
		drop(l, old);
	if (!r->gone && keep(l, r, &why))
		log_line(LOG_ERROR, "ledger", "entry not kept", "name", r->name, "why", why.text,
			NULL);
}

/* ---- the file ---- */

static enum err append(int fd, const struct shape *shape, const void *record, struct why *why)
{
	own_buf b = { .max = RECORD_MAX };
	uint8_t *head = buf_room(&b, HEAD_BYTES);
	off_t end = lseek(fd, 0, SEEK_END);
	enum err e;

	if (!head || end < 0)
		return fail(why, ERR_internal, "the ledger cannot be written");
	b.n = HEAD_BYTES;
	e = shape_pack(shape, record, &b, why);
	if (e)
		return e;
	put_le32(b.p, (uint32_t)(b.n - HEAD_BYTES));
	put_le32(b.p + 4, crc32_of(b.p + HEAD_BYTES, b.n - HEAD_BYTES));
	if (write_all(fd, b.p, b.n))
		return OK;
	e = fail_errno(why, "cannot write the ledger");
	(void)!ftruncate(fd, end); /* no half record before the next one */
	return e;
}

/* The payload at *at; false at the end of what is whole. */
static bool next_record(const struct buf *b, size_t *at, struct bytes *ret)
{
	uint32_t n;

	if (b->n - *at < HEAD_BYTES)
		return false;
	n = get_le32(b->p + *at);
	if (n > RECORD_MAX || n > b->n - *at - HEAD_BYTES)
		return false;
	*ret = (struct bytes){ b->p + *at + HEAD_BYTES, n };
	if (get_le32(b->p + *at + 4) != crc32_of(ret->p, n))
		return false;
	*at += HEAD_BYTES + n;
	return true;
}

static bool outlives_boot(enum priv_thing kind)
{
	return kind == priv_thing_jail;
}

static void read_all(struct ledger *l, const struct buf *b)
{
	struct arena a = { .max = RECORD_MAX * 4 };
	struct priv_ledger_head head;
	struct bytes rec;
	size_t at = 0;
	bool same_boot;

	if (!next_record(b, &at, &rec) || shape_read(&shape_priv_ledger_head, mp_over(rec.p, rec.n),
						  LENIENT, &a, &head, NULL)) {
		arena_done(&a);
		return;
	}
	same_boot = str_eq(head.boot_id, l->boot_id);
	while (next_record(b, &at, &rec)) {
		struct priv_entry r;

		arena_reset(&a);
		if (shape_read(&shape_priv_entry, mp_over(rec.p, rec.n), LENIENT, &a, &r, NULL))
			continue;
		if (same_boot || outlives_boot(r.kind))
			apply(l, &r);
	}
	if (at < b->n)
		log_line(LOG_WARN, "ledger", "cut off a torn end", "bytes", log_u64(b->n - at).s,
			NULL);
	arena_done(&a);
}

/* Writes what is known into a new file, which takes the old one's place. */
static enum err compact(struct ledger *l, struct why *why)
{
	struct priv_ledger_head head = { l->boot_id, 1 };
	own_fd fd = open_beneath(
		l->dir, new_name, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW, 0600);
	enum err e;

	if (fd < 0)
		return fail_errno(why, "cannot make the ledger");
	e = append(fd, &shape_priv_ledger_head, &head, why);
	for (struct link *k = table_next(&l->entries, NULL); k && !e;
		k = table_next(&l->entries, k))
		e = append(fd, &shape_priv_entry, &CONTAINER_OF(k, struct ledger_entry, by_key)->r,
			why);
	if (!e && (fsync(fd) < 0 || renameat(l->dir, new_name, l->dir, file_name) < 0))
		e = fail_errno(why, "cannot replace the ledger");
	if (e) {
		unlinkat(l->dir, new_name, 0);
		return e;
	}
	fd_done(&l->fd);
	l->fd = take_fd(&fd);
	l->stale = 0;
	return OK;
}

enum err ledger_open(int dir, const char *boot_id, struct ledger **ret, struct why *why)
{
	struct ledger *l = calloc(1, sizeof(*l));
	own_buf b = { .max = FILE_MAX };
	enum err e;

	if (!l)
		return fail(why, ERR_no_memory, "no memory for the ledger");
	l->dir = dir;
	l->fd = -1;
	snprintf(l->boot_id, sizeof(l->boot_id), "%s", boot_id);
	table_init(&l->entries, 0x62616e676572);
	e = read_file(dir, file_name, FILE_MAX, &b, why);
	if (!e)
		read_all(l, &b);
	if (!e || e == ERR_not_found)
		e = compact(l, why);
	if (e) {
		ledger_close(l);
		return e;
	}
	*ret = l;
	return OK;
}

void ledger_close(struct ledger *l)
{
	struct link *k;

	if (!l)
		return;
	while ((k = table_next(&l->entries, NULL)) != NULL)
		drop(l, CONTAINER_OF(k, struct ledger_entry, by_key));
	table_done(&l->entries);
	fd_done(&l->fd);
	free(l);
}

/* ---- use ---- */

uint64_t ledger_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void compact_when_worth_it(struct ledger *l)
{
	struct why why;

	if (l->stale > SLACK && compact(l, &why))
		log_line(LOG_WARN, "ledger", "not compacted", "why", why.text, NULL);
}

enum err ledger_note(struct ledger *l, const struct priv_entry *r, struct why *why)
{
	enum err e;

	must(!r->gone);
	if (l->entries.count >= LEDGER_ENTRIES_MAX)
		return fail(why, ERR_busy, "the ledger holds %d things, one more is refused",
			LEDGER_ENTRIES_MAX);
	e = append(l->fd, &shape_priv_entry, r, why);
	if (e)
		return e;
	l->stale += find(l, r->kind, r->name) != NULL;
	e = keep(l, r, why);
	compact_when_worth_it(l);
	return e;
}

enum err ledger_forget(struct ledger *l, enum priv_thing kind, const char *name, struct why *why)
{
	struct ledger_entry *old = find(l, kind, name);
	struct priv_entry gone;
	enum err e;

	if (!old)
		return OK;
	gone = (struct priv_entry){
		.kind = kind, .name = old->r.name, .gone = true, .made = old->r.made
	};
	e = append(l->fd, &shape_priv_entry, &gone, why);
	if (e)
		log_line(LOG_WARN, "ledger", "entry stays", "name", gone.name, NULL);
	else
		drop(l, old);
	l->stale += 2;
	compact_when_worth_it(l);
	return e;
}

const struct priv_entry *ledger_find(const struct ledger *l, enum priv_thing kind, const char *name)
{
	const struct ledger_entry *e = find(l, kind, name);

	return e ? &e->r : NULL;
}

unsigned ledger_count(const struct ledger *l, enum priv_thing kind)
{
	return l->counts[kind];
}

void ledger_each(struct ledger *l, enum priv_thing kind,
	void (*fn)(void *ctx, const struct priv_entry *r), void *ctx)
{
	struct link *k, *next;

	for (k = table_next(&l->entries, NULL); k; k = next) {
		const struct ledger_entry *e = CONTAINER_OF(k, struct ledger_entry, by_key);

		next = table_next(&l->entries, k);
		if (e->r.kind == kind)
			fn(ctx, &e->r);
	}
}
