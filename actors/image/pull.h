/*
 * image/pull.h - what the two files of a pull share: pull.c is its life, pull_talk.c what its two
 * workers say to each other.
 */
#ifndef IMAGE_PULL_H
#define IMAGE_PULL_H

#include "actors/image/image.h"
#include "proto/reference.h"

#define LAYERS_AREA "layers"

enum { PULL_WANTS_MAX = 1024 };

struct pull_want { /* of the worker that builds */
	char digest[REFERENCE_DIGEST_BYTES];
	uint64_t size;
	bool manifest, layer;
	bool asked; /* of our own downloader; else another pull's is at it */
	bool whole, cached;
	uint64_t began_ms, told_ms; /* for people */
	uint64_t began_bytes; /* that an earlier pull had left */
	bool begun;
};

/* Somebody who asked for this pull, and is answered at its end. */
struct pull_wait {
	TAILQ_ENTRY(pull_wait) entry;
	struct reply_to reply;
	uint64_t client; /* who is told how it goes, and whose going ends the wait of a pull */
	uint64_t op; /* the machine's; 0: the pull's own */
	char vm[MAKING_ID_BYTES]; /* a machine that wants to stand on it; "" for a pull */
	char *ssh_key; /* of that machine; may be NULL */
};
TAILQ_HEAD(pull_waits, pull_wait);

struct pull {
	struct image_making im; /* first */
	struct arena mem;
	struct image_pull ask; /* in mem */
	char source[REFERENCE_BYTES]; /* a reference with nothing left out, or a bundle's digest */
	struct job *fetch; /* the one with the network; the making's own job builds */
	struct why why; /* the first that went wrong */
	struct pull_want *wants;
	uint32_t wants_n, wants_room;
	struct pull_waits waits;
};

struct pull *pull_of(struct making *m); /* NULL: it is none */

/* pull_talk.c */
void pull_on_want(struct pull *p, const struct work_want *w);
void pull_on_have(struct pull *p, const struct work_have *have);
/* The downloader of p has gone: what others waited for, they ask their own for. */
void pull_hand_over(struct pull *p);

#endif
