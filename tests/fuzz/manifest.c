/*
 * fuzz/manifest.c - the first byte picks a reader of image archives' JSON, the rest is the JSON.
 * What it answers is whole, and small enough for its table.
 */
#include "tests/fuzz/fuzz.h"

#include "base/text.h"
#include "worker/manifest.h"

static void whole(const struct manifest *m)
{
	must(m->config && m->config[0]);
	must(m->layers_n <= LAYERS_MAX);
	for (uint32_t i = 0; i < m->layers_n; i++)
		must(m->layers[i] && m->layers[i][0]);
}

static void config(struct bytes json, struct arena *a)
{
	own_buf packed = { .max = 8 * MiB };
	struct manifest_config c;
	struct image_config again;
	struct why why;

	if (manifest_config(json, "amd64", a, &c, &why))
		return;
	must(c.diff_ids_n <= LAYERS_MAX);
	for (uint32_t i = 0; i < c.diff_ids_n; i++)
		must(c.diff_ids[i]);
	must(!shape_pack(&shape_image_config, &c.run, &packed, &why));
	must(!shape_read(
		&shape_image_config, mp_over(packed.p, packed.n), STRICT, a, &again, &why));
}

/* What a label leads to may stand in a letter. */
static void label(struct bytes text, struct arena *a)
{
	char *s = arena_strn(a, text.p, text.n);
	struct image_config c = { .workdir = NULL };
	own_buf packed = { .max = MiB };
	struct why why;

	if (!s || !utf8_valid(s, strlen(s)) || manifest_services(s, a, &c, &why))
		return;
	must(c.services.n <= 16 && !shape_pack(&shape_image_config, &c, &packed, &why));
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct bytes json = { p + 1, n - 1 };
	struct manifest m = { .config = NULL };
	const char *file = NULL;
	struct why why;
	struct arena a;
	uint64_t size;
	bool is;

	if (n < 1)
		return 0;
	arena_init(&a, 16 * MiB);
	if (p[0] % 6 == 0 && manifest_docker(json, &a, &m, &why) == OK)
		whole(&m);
	if (p[0] % 6 == 1 && manifest_index(json, "amd64", p[0] & 8, &a, &file, &size, &why) == OK)
		must(file && file[0]);
	if (p[0] % 6 == 2 && manifest_is_index(json, &is, &why) != OK)
		must(why.text[0]);
	if (p[0] % 6 == 3 && manifest_oci(json, &a, &m, &why) == OK)
		whole(&m);
	if (p[0] % 6 == 4)
		config(json, &a);
	if (p[0] % 6 == 5)
		label(json, &a);
	arena_done(&a);
	return 0;
}
