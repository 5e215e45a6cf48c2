/*
 * account.c - passwd and group by hand: a static program has no NSS, and the image's would not fit.
 */
#include "agent/account.h"

#include "agent/image.h"
#include "base/text.h"

enum { FILE_BYTES_MAX = 4194304, FIELDS_MAX = 7 };

/* One line of colon-separated fields. */
struct row {
	struct bytes field[FIELDS_MAX];
	unsigned n;
};

/* The next line that has at least `least` fields; moves *at past it. */
static bool next_row(const char **at, unsigned least, struct row *r)
{
	while (**at) {
		const char *p = *at, *end = p + strcspn(p, "\n");

		*at = *end ? end + 1 : end;
		for (r->n = 0; r->n < FIELDS_MAX; r->n++) {
			const char *colon = memchr(p, ':', (size_t)(end - p));
			const char *stop = colon && r->n + 1 < FIELDS_MAX ? colon : end;

			r->field[r->n] = (struct bytes){ (const uint8_t *)p, (size_t)(stop - p) };
			if (stop == end) {
				r->n++;
				break;
			}
			p = stop + 1;
		}
		if (r->n >= least)
			return true;
	}
	return false;
}

static bool is(struct bytes b, const char *s, size_t n)
{
	return b.n == n && memcmp(b.p, s, n) == 0;
}

static bool number(struct bytes b, uint32_t *ret)
{
	char digits[12];
	uint64_t v;

	if (b.n == 0 || b.n >= sizeof(digits))
		return false;
	memcpy(digits, b.p, b.n);
	digits[b.n] = '\0';
	if (parse_u64(digits, &v, NULL) || v >= UINT32_MAX)
		return false;
	*ret = (uint32_t)v;
	return true;
}

/* passwd: name, password, uid, gid, gecos, home, shell. */
static bool find_user(const char *passwd, const char *user, size_t n, struct row *ret)
{
	struct bytes want = { (const uint8_t *)user, n };
	uint32_t uid, id;
	const char *at;

	for (at = passwd; next_row(&at, 6, ret);)
		if (is(ret->field[0], user, n) && number(ret->field[2], &id))
			return true;
	if (!number(want, &uid))
		return false;
	for (at = passwd; next_row(&at, 6, ret);)
		if (number(ret->field[2], &id) && id == uid)
			return true;
	return false;
}

static bool has_member(struct bytes list, const char *name)
{
	size_t n = strlen(name);

	while (list.n > 0) {
		const uint8_t *comma = memchr(list.p, ',', list.n);
		size_t word = comma ? (size_t)(comma - list.p) : list.n;

		if (is((struct bytes){ list.p, word }, name, n))
			return true;
		word += comma != NULL;
		list.p += word;
		list.n -= word;
	}
	return false;
}

/* group: name, password, gid, members. */
static void find_groups(const char *group, struct account *a)
{
	struct row r;
	uint32_t gid;

	while (next_row(&group, 4, &r))
		if (a->groups_n < ACCOUNT_GROUPS_MAX && has_member(r.field[3], a->name) &&
			number(r.field[2], &gid))
			a->groups[a->groups_n++] = gid;
}

static bool find_group(const char *group, const char *name, uint32_t *ret)
{
	size_t n = strlen(name);
	struct row r;

	while (next_row(&group, 3, &r))
		if (is(r.field[0], name, n) && number(r.field[2], ret))
			return true;
	return number((struct bytes){ (const uint8_t *)name, n }, ret);
}

static const char *text_of(struct arena *a, struct bytes b, const char *otherwise)
{
	return b.n > 0 ? arena_strn(a, b.p, b.n) : otherwise;
}

static enum err from_row(const struct row *r, struct arena *a, struct account *ret, struct why *why)
{
	if (!number(r->field[2], &ret->uid) || !number(r->field[3], &ret->gid))
		return fail_field(why, ERR_invalid_value, "user",
			"the image's /etc/passwd gives this user no numbers");
	ret->name = text_of(a, r->field[0], "");
	ret->home = text_of(a, r->field[5], "/");
	ret->shell = r->n > 6 ? text_of(a, r->field[6], "/bin/sh") : "/bin/sh";
	return OK;
}

enum err account_read(const char *passwd, const char *group, const char *user, struct arena *a,
	struct account *ret, struct why *why)
{
	const char *colon = user ? strchr(user, ':') : NULL;
	size_t n = colon ? (size_t)(colon - user) : user ? strlen(user) : 0;
	struct bytes id = { (const uint8_t *)user, n };
	struct row r;
	enum err e;

	*ret = (struct account){ .name = "root", .home = "/root", .shell = "/bin/sh" };
	if (find_user(passwd, user ? user : "root", user ? n : 4, &r)) {
		e = from_row(&r, a, ret, why);
		if (e)
			return e;
	} else if (user && number(id, &ret->uid)) {
		ret->name = arena_strn(a, user, n);
		ret->home = ret->uid == 0 ? "/root" : "/";
	} else if (user && !is(id, "root", 4)) {
		return fail_field(why, ERR_not_found, "user", "the image has no user '%.*s'",
			(int)n, user);
	}
	if (!ret->name || !ret->home || !ret->shell)
		return fail(why, ERR_no_memory, "no memory for the user");
	find_groups(group, ret);
	if (colon && !find_group(group, colon + 1, &ret->gid))
		return fail_field(why, ERR_not_found, "user", "the image has no group '%s'",
			colon + 1);
	return OK;
}

/*
 * An image without the file has root and numbers, and what is no file there counts as none. But
 * whoever cannot be read about now is not thereby a member of fewer groups.
 */
static enum err read_table(int root, const char *path, struct buf *out, struct why *why)
{
	enum err e = image_read(root, path, FILE_BYTES_MAX, out, why);

	if (e && e != ERR_no_memory && e != ERR_internal) {
		out->n = 0;
		return OK;
	}
	return e;
}

enum err account_find(int root, const char *user, struct arena *a, struct account *ret,
	struct why *why)
{
	own_buf passwd = { 0 };
	own_buf group = { 0 };
	enum err e = read_table(root, "/etc/passwd", &passwd, why);

	if (!e)
		e = read_table(root, "/etc/group", &group, why);
	return e ? e : account_read(buf_cstr(&passwd), buf_cstr(&group), user, a, ret, why);
}
