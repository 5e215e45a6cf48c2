/*
 * image/image.h - what the files of actors/image/ share and nobody else sees. The actor's state is
 * its shelf.
 */
#ifndef IMAGE_IMAGE_H
#define IMAGE_IMAGE_H

#include "actors/roster.h"
#include "actors/shared/shelf.h"

#define IMAGE_AREA "image"
#define ROOT_FILE "root.ext4"
#define WORK_FILE "work.ext4"
#define IMAGE_CONTENT_MAX (64 * GiB)

struct image_change;

enum {
	WORK_NAME_BYTES = 32,
	SEED_LAYOUT = 1 /* of work-seeds that this build makes */
};

struct image {
	struct shelf_item it; /* first */
	struct image_record r; /* what it points to lies in mem; `named` is it.named */
	struct arena mem;
	size_t bytes; /* of the record, about, in an answer */
	char id[MAKING_ID_BYTES], name[129]; /* the record's; they outlive it when it changes */
	struct image_change *change; /* it is being changed in place */
};

/* A copy of the record. */
struct image *image_new(const struct image_record *r, struct why *why);
void image_free(struct shelf_item *it); /* NULL is fine */
struct image *image_by_id(const struct shelf *s, const char *id);
struct image *image_by_name(const struct shelf *s, const char *name); /* none that is going */

/* It is what this record says from now on; id and name stay. */
enum err image_renew(struct image *im, const struct image_record *r, struct why *why) MUST_CHECK;
struct image_info image_info_of(
	const struct shelf *s, const struct image *im, const char **missing);
enum err image_not_found(struct shelf *s, const char *name, struct why *why);
const char *image_work(const struct image *im, char out[MAKING_PATH_BYTES]);

/* A making of an image tells its own kind of its end. */
struct image_making {
	struct shelf_making sm; /* first */
	void (*ended)(struct image_making *p, const struct why *why); /* frees it */
};
struct image_making *image_making_of(const struct flow *f);

/* import.c */
letter_fn image_on_import;

/* A worker's image, not visible yet. `kernel`: what its machines boot when they name none. */
enum err image_take_fresh(struct image_making *p, const void *result, const char *kernel,
	struct why *why) MUST_CHECK;

/* pull.c */
letter_fn image_on_pull;
/* A pull goes on for as long as somebody waits for it. */
void image_pull_client_gone(struct shelf *s, uint64_t client);
/* Pulls it, or joins who does; the machine's hold is answered when it is here. */
enum err image_pull_for(struct shelf *s, const struct catalog_image *c, const struct image_hold *q,
	struct reply_to reply, struct why *why) MUST_CHECK;
void image_pull_drop(struct shelf *s, const char *vm); /* it waits no longer */

/* change.c: an image that is there changes in place, and keeps its id */
struct image_change {
	struct image_making im; /* first */
	struct image *image;
	struct arena mem;
	struct image_record next; /* what it will be; in mem */
	char work[WORK_NAME_BYTES]; /* its new work-seed */
	bool root; /* a root filesystem came as well */
	void (*served)(struct image_change *p, const struct why *why); /* its end; may be NULL */
};
/* p is zeroed memory, freed at its end. `next` is what the image is now, with a new work-seed. */
enum err image_change_init(
	struct image_change *p, struct shelf *s, struct image *im, struct why *why) MUST_CHECK;
struct image_change *image_change_new(struct shelf *s, struct image *im, struct why *why);
void image_change_begin(struct image_change *p, const struct flow_kind *kind, uint64_t client);
enum err image_take_facts(struct image_making *p, const struct image_facts *facts,
	struct image_record *r, struct why *why) MUST_CHECK;
flow_fn image_change_swap, image_change_record, image_change_undo_record;

/* heal.c */
/* True: the hold waits until the image's work-seed is as it should be. */
bool image_heals(
	struct shelf *s, struct image *im, const struct image_hold *q, struct reply_to reply);
void image_heal_drop(struct shelf *s, const char *vm);
/* Answers a hold of an image that is here, healed first where that is due. */
void image_serve(
	struct shelf *s, struct image *im, const struct image_hold *q, struct reply_to reply);
/* The machine stands on it from now, and is told where that is. */
void image_hand_out(struct shelf *s, struct image *im, const char *vm, struct reply_to reply);

/* export.c */
letter_fn image_on_export;

/* register.c */
letter_fn image_on_register;

/* promote.c */
letter_fn image_on_promote;

/* prune.c */
letter_fn image_on_prune;

#endif
