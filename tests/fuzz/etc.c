/*
 * fuzz/etc.c - what an image says about its users and itself, in any bytes. Parts of the input end
 * at a byte 0xff: whom to look for, passwd, group; os-release and names of layers are all of it.
 */
#include "tests/fuzz/fuzz.h"

#include "base/text.h"
#include "worker/etc.h"
#include "worker/whiteout.h"

static struct bytes take_part(struct bytes *left)
{
	const uint8_t *end = left->n ? memchr(left->p, 0xff, left->n) : NULL;
	struct bytes part = { left->p, end ? (size_t)(end - left->p) : left->n };
	size_t used = part.n + (end ? 1 : 0);

	left->p += used;
	left->n -= used;
	return part;
}

static void users(struct bytes in)
{
	struct bytes who = take_part(&in), passwd = take_part(&in), group = take_part(&in);
	char user[128], home[1100];
	struct etc_user u;
	struct why why;
	size_t n = MIN(who.n, sizeof(user) - 1);

	memcpy(user, who.p, n);
	user[n] = '\0';
	if (etc_user_find(passwd, group, user, &u, &why)) {
		must(why.text[0]);
		return;
	}
	must(u.uid != UINT32_MAX && u.gid != UINT32_MAX);
	must(strnlen(u.name, sizeof(u.name)) < sizeof(u.name));
	must(strnlen(u.home, sizeof(u.home)) < sizeof(u.home));
	etc_home(&u, home, sizeof(home));
	must(home[0] == '/' && home[1] && utf8_valid(home, strlen(home)));
	must(!strstr(home, "/../") && !strstr(home, "//") && home[strlen(home) - 1] != '/');
}

static void layers(struct bytes name)
{
	struct bytes target;
	enum whiteout w = whiteout_of((const char *)name.p, name.n, &target);

	if (w == WHITEOUT_ONE)
		must(target.n > 0 && target.p + target.n == name.p + name.n);
	else
		must(target.n == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char value[64];

	if (n == 0)
		return 0;
	users((struct bytes){ p, n });
	layers((struct bytes){ p, n });
	if (etc_release((struct bytes){ p, n }, "PRETTY_NAME", value, sizeof(value)))
		must(value[0] && utf8_valid(value, strlen(value)));
	if (etc_release((struct bytes){ p, n }, "ID", value, 4))
		must(strlen(value) < 4);
	return 0;
}
