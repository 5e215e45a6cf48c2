/*
 * mailbox.c - the bounded queue behind every actor; knows bytes, not letters.
 */
#include "actor/mailbox.h"

void mailbox_init(struct mailbox *m, uint32_t letters_max, size_t bytes_max)
{
	*m = (struct mailbox){ .count_max = letters_max };
	buf_init(&m->filling, bytes_max);
	buf_init(&m->handling, bytes_max);
}

void mailbox_done(struct mailbox *m)
{
	buf_done(&m->filling);
	buf_done(&m->handling);
}

struct buf *mailbox_begin(struct mailbox *m, const struct mail *head, bool beyond)
{
	if (m->count >= m->count_max && !beyond)
		return NULL;
	m->begun = m->filling.n;
	buf_add(&m->filling, head, sizeof(*head));
	if (m->filling.failed) {
		mailbox_undo(m);
		return NULL;
	}
	return &m->filling;
}

enum err mailbox_sent(struct mailbox *m)
{
	static const uint8_t zeros[8];
	uint32_t size = (uint32_t)(m->filling.n - m->begun - sizeof(struct mail));

	buf_add(&m->filling, zeros, -m->filling.n & 7);
	if (m->filling.failed) {
		mailbox_undo(m);
		return ERR_busy;
	}
	memcpy(m->filling.p + m->begun + offsetof(struct mail, size), &size, sizeof(size));
	m->count++;
	m->peak = MAX(m->peak, m->count);
	return OK;
}

void mailbox_undo(struct mailbox *m)
{
	m->filling.n = m->begun;
	m->filling.failed = false;
}

/*
 * The emptied run becomes the one to fill; a big one is given back, so that bursts leave no
 * trace.
 */
static void swap(struct mailbox *m)
{
	struct buf b = m->handling;

	b.n = 0;
	if (b.cap > 64 * KiB)
		buf_done(&b);
	m->handling = m->filling;
	m->filling = b;
	m->at = 0;
}

bool mailbox_take(struct mailbox *m, struct mail *head, struct bytes *body)
{
	if (m->at == m->handling.n) {
		if (m->filling.n == 0)
			return false;
		swap(m);
	}
	memcpy(head, m->handling.p + m->at, sizeof(*head));
	*body = (struct bytes){ m->handling.p + m->at + sizeof(*head), head->size };
	m->at += (sizeof(*head) + head->size + 7) & ~(size_t)7;
	m->count--;
	return true;
}
