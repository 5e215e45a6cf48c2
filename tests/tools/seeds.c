/*
 * seeds.c - first inputs for the fuzzers, made from the tables: seeds DIR writes DIR/<target>/<n>.
 * Nothing of it is kept in the tree.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "letter/pack.h"
#include "proto/proto.h"
#include "tests/lib/dns_look.h"
#include "tests/lib/gen.h"
#include "tests/lib/samples.h"
#include "wire/mark.h"

#define SSH_KEY \
	"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG7HvqvdSnEFjnNXV/fDDllER2Kvy4kcQR61iWEz5j0e"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "sha256:" HEX
#define BUNDLE_FILE(role) "{\"role\":\"" role "\",\"size\":4096,\"digest\":\"" DIGEST "\"}"
#define BUNDLE \
	"{\"version\":1,\"arch\":\"amd64\",\"image\":{\"name\":\"a\",\"created\":1," \
	"\"facts\":{\"size\":4096,\"used\":0,\"files\":1,\"init\":\"none\",\"os\":\"T\"," \
	"\"home\":\"/\",\"uid\":0,\"gid\":0,\"digest\":\"" DIGEST "\",\"config\":{}}}," \
	"\"files\":[" BUNDLE_FILE("root") "," BUNDLE_FILE("work") "]}"

enum { EACH = 4 };

struct out {
	const char *dir;
	unsigned n;
};

static void write_seed(struct out *o, const char *target, const void *p, size_t n)
{
	char path[4096];
	own_fd fd = -1;

	snprintf(path, sizeof(path), "%s/%s", o->dir, target);
	if (mkdir(path, 0777) && errno != EEXIST)
		return;
	snprintf(path, sizeof(path), "%s/%s/%05u", o->dir, target, o->n++);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0 || write(fd, p, n) != (ssize_t)n) {
		perror(path);
		exit(1);
	}
}

/* head, then the object: for the targets that begin with bytes of their own. */
static void with_head(
	struct out *o, const char *target, const char *head, size_t head_n, const void *p, size_t n)
{
	own_buf b = { .max = 4 * MiB };

	buf_add(&b, head, head_n);
	buf_add(&b, p, n);
	write_seed(o, target, b.p, b.n);
}

static void shapes(struct out *o)
{
	for (size_t i = 0; all_shapes[i]; i++) {
		for (uint64_t round = 0; round < EACH; round++) {
			own_buf b = { .p = NULL };
			char head[2] = { (char)i, (char)(round & 1) };
			struct arena a;
			struct gen g = { i * EACH + round, &a };

			arena_init(&a, 0);
			must(gen_packed(&g, all_shapes[i], &b));
			with_head(o, "shape", head, sizeof(head), b.p, b.n);
			if (b.n < 4096)
				write_seed(o, "mp", b.p, b.n);
			arena_done(&a);
		}
	}
}

static void frames(struct out *o)
{
	for (unsigned i = 0; i < LETTER_COUNT; i++) {
		const struct letter_kind *k = &letter_kinds[i];
		own_buf b = { .p = NULL };
		msgpack_packer pk = packer_on(&b);
		struct arena a;
		struct gen g = { i, &a };

		arena_init(&a, 0);
		buf_add(&b, &(uint8_t){ (uint8_t)(i * 37) }, 1);
		for (int twice = 0; twice < 2; twice++) {
			msgpack_pack_array(&pk, k->way == ASK ? 4 : 3);
			msgpack_pack_int(&pk, k->way == ASK ? 0 : 2);
			if (k->way == ASK)
				msgpack_pack_int(&pk, 6 + twice);
			pack_str(&pk, k->method, strlen(k->method));
			msgpack_pack_array(&pk, 1);
			must(gen_packed(&g, k->in, &b));
		}
		buf_add(&b, "\x94\x01\x01\xc0\x80", 5);
		write_seed(o, "rpc", b.p, b.n);
		arena_done(&a);
	}
}

/* Requests to the root helper, behind the method's place among its methods. */
static void requests(struct out *o)
{
	for (unsigned i = LETTER_priv_ping; i < LETTER_COUNT; i++) {
		bool priv = strncmp(letter_kinds[i].method, "priv.", 5) == 0;

		for (uint64_t round = 0; priv && round < EACH; round++) {
			own_buf b = { .p = NULL };
			char head = (char)(i - LETTER_priv_ping);
			struct arena a;
			struct gen g = { i * EACH + round, &a };

			arena_init(&a, 0);
			must(gen_packed(&g, letter_kinds[i].in, &b));
			with_head(o, "priv", &head, 1, b.p, b.n);
			arena_done(&a);
		}
	}
}

static void text(struct out *o)
{
	static const char *const words[] = { "0", "18446744073709551615", "512", "1.5G", "2GiB",
		"250ms", "1h30m", "calm-otter", "aä€𝄞", "\x1b[2J\xe2\x80\xae" };

	for (size_t i = 0; i < COUNT(words); i++)
		write_seed(o, "text", words[i], strlen(words[i]));
	for (size_t i = 0; all_types[i]; i++) {
		const struct samples *s = samples_of(all_types[i]);
		char head = (char)i;

		for (size_t k = 0; s && s->good[k]; k++)
			with_head(o, "check", &head, 1, s->good[k], strlen(s->good[k]));
		for (size_t k = 0; s && k < SAMPLES_MAX && s->bad[k]; k++)
			with_head(o, "check", &head, 1, s->bad[k], strlen(s->bad[k]));
	}
}

/* Behind the byte that chooses in fuzz/registry.c. */
static void registry(struct out *o)
{
	static const char header[] = "Bearer realm=\"https://a/t\",service=\"s\","
				     "scope=\"x:y:pull\"";
	static const char file[] = "{\"auths\":{\"h.x:5/a\":{\"auth\":\"YTpi\"}},"
				   "\"credHelpers\":{\"b\":\"c\"}}";
	static const uint8_t gzip[] = { 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x4b, 4, 0, 0x43, 0xbe,
		0xb7, 0xe8, 1, 0, 0, 0 };
	static const uint8_t zstd[] = { 0x28, 0xb5, 0x2f, 0xfd, 0x24, 1, 9, 0, 0, 'a', 0xc9, 0x2d,
		0xad, 0xcf };
	const struct samples *s = samples_of(&type_reference);

	for (size_t i = 0; s && s->good[i]; i++)
		with_head(o, "registry", "\0", 1, s->good[i], strlen(s->good[i]));
	with_head(o, "registry", "\1", 1, header, sizeof(header) - 1);
	with_head(o, "registry", "\1", 1, "bytes 5-9/10", 12);
	with_head(o, "registry", "\2", 1, file, sizeof(file) - 1);
	with_head(o, "registry", "\3", 1, gzip, sizeof(gzip));
	with_head(o, "registry", "\3", 1, zstd, sizeof(zstd));
}

static void marks(struct out *o)
{
	uint8_t in[2 * OPENING_BYTES], nonce[NONCE_BYTES] = { 0xc1, 1, 2 };

	for (size_t cut = 1; cut <= OPENING_BYTES; cut += 3) {
		mark_opening(in, nonce);
		mark_opening(in + cut, nonce);
		with_head(o, "mark", "\x05", 1, in, cut + OPENING_BYTES);
	}
}

/* ---- archives ---- */

enum { TAR_BLOCK = 512, ARCHIVE_BYTES = 16384 };

struct tar {
	char head; /* what fuzz/unpack.c makes of it */
	uint8_t bytes[ARCHIVE_BYTES];
	size_t n;
};

/* Without its checksum: the target puts it right. */
static void tar_put(
	struct tar *t, char type, const char *path, const char *target, const void *p, size_t n)
{
	uint8_t *h = t->bytes + t->n;

	must(t->n + 2 * TAR_BLOCK + n < sizeof(t->bytes));
	snprintf((char *)h, 100, "%s", path);
	memcpy(h + 100, "0000755", 8);
	memcpy(h + 108, "0000000", 8);
	memcpy(h + 116, "0000000", 8);
	snprintf((char *)h + 124, 12, "%011o", (unsigned)n);
	snprintf((char *)h + 136, 12, "%011o", 1700000000u);
	h[156] = (uint8_t)type;
	snprintf((char *)h + 157, 100, "%s", target);
	memcpy(h + 257, "ustar", 6);
	memcpy(h + 263, "00", 2);
	if (n > 0)
		memcpy(h + TAR_BLOCK, p, n);
	t->n += TAR_BLOCK + (n + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
}

static void tar_end(struct out *o, struct tar *t)
{
	with_head(o, "unpack", &t->head, 1, t->bytes, t->n + (size_t)(2 * TAR_BLOCK));
	memset(t, 0, sizeof(*t));
}

static void tar_text(struct tar *t, const char *path, const char *text)
{
	tar_put(t, '0', path, "", text, strlen(text));
}

static void archives(struct out *o)
{
	static const char manifest[] =
		"[{\"Config\":\"a.json\",\"RepoTags\":[\"a:1\"],\"Layers\":[\"a/layer.tar\"]}]";
	static const char config[] = "{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":"
				     "{\"type\":\"layers\",\"diff_ids\":[]}}";
	static struct tar t, layer;

	tar_put(&t, '5', "etc/", "", NULL, 0);
	tar_text(&t, "etc/passwd", "root:x:0:0::/root:/bin/sh\n");
	tar_put(&t, '2', "sbin/init", "/lib/systemd/systemd", NULL, 0);
	tar_text(&t, "lib/systemd/systemd", "program");
	tar_put(&t, '1', "etc/again", "etc/passwd", NULL, 0);
	tar_put(&t, '3', "dev/null", "", NULL, 0);
	tar_put(&t, '6', "run/fifo", "", NULL, 0);
	tar_put(&t, 'x', "pax", "", "22 SCHILY.xattr.user.a=b\n30 path=a/longer/name/of/it\n", 52);
	tar_text(&t, "short", "renamed");
	tar_end(o, &t);

	tar_text(&layer, "etc/.wh.passwd", "");
	tar_text(&layer, "home/.wh..wh..opq", "");
	tar_text(&layer, "home/file", "text");
	t.head = 3;
	tar_text(&t, "banger-image.json", BUNDLE);
	tar_text(&t, "root.ext4", "no file system");
	tar_end(o, &t);

	t.head = 1;
	tar_text(&t, "manifest.json", manifest);
	tar_text(&t, "a.json", config);
	tar_put(&t, '0', "a/layer.tar", "", layer.bytes, layer.n + (size_t)(2 * TAR_BLOCK));
	tar_end(o, &t);

	t.head = 2;
	tar_text(&t, "vmlinuz", "\177ELF\2\1\1");
	tar_text(&t, "lib/modules/6.1.0/kernel/a.ko", "\177ELF\2\1\1");
	tar_text(&t, "lib/modules/6.1.0/modules.order", "kernel/a.ko\n");
	tar_end(o, &t);
}

/* Questions of every sort, with and without an OPT, in small rooms and large. */
static void questions(struct out *o)
{
	static const char *const names[] = { ".", "vm", "alpha.vm", "x.vm", "a.alpha.vm",
		"example.org", "127.in-addr.arpa", "104.127.in-addr.arpa",
		"2.1.104.127.in-addr.arpa", "7.0.30.172.in-addr.arpa", "0.30.172.in-addr.arpa" };
	static const unsigned types[] = { DNS_A, DNS_AAAA, DNS_SOA, DNS_NS, DNS_PTR, DNS_ANY };
	uint8_t query[512];

	for (size_t i = 0; i < COUNT(names); i++)
		for (size_t t = 0; t < COUNT(types); t++) {
			size_t n = dns_ask(query, names[i], types[t], t % 2 ? 4096 : 0);
			char room = (char)(40 * t);

			with_head(o, "dns", &room, 1, query, n);
		}
}

/* A line or two of what each reader of files is for. */
static void files(struct out *o)
{
	static const struct {
		const char *target, *text;
	} rows[] = {
		{ "yaml", "vcpus: 2\nmemory: 1.5G\nboot_timeout_ms: 5m\ndriver: qemu\n" },
		{ "yaml", "owner_uid: 1000\nversion: 0.1.0\n" },
		{ "yaml", "images:\n  - {name: a, bundle: 'https://a/b', sha256: " HEX "}\n"
			"  - name: b\n    arch: arm64\n    reference: b:1\nkernels:\n"
			"  - {name: c, package: p}\n" },
		{ "qmp", "{\"QMP\": {\"version\": {}, \"capabilities\": []}}" },
		{ "qmp", "{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, "
			 "\"reason\": \"guest-reset\"}}" },
		{ "qmp", "{\"event\": \"VSERPORT_CHANGE\", \"data\": {\"open\": true}}" },
		{ "manifest", "6sshd:22, opencode:4096" },
		{ "manifest", "0" BUNDLE },
		{ "manifest", "1[{\"Config\":\"a.json\",\"RepoTags\":[\"a:1\"],"
			      "\"Layers\":[\"a/layer.tar\"]}]" },
		{ "manifest", "5{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{"
			      "\"Env\":[\"A=b\"],\"Cmd\":[\"sh\"],\"User\":\"1:2\"}}" },
		{ "etc", "me:staff\377me:x:1000:1000::/home/me:/bin/sh\n\377staff:x:50:me\n" },
		{ "etc", "ID=debian\nPRETTY_NAME=\"Debian \\\"12\\\"\"\n" },
		{ "etc", ".wh..wh..opq" },
		{ "agent", "0banger.ip=10.0.2.15/24 banger.gw=10.0.2.2 banger.dns=1.1.1.1 "
			   "banger.home=/root banger.link=vsock reboot=k" },
		{ "agent", "1me:staff\001me:x:1000:1000::/home/me:/bin/sh\n\001staff:x:50:me\n" },
		{ "agent", "2 0: 0100007F:1F90 00000000:0000 0A 0:0 0:0 0 0 0 4242" },
		{ "ssh", "0" SSH_KEY " me@host\n" },
		{ "ssh", "0command=\"a \\\"b\",no-pty " SSH_KEY " banger-installed\n# x\n" },
		{ "ssh", "1m.vm " SSH_KEY "\nn.vm " SSH_KEY "\n\001m.vm" },
		{ "ssh", "2Host m.vm\n  User me\nHost n.vm\n  User you\n\001n.vm" },
		{ "ssh", "3include = \"/x/config\" \nHost *\n  User a\001/x/config" },
		{ "kernel", "kernel/drivers/net/virtio-net.ko.xz" },
	};

	static const char modinfo[] = "name=virtio_net\0depends=failover,virtio\0alias=virtio:*";

	for (size_t i = 0; i < COUNT(rows); i++)
		write_seed(o, rows[i].target, rows[i].text, strlen(rows[i].text));
	write_seed(o, "kernel", modinfo, sizeof(modinfo));
}

int main(int argc, char **argv)
{
	struct out o = { .dir = argv[1] };

	if (argc != 2 || (mkdir(argv[1], 0777) && errno != EEXIST)) {
		fprintf(stderr, "usage: seeds DIR\n");
		return 2;
	}
	shapes(&o);
	requests(&o);
	frames(&o);
	text(&o);
	registry(&o);
	marks(&o);
	questions(&o);
	files(&o);
	archives(&o);
	return 0;
}
