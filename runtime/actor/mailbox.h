/*
 * actor/mailbox.h - a bounded queue of packed letters.
 *
 * Two byte runs: one is being filled while the other is being handled, so that what a handler looks
 * at never moves, whatever it sends to itself.
 */
#ifndef ACTOR_MAILBOX_H
#define ACTOR_MAILBOX_H

#include "base/buf.h"
#include "base/err.h"

struct mail {
	uint64_t serial; /* of the ask that it belongs to; 0 for a tell */
	uint64_t client;
	uint32_t size; /* bytes of body behind this head */
	uint16_t kind;
	uint8_t from;
	uint8_t what; /* enum mail_what */
};

enum mail_what { MAIL_LETTER, MAIL_ANSWER, MAIL_REFUSAL };

struct mailbox {
	struct buf filling, handling;
	size_t at; /* in handling */
	size_t begun; /* where the letter that is being packed begins, in filling */
	uint32_t count, count_max, peak; /* letters waiting; the ceiling; most ever */
};

void mailbox_init(struct mailbox *m, uint32_t letters_max, size_t bytes_max);
void mailbox_done(struct mailbox *m);
/*
 * Begins a letter: answers where its body is to be packed, or NULL when full. mailbox_sent ends it;
 * mailbox_undo takes it back. `beyond` lets it pass the count (answers do: asks bound them).
 */
struct buf *mailbox_begin(struct mailbox *m, const struct mail *head, bool beyond);
enum err mailbox_sent(struct mailbox *m); /* OK, or ERR_no_memory/ERR_too_large after undoing */
void mailbox_undo(struct mailbox *m);
/* The next letter, or false. body stays where it is until the next call. */
bool mailbox_take(struct mailbox *m, struct mail *head, struct bytes *body);

#endif
