/*
 * cmd_config.c - `banger config show` and `config path` (row G3). Neither asks the daemon.
 */
#include "base/text.h"
#include "cli/json.h"
#include "cli/report.h"
#include "conf/config.h"

static bool is_set(const struct conf *conf, const struct field *f)
{
	const uint8_t *p = (const uint8_t *)&conf->v;

	return f->op == MAY ? *(const bool *)(p + f->has_off) :
			      *(const void *const *)(const void *)(p + f->off) != NULL;
}

static void value_text(char *out, size_t size, const struct conf *conf, const struct field *f)
{
	const void *p = (const uint8_t *)&conf->v + f->off;
	uint64_t v;

	snprintf(out, size, "-");
	if (!is_set(conf, f))
		return;
	if (f->op == MANY) {
		snprintf(out, size, "%u of them", ((const struct any_list *)p)->n);
		return;
	}
	switch (f->type->base) {
	case BASE_U64:
		v = *(const uint64_t *)p;
		if (f->type == &type_size)
			show_size(out, size, v);
		else if (f->type == &type_ms)
			show_duration(out, size, v);
		else
			snprintf(out, size, "%llu", (unsigned long long)v);
		break;
	case BASE_ENUM:
		snprintf(out, size, "%s", f->type->names[*(const int *)p]);
		break;
	case BASE_BOOL:
		snprintf(out, size, "%s", *(const bool *)p ? "true" : "false");
		break;
	case BASE_STR:
	case BASE_OSSTR:
		snprintf(out, size, "%s", *(const char *const *)p);
		break;
	case BASE_I64:
	case BASE_BIN:
		break;
	}
}

static void origin_text(char *out, size_t size, const struct conf *conf, const struct field *f)
{
	const struct conf_origin *from = &conf->from[f - shape_config.fields];

	if (from->file)
		snprintf(out, size, "%s:%u", from->file, from->line);
	else
		snprintf(out, size, "%s", is_set(conf, f) ? "default" : "not set");
}

/* {"values": {...}, "origins": {key: where}} */
static void print_json(struct cli *c, const struct conf *conf)
{
	json_t *origins = json_object();
	char text[PLACE_BYTES + 16];

	for (uint32_t i = 0; i < shape_config.count; i++) {
		origin_text(text, sizeof(text), conf, &shape_config.fields[i]);
		json_set(&origins, shape_config.fields[i].name, json_string(text));
	}
	json_print(c, json_pack("{s:o, s:o}", "values", json_of(&shape_config, &conf->v),
				   "origins", origins));
}

static int show(struct cli *c)
{
	static const char *const heads[] = { "KEY", "VALUE", "FROM" };
	char text[PLACE_BYTES + 16];
	struct conf conf;
	struct grid g;
	struct why why;

	if (conf_load(&conf, &why)) {
		conf_done(&conf);
		return report(c, &why);
	}
	if (c->json) {
		print_json(c, &conf);
		conf_done(&conf);
		return EXIT_DONE;
	}
	grid_init(&g, c, heads, COUNT(heads));
	for (uint32_t i = 0; i < shape_config.count; i++) {
		const struct field *f = &shape_config.fields[i];

		grid_cell(&g, PLAIN, "%s", f->name);
		value_text(text, sizeof(text), &conf, f);
		grid_cell(&g, PLAIN, "%s", text);
		origin_text(text, sizeof(text), &conf, f);
		grid_cell(&g, DIM, "%s", text);
	}
	grid_print(&g);
	conf_done(&conf);
	return EXIT_DONE;
}

const struct command cmd_config_show = {
	.words = "config show",
	.args = "",
	.doc = "the values in force, and where each came from",
	.example = "banger config show\nbanger config show --json | jq .origins.memory",
	.run = show,
};

static int path(struct cli *c)
{
	struct place dir, file;
	struct why why;

	if (place_config(&dir, &why) || place_beneath(&file, &dir, "config.yaml", &why))
		return report(c, &why);
	if (c->json)
		json_print(c, json_pack("{s:[s,s]}", "files", SYSTEM_CONFIG_FILE, file.path));
	else
		printf("%s\n%s\n", SYSTEM_CONFIG_FILE, file.path);
	return EXIT_DONE;
}

const struct command cmd_config_path = {
	.words = "config path",
	.args = "",
	.doc = "the files that configuration is read from; the later one wins",
	.example = "banger config path",
	.run = path,
};
