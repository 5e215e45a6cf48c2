/*
 * torture/cli.c - a command line is read, and a document made, while memory says no: all of it, or
 * a reason. What a command then does goes through the connection, which torture/rpc.c is about.
 */
#include "tests/torture/torture.h"

#include "cli/args.h"
#include "cli/json.h"

static void line(void)
{
	char words[][24] = { "banger", "--json", "vm", "run", "--memory", "2G", "--env", "A=b",
		"--env", "C=d", "--name", "calm-otter", "--", "echo", "-n" };
	char *argv[COUNT(words) + 1] = { NULL };
	struct vm_create body = { .name = NULL };
	struct why why = { .text = "" };
	struct cli c = { .command = NULL };
	enum err e;

	for (size_t i = 0; i < COUNT(words); i++)
		argv[i] = words[i];
	arena_init(&c.mem, MiB);
	e = args_parse(&c, (int)COUNT(words), argv, &why);
	if (e == OK) {
		const struct given *env = flag_given(&c, "env");

		torture_must(str_eq(c.command->words, "vm run") && c.json);
		torture_must(c.tail_n == 2 && str_eq(c.tail[1], "-n"));
		torture_must(env->all_n == 2 && str_eq(env->all[1], "C=d"));
		e = flags_fill(&c, &shape_vm_create, &body, &why);
	}
	if (e == OK)
		torture_must(body.memory == 2 * GiB && str_eq(body.name, "calm-otter"));
	torture_must(e == OK || (torture_struck() && why.text[0]));
	arena_done(&c.mem);
}

static void document(void)
{
	struct listener listener = { "rpc", "/run/banger/bangerd.sock", true };
	struct pong pong = { .version = { "1.0", "abc", 5 },
		.uptime_ms = 7,
		.pid = 1,
		.listeners = { &listener, 1 } };
	json_t *doc = json_of(&shape_pong, &pong);
	json_t *version = json_object_get(doc, "version");

	torture_must(doc || torture_struck());
	if (doc)
		torture_must(str_eq(json_string_value(json_object_get(version, "commit")), "abc"));
	json_decref(doc);
}

static const struct scenario scenarios[] = {
	{ .name = "a command line", .run = line },
	{ .name = "a document", .run = document },
};

int main(void)
{
	static const struct why why = { .code = ERR_busy, .text = "later" };

	json_decref(json_of_error(&why)); /* what jansson sets up once is not to be counted */
	return torture_main(scenarios, COUNT(scenarios));
}
