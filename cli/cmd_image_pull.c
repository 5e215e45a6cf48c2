/*
 * cmd_image_pull.c - image pull: an image of a registry, or a bundle. The password that docker
 * keeps for it, and a private authority's certificates, are the user's files: they are read here
 * and go with the request.
 */
#include "base/text.h"
#include "cli/bundle.h"
#include "cli/docker.h"
#include "cli/file.h"
#include "cli/image.h"
#include "cli/op.h"
#include "cli/preflight.h"
#include "cli/report.h"

static const struct flag pull_flags[] = {
	{ .name = "name",
		.type = &type_image_name,
		.value = "NAME",
		.doc = "name of the image; REF as it was given when absent" },
	{ .name = "replace", .doc = "pull again when it is there, and take its name" },
	{ .name = "offline", .doc = "use no network: what is not cached is refused" },
	{ .name = "insecure", .doc = "accept any certificate, and plain http" },
	{ .name = "ca",
		.type = &type_path,
		.value = "FILE",
		.offer = OFFER_FILES,
		.doc = "certificates (PEM) to trust instead of the host's" },
	{ .name = "sha256",
		.type = &type_sha256,
		.value = "HEX",
		.doc = "what a bundle from https must be" },
	{ .name = "anonymous", .doc = "use no password that docker or podman keeps" },
	{ .name = "size",
		.type = &type_size,
		.value = "SIZE",
		.doc = "size of the root filesystem; content and room to grow when absent" },
	{ .name = "user",
		.letter = 'u',
		.type = &type_user,
		.value = "USER",
		.doc = "user of programs, over the image's own" },
	{ .name = "service",
		.field = "services",
		.type = &type_service,
		.value = "NAME:PORT",
		.many = true,
		.doc = "a start ends when it is up; over the image's own" },
	{ .name = "kernel",
		.type = &type_kernel_name,
		.value = "NAME",
		.offer = OFFER_KERNELS,
		.doc = "its machines boot this one when they name none" },
	{ .name = NULL },
};

static enum err read_trust(struct cli *c, const char *file, struct bytes *ret, struct why *why)
{
	own_buf text = { .max = FILE_BYTES_MAX };
	bool there = false;
	uint8_t *copy;
	enum err e = file_read(file, &text, &there, why);

	if (e)
		return e;
	if (!there)
		return fail_field(why, ERR_not_found, "ca", "there is no file %.200s", file);
	if (!strstr(buf_cstr(&text), "-----BEGIN CERTIFICATE-----"))
		return fail_field(
			why, ERR_invalid_value, "ca", "%.200s holds no certificate (PEM)", file);
	copy = arena_take(&c->mem, text.n);
	if (!copy)
		return fail_field(why, ERR_too_large, "ca", "%.200s is too long", file);
	memcpy(copy, text.p, text.n);
	*ret = (struct bytes){ copy, text.n };
	return OK;
}

static enum err fill(struct cli *c, struct image_pull *body, struct why *why)
{
	const char *ca = flag_text(c, "ca");
	struct docker_login login = { .username = NULL };
	struct reference ref;
	enum err e = flags_fill(c, &shape_image_pull, body, why);

	if (!e && is_https_url(c->args[0])) {
		body->bundle = c->args[0];
		e = type_ok(&type_bundle_url, "bundle", body->bundle, why);
		if (!e && !body->name)
			body->name = name_of_bundle(c, body->bundle);
	} else if (!e) {
		body->reference = c->args[0];
		e = type_ok(&type_reference, "reference", body->reference, why);
	}
	if (!e && ca && body->insecure)
		e = fail_field(
			why, ERR_invalid_value, "ca", "--ca and --insecure exclude each other");
	if (!e && ca)
		e = read_trust(c, ca, &body->trust, why);
	if (e || body->offline || body->bundle || flag_on(c, "anonymous"))
		return e;
	must(!reference_read(body->reference, strlen(body->reference), &ref));
	e = docker_login(&ref, &c->mem, &login, why);
	body->username = login.username;
	body->password = login.password;
	body->token = login.token;
	return e;
}

/* Ctrl-C ends us as it would any program; what was fetched stays for the next pull. */
static int pull(struct cli *c)
{
	struct image_pull body = { .reference = NULL };
	struct image_info info;
	struct why why;

	if (is_file_url(c->args[0]))
		return pull_file(c);
	if (fill(c, &body, &why))
		return report_usage(c, &why);
	if (op_ask(c, LETTER_image_pull, &body, &info, &why))
		return report_with_all(
			c, &why, &(struct vm_preflight){ .has_pull = true, .pull = true });
	return print_image(c, &info);
}

const struct command cmd_image_pull = {
	.words = "image pull",
	.args = "SOURCE",
	.least = 1,
	.most = 1,
	.flags = pull_flags,
	.doc = "fetch an image: from a registry, as docker names it, the catalog, or a bundle",
	.more = "SOURCE is a registry's REF, a name of `banger image catalog`, or a bundle: "
		"file:PATH, or\nhttps://HOST/PATH with --sha256. REF is "
		"[HOST/]PATH[:TAG][@sha256:DIGEST]. An image of that\nname that is there stays as "
		"it is, unless --replace is given. What was fetched is kept for\nthe next pull, "
		"also when it is ended half-way. Passwords come from docker's or podman's\nfiles "
		"and helpers, for this pull only.",
	.example = "banger image pull debian:12\n"
		   "banger image pull --name app registry.example.com:5000/team/app@sha256:DIGEST\n"
		   "banger image pull file:app.tar.zst\n"
		   "banger image pull --insecure localhost:5000/app --progress",
	.run = pull,
};
