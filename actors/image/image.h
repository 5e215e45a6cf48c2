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

struct image {
	struct shelf_item it; /* first */
	struct image_record r; /* what it points to lies in mem; `named` is it.named */
	struct arena mem;
	size_t bytes; /* of the record, about, in an answer */
};

/* A copy of the record. */
struct image *image_new(const struct image_record *r, struct why *why);
void image_free(struct shelf_item *it); /* NULL is fine */
struct image *image_by_id(const struct shelf *s, const char *id);
struct image *image_by_name(const struct shelf *s, const char *name); /* none that is going */

/* import.c */
letter_fn image_on_import;
void image_import_ended(void *state, struct making *m, const struct why *why);

#endif
