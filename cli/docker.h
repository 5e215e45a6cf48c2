/*
 * cli/docker.h - the passwords that docker and podman keep for registries: in their files, and with
 * their helpers. They are read anew for each pull, and banger keeps none.
 */
#ifndef CLI_DOCKER_H
#define CLI_DOCKER_H

#include "base/arena.h"
#include "base/err.h"
#include "proto/reference.h"

struct docker_login { /* NULL where there is none */
	const char *username, *password;
	const char *token; /* an identity token */
};

/* What is kept for the registry of an image; nothing at all is fine. Text lies in the arena. */
enum err docker_login(const struct reference *ref, struct arena *a, struct docker_login *ret,
	struct why *why) MUST_CHECK;

/* The pure part: one file's text. *helper is the program to ask (its name), NULL for none. */
enum err docker_file(struct bytes text, const struct reference *ref, struct arena *a,
	struct docker_login *ret, const char **helper, struct why *why) MUST_CHECK;
/* What a helper printed. */
enum err docker_helped(struct bytes text, struct arena *a, struct docker_login *ret,
	struct why *why) MUST_CHECK;

#endif
