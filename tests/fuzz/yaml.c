/*
 * fuzz/yaml.c - any bytes as a configuration file: what is taken satisfies its shape, what is not
 * is refused with a place and a reason.
 */
#include "tests/fuzz/fuzz.h"

#include "conf/catalog.h"
#include "conf/yaml.h"
#include "proto/proto.h"

static void read_as(const struct shape *s, struct bytes text, void *obj, void *again)
{
	uint32_t lines[64] = { 0 };
	own_buf packed = { .max = 4 * MiB };
	struct why why = { .code = OK };
	struct arena a;

	must(s->count <= COUNT(lines));
	arena_init(&a, 4 * MiB);
	if (yaml_read(s, "f.yaml", text, &a, obj, lines, &why)) {
		must(why.code != OK && why.text[0]);
	} else {
		for (uint32_t i = 0; i < s->count; i++)
			must(lines[i] <= text.n + 1);
		if (shape_pack(s, obj, &packed, &why) == OK)
			must(!shape_read(s, mp_over(packed.p, packed.n), STRICT, &a, again, &why));
		else
			must(why.code == ERR_missing_field);
	}
	arena_done(&a);
}

/* The same as a catalog: what is taken fits together, and into a letter. */
static void catalog(struct bytes text)
{
	own_buf packed = { .max = 4 * MiB };
	struct conf_catalog c;
	struct why why = { .code = OK };

	if (catalog_read(&c, "f.yaml", text, arch_amd64, &why)) {
		must(why.code != OK && why.text[0]);
	} else {
		for (uint32_t i = 0; i < c.v.images.n; i++)
			must(!c.v.images.v[i].reference == !!c.v.images.v[i].sha256);
		must(!shape_pack(&shape_catalog, &c.v, &packed, &why));
		must(packed.n < 1000000);
	}
	catalog_done(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct config config = { 0 }, config_again;
	struct install install = { 0 }, install_again;

	read_as(&shape_config, (struct bytes){ p, n }, &config, &config_again);
	read_as(&shape_install, (struct bytes){ p, n }, &install, &install_again);
	catalog((struct bytes){ p, n });
	return 0;
}
