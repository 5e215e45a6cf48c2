/*
 * dm.c - requests to the device-mapper and what it answers.
 *
 * A request is struct dm_ioctl with a payload behind it, in one buffer that the answer comes back
 * in. What an answer declares is checked against the buffer before it is followed.
 */
#include "sys/dm.h"

#include <endian.h>
#include <linux/dm-ioctl.h>
#include <sys/ioctl.h>

#include "base/text.h"

enum { ALIGN = 8, SNAP_MAGIC = 0x70416e53, SNAP_VERSION = 1 };

static struct dm_ioctl *head_of(struct dm_request *r)
{
	return (struct dm_ioctl *)(void *)r->bytes;
}

/* A copy: an answer is read through it, however it is aligned. */
static bool answer_of(const struct dm_request *r, struct dm_ioctl *head)
{
	memcpy(head, r->bytes, sizeof(*head));
	return head->data_start >= sizeof(*head) && head->data_start <= sizeof(r->bytes) &&
	       !(head->flags & DM_BUFFER_FULL_FLAG);
}

static bool pack_target(struct dm_request *r, const struct dm_target *t)
{
	size_t at = (sizeof(struct dm_ioctl) + ALIGN - 1) / ALIGN * ALIGN;
	size_t n = strlen(t->params) + 1, next = (sizeof(struct dm_target_spec) + n + 7) / 8 * 8;
	struct dm_target_spec spec = { .length = t->sectors, .next = (uint32_t)next };

	if (next > sizeof(r->bytes) - at ||
		!str_copy(spec.target_type, sizeof(spec.target_type), t->type))
		return false;
	memcpy(r->bytes + at, &spec, sizeof(spec));
	memcpy(r->bytes + at + sizeof(spec), t->params, n);
	head_of(r)->data_start = (uint32_t)at;
	head_of(r)->target_count = 1;
	return true;
}

bool dm_pack(struct dm_request *r, const char *name, const char *uuid, const struct dm_target *t)
{
	struct dm_ioctl *h = head_of(r);

	memset(r, 0, sizeof(*r));
	h->version[0] = DM_VERSION_MAJOR;
	h->data_size = sizeof(r->bytes);
	h->data_start = sizeof(*h);
	if (!name[0] || !str_copy(h->name, sizeof(h->name), name) ||
		(uuid && !str_copy(h->uuid, sizeof(h->uuid), uuid)))
		return false;
	return !t || pack_target(r, t);
}

bool dm_read_status(const struct dm_request *r, char *out, size_t size)
{
	struct dm_target_spec spec;
	struct dm_ioctl head;
	const char *text;
	size_t room;

	if (!answer_of(r, &head) || head.target_count < 1 ||
		sizeof(r->bytes) - head.data_start <= sizeof(spec))
		return false;
	text = (const char *)r->bytes + head.data_start + sizeof(spec);
	room = sizeof(r->bytes) - head.data_start - sizeof(spec);
	return strnlen(text, room) < room && str_copy(out, size, text);
}

bool dm_read_depends(const struct dm_request *r, dev_t *ret, unsigned *ret_n)
{
	struct dm_target_deps deps;
	struct dm_ioctl head;
	size_t room;

	if (!answer_of(r, &head) || sizeof(r->bytes) - head.data_start < sizeof(deps))
		return false;
	memcpy(&deps, r->bytes + head.data_start, sizeof(deps));
	room = sizeof(r->bytes) - head.data_start - sizeof(deps);
	if (deps.count > room / sizeof(uint64_t) || deps.count > DM_DEPENDS_MAX)
		return false;
	for (uint32_t i = 0; i < deps.count; i++) {
		uint64_t dev;

		memcpy(&dev, r->bytes + head.data_start + sizeof(deps) + i * sizeof(dev),
			sizeof(dev));
		ret[i] = (dev_t)dev; /* the kernel's encoding is libc's where both have bits */
	}
	*ret_n = deps.count;
	return true;
}

/* One number up to `end`. */
static bool number(const char **at, char end, uint64_t *ret)
{
	size_t n = strspn(*at, "0123456789");
	char digits[24];

	if (n == 0 || n >= sizeof(digits) || (*at)[n] != end)
		return false;
	memcpy(digits, *at, n);
	digits[n] = '\0';
	*at += n + (end != '\0');
	return parse_u64(digits, ret, NULL) == OK;
}

bool dm_read_snapshot(const char *text, struct dm_fill *ret)
{
	*ret = (struct dm_fill){ .valid = true };
	if (str_eq(text, "Invalid") || str_eq(text, "Overflow") || str_eq(text, "Merge failed")) {
		ret->valid = false;
		return true;
	}
	return number(&text, '/', &ret->used) && number(&text, ' ', &ret->total) &&
	       number(&text, '\0', &ret->metadata);
}

enum snapshot_header snapshot_header(const uint8_t bytes[16], uint32_t chunk)
{
	uint32_t v[4];

	memcpy(v, bytes, sizeof(v));
	if (v[0] == 0)
		return SNAPSHOT_NEW;
	if (le32toh(v[0]) != SNAP_MAGIC || le32toh(v[2]) != SNAP_VERSION || le32toh(v[3]) != chunk)
		return SNAPSHOT_STRANGE;
	return v[1] ? SNAPSHOT_GOOD : SNAPSHOT_LOST;
}

/* ---- the kernel ---- */

static enum err ask(
	int control, unsigned long what, struct dm_request *r, const char *name, struct why *why)
{
	if (ioctl(control, what, r->bytes) == 0)
		return OK;
	switch (errno) {
	case ENXIO:
		return fail(why, ERR_not_found, "there is no device %s", name);
	case EBUSY:
		if (what == DM_DEV_CREATE)
			return fail(why, ERR_exists, "a device %s exists already", name);
		return fail(why, ERR_busy, "device %s is in use", name);
	default:
		return fail_errno(why, "the device-mapper refuses %s", name);
	}
}

static enum err say(int control, unsigned long what, const char *name, const char *uuid,
	const struct dm_target *t, uint32_t flags, struct dm_request *r, struct why *why)
{
	if (!dm_pack(r, name, uuid, t))
		return fail(why, ERR_too_large, "name or table of device %.40s", name);
	head_of(r)->flags = flags;
	return ask(control, what, r, name, why);
}

enum err dm_create(int control, const char *name, const char *uuid, struct why *why)
{
	struct dm_request r;

	return say(control, DM_DEV_CREATE, name, uuid, NULL, 0, &r, why);
}

enum err dm_load(int control, const char *name, const struct dm_target *t, struct why *why)
{
	struct dm_request r;

	return say(control, DM_TABLE_LOAD, name, NULL, t, 0, &r, why);
}

enum err dm_resume(int control, const char *name, struct why *why)
{
	struct dm_request r;

	return say(control, DM_DEV_SUSPEND, name, NULL, NULL, 0, &r, why);
}

enum err dm_find(int control, const char *name, struct dm_info *ret, struct why *why)
{
	struct dm_request r;
	struct dm_ioctl *h = head_of(&r);
	enum err e = say(control, DM_DEV_STATUS, name, NULL, NULL, 0, &r, why);

	if (e)
		return e;
	*ret = (struct dm_info){
		.dev = (dev_t)h->dev,
		.open_count = h->open_count < 0 ? 0 : (unsigned)h->open_count,
		.active = (h->flags & DM_ACTIVE_PRESENT_FLAG) != 0,
	};
	memcpy(ret->uuid, h->uuid, sizeof(ret->uuid));
	ret->uuid[sizeof(ret->uuid) - 1] = '\0';
	return OK;
}

enum err dm_remove(int control, const char *name, struct why *why)
{
	struct dm_request r;

	return say(control, DM_DEV_REMOVE, name, NULL, NULL, 0, &r, why);
}

enum err dm_status(int control, const char *name, char *out, size_t size, struct why *why)
{
	struct dm_request r;
	enum err e = say(control, DM_TABLE_STATUS, name, NULL, NULL, DM_NOFLUSH_FLAG, &r, why);

	if (!e && !dm_read_status(&r, out, size))
		e = fail(why, ERR_conflict, "device %s has no table", name);
	return e;
}

enum err dm_depends(int control, const char *name, dev_t *ret, unsigned *ret_n, struct why *why)
{
	struct dm_request r;
	enum err e = say(control, DM_TABLE_DEPS, name, NULL, NULL, 0, &r, why);

	if (!e && !dm_read_depends(&r, ret, ret_n))
		e = fail(why, ERR_internal, "the device-mapper's answer about %s", name);
	return e;
}
