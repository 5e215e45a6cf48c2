/*
 * image/image.h - the image actor's own state, shared by the files of actors/image/ and nobody
 * else.
 */
#ifndef IMAGE_IMAGE_H
#define IMAGE_IMAGE_H

#include "actors/roster.h"
#include "actors/shared/holders.h"
#include "actors/shared/making.h"
#include "actors/shared/waiting.h"
#include "base/table.h"

#define IMAGE_AREA "image"
#define ROOT_FILE "root.ext4"
#define WORK_FILE "work.ext4"

struct image {
	struct link by_id, by_name; /* by_name: while r.named */
	struct image_record r; /* what it points to lies in mem */
	struct arena mem;
	size_t bytes; /* of the record, about, in an answer */
	uint64_t machines; /* that stand on it */
	bool missing; /* its files are not there */
	bool going; /* its record is being deleted; nobody finds it any more */
	uint64_t op; /* of that */
	struct reply_to deleting; /* who waits for it */
};

struct images { /* the actor */
	struct actor *me;
	struct env *env;
	struct world *world;
	struct table by_id, by_name;
	struct holders holders;
	struct makings makings;
	struct waiting waiting;
	struct record_scan scan;
	bool short_of_memory; /* a record was not loaded: nothing may be removed */
};

/* A copy of the record. */
struct image *image_new(const struct image_record *r, struct why *why);
void image_free(struct image *im);
struct image *image_by_id(const struct images *s, const char *id);
struct image *image_by_name(const struct images *s, const char *name); /* none that is going */
/* It becomes visible; who had its name before loses it, and goes when no machine stands on it. */
void image_appear(struct images *s, struct image *im);
/* Deletes the record, then the files; to nobody or to who asked for it. */
void image_forget(struct images *s, struct image *im, struct reply_to to);

/* import.c */
letter_fn image_on_import;
void image_import_ended(void *state, struct making *m, const struct why *why);

/* load.c */
void image_load(struct images *s);

#endif
