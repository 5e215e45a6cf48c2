/*
 * fuzz/manifest.c - the first byte picks a reader of image archives' and bundles' JSON, the rest is
 * the JSON.
 * What it answers is whole, and small enough for its table.
 */
#include "tests/fuzz/fuzz.h"

#include "base/text.h"
#include "worker/bundle.h"
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

/* What is read can be written, and is then read alike. */
static void bundle(struct bytes json, struct arena *a)
{
	own_buf out = { .max = 4 * MiB }, again = { .max = 4 * MiB };
	struct bundle b, same;
	struct why why;

	if (bundle_read(json, "amd64", a, &b, &why)) {
		must(why.text[0]);
		return;
	}
	must(b.files.n == 2 && b.files.v[0].role != b.files.v[1].role);
	if (bundle_write(&b, &out, &why) == ERR_too_large)
		return;
	must(!bundle_read((struct bytes){ out.p, out.n }, "amd64", a, &same, &why));
	must(!bundle_write(&same, &again, &why));
	must(again.n == out.n && memcmp(again.p, out.p, out.n) == 0);
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
	if (p[0] % 7 == 0 && manifest_docker(json, &a, &m, &why) == OK)
		whole(&m);
	if (p[0] % 7 == 1 && manifest_index(json, "amd64", p[0] & 8, &a, &file, &size, &why) == OK)
		must(file && file[0]);
	if (p[0] % 7 == 2 && manifest_is_index(json, &is, &why) != OK)
		must(why.text[0]);
	if (p[0] % 7 == 3 && manifest_oci(json, &a, &m, &why) == OK)
		whole(&m);
	if (p[0] % 7 == 4)
		config(json, &a);
	if (p[0] % 7 == 5)
		label(json, &a);
	if (p[0] % 7 == 6)
		bundle(json, &a);
	arena_done(&a);
	return 0;
}
