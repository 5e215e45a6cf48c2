/*
 * helper/verbs.h - the acts and checks of all verbs, by the file that has them; verbs.c puts them
 * into one table.
 */
#ifndef HELPER_VERBS_H
#define HELPER_VERBS_H

#include "helper/call.h"

typedef enum err verb_check(const struct helper *h, const void *body, struct why *why);
typedef void verb_about(const void *body, char out[ABOUT_MAX]);
typedef void verb_act(struct call *c, const void *body);

/* ping.c */
verb_act ping_act;
/* bridge.c, tap.c, nat.c */
verb_check bridge_check, nat_check;
verb_about bridge_about, create_tap_about, tap_about, nat_about;
verb_act bridge_act, create_tap_act, delete_tap_act, nat_act;
/* resolver.c */
verb_about sync_resolver_about, clear_resolver_about;
verb_act sync_resolver_act, clear_resolver_act;
/* socket.c */
verb_check socket_check;
verb_about socket_about;
verb_act socket_act;

/* snapshot.c */
verb_check snapshot_make_check, snapshot_cleanup_check;
verb_about snapshot_make_about, snapshot_cleanup_about, snapshot_remove_about;
verb_act snapshot_make_act, snapshot_cleanup_act, snapshot_remove_act, snapshot_status_act;

/* fsck.c */
verb_about fsck_about;
verb_act fsck_act;

/* image.c */
verb_check image_read_check, image_write_check;
verb_about image_read_about, image_write_about;
verb_act image_read_act, image_write_act;
/* process.c */
verb_act kill_act, signal_act;
/* launch.c */
verb_check launch_check;
verb_about launch_about;
verb_act launch_act;
/* chroot.c */
verb_check chroot_check;
verb_about chroot_about;
verb_act chroot_act;
/* connect.c */
verb_act connect_act;
/* things.c */
verb_check things_check;
verb_act things_act;

#endif
