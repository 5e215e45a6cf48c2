/*
 * fuzz/registry.c - references, WWW-Authenticate, Content-Range, docker's files, and packed layers:
 * what comes from users' files and from registries, in any bytes. The first byte chooses.
 */
#include "tests/fuzz/fuzz.h"

#include "base/text.h"
#include "cli/docker.h"
#include "proto/check.h"
#include "worker/challenge.h"
#include "worker/layer.h"

static void references(struct bytes in)
{
	char text[REFERENCE_BYTES], again[REFERENCE_BYTES];
	struct reference r, same;

	if (reference_read((const char *)in.p, in.n, &r))
		return;
	must(r.host[0] && r.path[0] && !strstr(r.path, "..") && !strchr(r.host, '/'));
	must(r.tag[0] || r.digest[0]);
	reference_text(&r, text);
	must(strlen(text) < REFERENCE_BYTES - 1 && utf8_valid(text, strlen(text)));
	must(!reference_read(text, strlen(text), &same));
	reference_text(&same, again);
	must(str_eq(text, again));
}

static void headers(struct bytes in)
{
	struct challenge c = { .basic = false };
	uint64_t from;

	(void)!challenge_read((const char *)in.p, in.n, &c);
	must(memchr(c.realm, '\0', sizeof(c.realm)) && memchr(c.scope, '\0', sizeof(c.scope)));
	must(memchr(c.service, '\0', sizeof(c.service)));
	must(c.bearer || (!c.realm[0] && !c.service[0] && !c.scope[0]));
	(void)!content_range_from((const char *)in.p, in.n, &from);
}

static void files(struct bytes in)
{
	static const char ref[] = "h.x:5/a/b";
	struct docker_login login;
	struct reference r;
	const char *helper;
	struct arena a;
	struct why why;

	arena_init(&a, MiB);
	must(!reference_read(ref, strlen(ref), &r));
	if (docker_file(in, &r, &a, &login, &helper, &why))
		must(why.text[0]);
	else
		must(!helper || !strchr(helper, '/'));
	if (docker_helped(in, &a, &login, &why))
		must(why.text[0]);
	arena_done(&a);
}

static enum err piece(struct source *s, const uint8_t **p, size_t *n, struct why *why UNUSED)
{
	struct bytes *in = s->ctx;

	*p = in->p;
	*n = MIN(in->n, 100u);
	in->p += *n;
	in->n -= *n;
	return OK;
}

static void layers(struct bytes in)
{
	struct source packed;
	struct unpacker *u;
	struct why why;

	source_init(&packed, piece, &in, 0);
	if (unpacker_new(&packed, 16 * MiB, &u, &why))
		return;
	if (source_drain(unpacker_source(u), &why))
		must(why.text[0]);
	else
		must(unpacker_source(u)->total <= 16 * MiB);
	unpacker_free(u);
	source_done(&packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	own_buf text = { .max = 4 * MiB };
	struct bytes in;

	if (n == 0)
		return 0;
	buf_add(&text, p + 1, n - 1);
	buf_add(&text, "", 1); /* readers of text want a NUL behind it */
	in = (struct bytes){ text.p, n - 1 };
	switch (p[0] % 4) {
	case 0:
		references(in);
		break;
	case 1:
		headers(in);
		break;
	case 2:
		files(in);
		break;
	default:
		layers(in);
		break;
	}
	return 0;
}
