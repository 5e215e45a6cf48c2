/*
 * protodoc.c - prints docs/protocol.md from the tables: `make docs`. What the tables cannot know
 * (how a frame looks, a worked example) stands in protodoc_text.h.
 */
#include "proto/proto.h"
#include "tests/tools/protodoc_text.h"

static const struct {
	const char *talk, *title, *about;
} talks[] = {
	{ "common", "Streams", "Shared by every conversation." },
	{ "cli", "The daemon", "Between a client and the daemon, on its socket." },
	{ "vm", "Machines", "Between a client and the daemon, on its socket." },
	{ "image", "Images", "Between a client and the daemon; `inside` letters never leave it." },
	{ "kernel", "Kernels",
		"Between a client and the daemon; `inside` letters never leave it." },
	{ "agent", "The guest", "Between the daemon and the agent in a machine." },
	{ "worker", "Workers", "Between the daemon and the child that does one job." },
	{ "store", "The store", "Inside the daemon." },
	{ "inside", "Actors", "Inside the daemon." },
	{ "priv", "Root", "Between the daemon and the root helper." },
	{ "net", "Network", "Inside the daemon." },
	{ "doctor", "The host", "What `banger doctor` asks." },
	{ "space", "Workspace", "Between a client and the daemon, on its socket." },
	{ "dns", "Names", "Inside the daemon." },
};

/* Text of a table's cell: a bar would end it. */
static void cell(const char *s)
{
	for (; *s; s++) {
		if (*s == '|')
			putchar('\\');
		putchar(*s);
	}
}

static void range_text(const struct type *t, int64_t lo, uint64_t hi)
{
	switch (t->base) {
	case BASE_BOOL:
	case BASE_ENUM:
		return;
	case BASE_U64:
		printf("%llu to ", (unsigned long long)lo);
		printf(hi == UINT64_MAX ? "2^64-1" : "%llu", (unsigned long long)hi);
		return;
	case BASE_I64:
		printf(lo == INT64_MIN && hi == INT64_MAX ? "any" : "%lld to %lld", (long long)lo,
			(long long)hi);
		return;
	case BASE_STR:
	case BASE_OSSTR:
	case BASE_BIN:
		if ((uint64_t)lo == hi)
			printf("%llu bytes", (unsigned long long)hi);
		else
			printf("%lld to %llu bytes", (long long)lo, (unsigned long long)hi);
		return;
	}
}

static const char *wire_of(enum base_type base)
{
	switch (base) {
	case BASE_BOOL:
		return "bool";
	case BASE_U64:
	case BASE_I64:
		return "integer";
	case BASE_ENUM:
	case BASE_STR:
		return "str";
	case BASE_OSSTR:
		return "str, bin where it is not UTF-8";
	case BASE_BIN:
		return "bin";
	}
	return "";
}

static void print_errors(void)
{
	printf("%s| code | meaning |\n|---|---|\n", text_errors);
	for (int i = 1; i < ERR_malformed; i++)
		printf("| `%s` | %s |\n", err_name((enum err)i), err_doc((enum err)i));
}

static void print_types(void)
{
	printf("%s| type | on the wire | range | meaning |\n|---|---|---|---|\n", text_types);
	for (size_t i = 0; all_types[i]; i++) {
		const struct type *t = all_types[i];

		if (t->base == BASE_ENUM)
			continue;
		printf("| `%s` | %s | ", t->name, wire_of(t->base));
		range_text(t, t->lo, t->hi);
		printf(" | ");
		cell(t->doc);
		printf(" |\n");
	}
}

static void print_words(void)
{
	printf("%s| type | words | meaning |\n|---|---|---|\n", text_words);
	for (size_t i = 0; all_types[i]; i++) {
		const struct type *t = all_types[i];

		if (t->base != BASE_ENUM)
			continue;
		printf("| `%s` | ", t->name);
		for (uint32_t w = 0; w < t->names_n; w++)
			printf("%s`%s`", w ? " " : "", t->names[w]);
		printf(" | %s |\n", t->doc);
	}
}

static void link_to(const struct shape *s)
{
	if (s->count == 0)
		printf("nothing");
	else
		printf("[%s](#map-%s)", s->name, s->name);
}

static void print_field(const struct field *f)
{
	bool many = f->op == LIST || f->op == MANY;
	bool due = f->op == REQ || f->op == SUB || (many && f->lo > 0);

	printf("| `%s` | %s", f->name, many ? "list of " : "");
	if (f->sub)
		link_to(f->sub);
	else
		printf("`%s`", f->type->name);
	printf(" | ");
	if (many)
		printf("%lld to %llu of them", (long long)f->lo, (unsigned long long)f->hi);
	else if (f->type && (f->lo || f->hi))
		range_text(f->type, f->lo, f->hi);
	printf(" | %s | ", due ? "yes" : "");
	cell(f->doc);
	printf(" |\n");
}

static void print_shape(const struct shape *s)
{
	printf("\n<a id=\"map-%s\"></a>\n**%s**: %s\n\n", s->name, s->name, s->doc);
	printf("| field | type | range | needed | meaning |\n|---|---|---|---|---|\n");
	for (uint32_t i = 0; i < s->count; i++)
		print_field(&s->fields[i]);
}

static uint32_t place(const struct shape *s)
{
	uint32_t i = 0;

	while (all_shapes[i] != s)
		i++;
	return i;
}

/* Marks the shape and what it holds; shapes hold only shapes that stand before them. */
static void mark(uint8_t *seen, const struct shape *s)
{
	seen[place(s)] = 1;
	for (uint32_t i = 0; i < s->count; i++)
		if (s->fields[i].sub)
			mark(seen, s->fields[i].sub);
}

/* Prints the marked shapes that were not printed before, in the order of the tables. */
static void print_marked(const uint8_t *seen, uint8_t *done)
{
	for (uint32_t i = 0; all_shapes[i]; i++) {
		if (!seen[i] || done[i] || all_shapes[i]->count == 0)
			continue;
		done[i] = 1;
		print_shape(all_shapes[i]);
	}
}

static bool print_talk(const struct talk *t, const struct letter_kind *first, uint8_t *done)
{
	uint8_t seen[512] = { 0 };
	size_t k = 0;

	while (k < COUNT(talks) && !str_eq(talks[k].talk, t->name))
		k++;
	if (k == COUNT(talks)) {
		fprintf(stderr, "protodoc: give the conversation '%s' a title in protodoc.c\n",
			t->name);
		return false;
	}
	printf("\n### %s\n\n%s\n\n", talks[k].title, talks[k].about);
	printf("| method | kind | params | result | meaning |\n|---|---|---|---|---|\n");
	for (const struct letter_kind *l = first; l < first + t->count; l++) {
		printf("| `%s` | %s | ", l->method, l->way == ASK ? "request" : "notification");
		link_to(l->in);
		printf(" | ");
		if (l->way == ASK)
			link_to(l->out);
		printf(" | ");
		cell(l->doc);
		printf(" |\n");
		mark(seen, l->in);
		mark(seen, l->out);
	}
	print_marked(seen, done);
	return true;
}

int main(void)
{
	const struct letter_kind *letter = letter_kinds;
	uint8_t done[512] = { 0 }, all[512];
	uint32_t shapes = 0;

	while (all_shapes[shapes])
		shapes++;
	must(shapes < sizeof(done));
	printf("%s", text_head);
	print_errors();
	printf("%s", text_example);
	print_types();
	print_words();
	printf("%s", text_letters);
	for (const struct talk *t = all_talks; t->name; letter += t->count, t++)
		if (!print_talk(t, letter, done))
			return 1;
	printf("%s", text_records);
	memset(all, 1, sizeof(all));
	print_marked(all, done);
	return fflush(stdout) ? 1 : 0;
}
