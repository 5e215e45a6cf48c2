/*
 * conf/places.h - where things lie (row G4): configuration, state, sockets; for daemon and CLI.
 *
 * Finding a place only reads the environment; place_make() is what touches the disk. Each place is
 * found on its own, so that a command which needs only the socket asks for nothing else.
 */
#ifndef CONF_PLACES_H
#define CONF_PLACES_H

#include "base/err.h"

enum { PLACE_BYTES = 1024 };

struct place {
	char path[PLACE_BYTES]; /* absolute, no slash at its end */
};

#define SYSTEM_CONFIG_FILE "/etc/banger/config.yaml"
#define SYSTEM_INSTALL_FILE "/etc/banger/install.yaml"
#define SYSTEM_STATE_DIR "/var/lib/banger"
#define SYSTEM_RUNTIME_DIR "/run/banger"
#define SYSTEM_SOCKET SYSTEM_RUNTIME_DIR "/bangerd.sock"
#define SOCKET_NAME "bangerd.sock"

enum err place_config(struct place *ret, struct why *why) MUST_CHECK;
enum err place_state(struct place *ret, struct why *why) MUST_CHECK;
/* What is the user's rather than the daemon's: SSH keys (BANGER_DATA_DIR, XDG_DATA_HOME). */
enum err place_data(struct place *ret, struct why *why) MUST_CHECK;
enum err place_runtime(struct place *ret, struct why *why) MUST_CHECK;

/* State and runtime of an installed daemon; BANGER_STATE_DIR and BANGER_RUNTIME_DIR win. */
enum err place_system(struct place *state, struct place *runtime, struct why *why) MUST_CHECK;

/* dir/name. */
enum err place_beneath(
	struct place *ret, const struct place *dir, const char *name, struct why *why) MUST_CHECK;

/*
 * Makes the directory and the missing ones above it, 0700, and checks what is there: a directory
 * of ours that neither group nor others may write, reached through no link of somebody else's.
 */
enum err place_make(const struct place *p, struct why *why) MUST_CHECK;

/*
 * The socket on which a client finds its daemon. *system is set when that is an installed one,
 * which no client starts by itself.
 */
enum err place_socket(struct place *ret, bool *system, struct why *why) MUST_CHECK;

#endif
