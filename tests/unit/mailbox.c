/*
 * unit/mailbox.c - the queue behind an actor: order, ceilings, and letters that stay in place.
 */
#include "tests/unit/unit.h"

#include "actor/mailbox.h"

static enum err send(struct mailbox *m, uint16_t kind, size_t n, bool beyond)
{
	struct mail head = { .kind = kind };
	struct buf *b = mailbox_begin(m, &head, beyond);

	if (!b)
		return ERR_busy;
	for (size_t i = 0; i < n; i++)
		buf_add(b, &(uint8_t){ (uint8_t)(kind + i) }, 1);
	return mailbox_sent(m);
}

static void check_next(struct mailbox *m, uint16_t kind, size_t n)
{
	struct mail head;
	struct bytes body;

	assert_true(mailbox_take(m, &head, &body));
	assert_int_equal(head.kind, kind);
	assert_int_equal(head.size, n);
	assert_int_equal(body.n, n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(body.p[i], (uint8_t)(kind + i));
}

static void in_order_of_any_size(void **state UNUSED)
{
	struct mailbox m;
	struct mail head;
	struct bytes body;

	mailbox_init(&m, 100, MiB);
	for (uint16_t i = 0; i < 50; i++)
		assert_int_equal(send(&m, i, i, false), OK);
	for (uint16_t i = 0; i < 50; i++) {
		check_next(&m, i, i);
		assert_int_equal(send(&m, (uint16_t)(50 + i), 3, false), OK);
	}
	for (uint16_t i = 50; i < 100; i++)
		check_next(&m, i, 3);
	assert_false(mailbox_take(&m, &head, &body));
	assert_int_equal(m.count, 0);
	assert_int_equal(m.peak, 50);
	mailbox_done(&m);
}

static void ceilings(void **state UNUSED)
{
	struct mailbox m;
	struct mail head = { .kind = 9 };

	mailbox_init(&m, 3, 4096);
	for (uint16_t i = 0; i < 3; i++)
		assert_int_equal(send(&m, i, 1, false), OK);
	assert_int_equal(send(&m, 3, 1, false), ERR_busy);
	assert_int_equal(send(&m, 3, 1, true), OK); /* answers pass the count */
	assert_int_not_equal(send(&m, 4, 5000, true), OK); /* and not the bytes */
	assert_non_null(mailbox_begin(&m, &head, true));
	mailbox_undo(&m);
	assert_int_equal(m.count, 4);
	for (uint16_t i = 0; i < 4; i++)
		check_next(&m, i, 1);
	assert_int_equal(send(&m, 5, 100, false), OK); /* what did not fit left no harm */
	check_next(&m, 5, 100);
	mailbox_done(&m);
}

/* What a handler looks at stays where it is, whatever it sends to itself meanwhile. */
static void a_taken_letter_does_not_move(void **state UNUSED)
{
	struct mailbox m;
	struct mail head;
	struct bytes body;

	mailbox_init(&m, 10000, 8 * MiB);
	assert_int_equal(send(&m, 7, 40, false), OK);
	assert_true(mailbox_take(&m, &head, &body));
	for (uint16_t i = 0; i < 5000; i++)
		assert_int_equal(send(&m, i, 500, false), OK);
	for (size_t i = 0; i < 40; i++)
		assert_int_equal(body.p[i], (uint8_t)(7 + i));
	for (uint16_t i = 0; i < 5000; i++)
		check_next(&m, i, 500);
	assert_int_equal(send(&m, 1, 1, false), OK);
	check_next(&m, 1, 1);
	assert_true(m.filling.cap <= 64 * KiB); /* a burst leaves no trace */
	mailbox_done(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(in_order_of_any_size),
		TEST(ceilings),
		TEST(a_taken_letter_does_not_move),
	};

	return RUN(tests);
}
