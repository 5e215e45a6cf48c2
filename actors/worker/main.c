/*
 * main.c - banger-worker: one job a process, then it ends.
 *
 * banger-worker [--uid N --gid N]      a job over descriptor 0, see worker/job.h
 * banger-worker pack DIR               a tar of DIR on stdout, with the caller's own rights
 * banger-worker pack-kernel KERNEL MODULES_DIR
 * banger-worker --version
 */
#include <et/com_err.h>
#include <ext2fs/ext2_err.h>
#include <locale.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <unistd.h>

#include "base/build.h"
#include "base/log.h"
#include "base/text.h"
#include "worker/job.h"
#include "worker/pack.h"
#include "worker/sandbox.h"

static int usage(void)
{
	fputs("usage: banger-worker [--uid N --gid N]\n"
	      "       banger-worker pack DIR\n"
	      "       banger-worker pack-kernel KERNEL MODULES_DIR\n"
	      "       banger-worker --version\n",
		stderr);
	return 2;
}

static int version(void)
{
	char built[32];

	show_time(built, sizeof(built), build_time_ms);
	printf("banger-worker %s %s %s\n", build_version, build_commit, built);
	return 0;
}

/* What libraries would look for in files must be there before files are out of reach. */
static void warm_up(void)
{
	/* In the C locale libarchive takes every name that is not ASCII for a mistake. */
	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		setlocale(LC_CTYPE, "en_US.UTF-8");
	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	add_error_table(&et_ext2_error_table);
}

union result {
	struct image_made made;
	struct image_facts facts;
	struct kernel_facts kernel;
	struct work_fetched fetched;
	struct work_exported exported;
	struct work_copied copied;
};

static enum err run_kind(struct job *j, union result *r, struct why *why)
{
	switch ((int)j->kind) {
	case LETTER_work_image:
		return run_image(j, &r->made, why);
	case LETTER_work_inspect:
		return run_inspect(j, &r->facts, why);
	case LETTER_work_seed:
		return run_seed(j, why);
	case LETTER_work_kernel:
		return run_kernel(j, &r->kernel, why);
	case LETTER_work_initramfs:
		return run_initramfs(j, why);
	case LETTER_work_fetch:
		return run_fetch(j, &r->fetched, why);
	case LETTER_work_export:
		return run_export(j, &r->exported, why);
	case LETTER_work_pull:
		return run_pull(j, &r->made, why);
	case LETTER_work_registry:
		return run_registry(j, why);
	default:
		must(j->kind == LETTER_work_copy);
		return run_copy(j, &r->copied, why);
	}
}

/* The files are flushed by who writes them; their names here, before the answer. */
static enum err run(struct job *j, union result *r, struct why *why)
{
	enum err e = run_kind(j, r, why);

	return e || fsync(FD_DIR) == 0 ? e : fail_errno(why, "cannot flush the job's directory");
}

/* What the job does not need goes. */
static enum err shut(enum letter_id kind, struct why *why)
{
	switch ((int)kind) {
	case LETTER_work_fetch:
		return sandbox_fetch(why);
	case LETTER_work_registry:
		return sandbox_registry(why);
	default:
		return sandbox_close(why);
	}
}

static int serve(const struct identity *who)
{
	union result result = { .copied = { 0 } };
	struct why why = { .code = OK };
	struct job j;
	enum err e;

	warm_up();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	e = sandbox_begin(who, &why);
	if (!e)
		e = job_open(&j, &why);
	if (!e)
		e = job_wait(&j, &why);
	if (e) {
		log_line(LOG_ERROR, "worker", "cannot begin", "why", why.text, NULL);
		return 1;
	}
	e = shut(j.kind, &why);
	if (!e)
		e = run(&j, &result, &why);
	job_answer(&j, e, &result, &why);
	job_close(&j);
	return 0;
}

static bool id_of(const char *s, uint32_t *ret)
{
	uint64_t v;

	if (parse_u64(s, &v, NULL) || v >= UINT32_MAX)
		return false;
	*ret = (uint32_t)v;
	return true;
}

int main(int argc, char **argv)
{
	struct identity who = { .set = false };

	if (argc == 2 && str_eq(argv[1], "--version"))
		return version();
	if (argc == 3 && str_eq(argv[1], "pack"))
		return pack_tree(argv[2]);
	if (argc == 4 && str_eq(argv[1], "pack-kernel"))
		return pack_kernel(argv[2], argv[3]);
	if (argc == 1)
		return serve(&who);
	if (argc != 5 || !str_eq(argv[1], "--uid") || !id_of(argv[2], &who.uid) ||
		!str_eq(argv[3], "--gid") || !id_of(argv[4], &who.gid))
		return usage();
	who.set = true;
	return serve(&who);
}
