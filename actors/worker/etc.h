/*
 * worker/etc.h - what an image says about itself in /etc: users, groups, its own name. Pure.
 */
#ifndef WORKER_ETC_H
#define WORKER_ETC_H

#include "base/err.h"

struct etc_user {
	uint32_t uid, gid;
	char name[65]; /* "" when only a number is known */
	char home[1024]; /* as in passwd; "" when unknown */
};

/*
 * Who `user` is: a name or uid, optionally with :group (name or gid). A number need not be in
 * passwd. passwd and group are whole files, of any bytes.
 */
enum err etc_user_find(struct bytes passwd, struct bytes group, const char *user,
	struct etc_user *ret, struct why *why) MUST_CHECK;

/* The value of KEY in an os-release file, quotes taken off; false when there is none. */
bool etc_release(struct bytes file, const char *key, char *out, size_t size);

/*
 * Where the work disk of that user goes: its home where that is an absolute path that hides nothing
 * of the system, else /root or /home/NAME. out needs 1100 bytes.
 */
void etc_home(const struct etc_user *u, char *out, size_t size);

#endif
