/*
 * error.c - struct why to the wire's error map and back. Text is escaped on the way in: a peer's
 * words end up on terminals and in logs.
 */
#include "letter/error.h"

#include "base/log.h"
#include "base/text.h"

static void pair(msgpack_packer *pk, const char *key, const char *value)
{
	pack_str(pk, key, strlen(key));
	pack_str(pk, value, strlen(value));
}

/* Formatting may have cut a character in two; the wire carries whole ones. */
static void text_pair(msgpack_packer *pk, const char *key, const char *value)
{
	char clean[512];

	if (utf8_valid(value, strlen(value))) {
		pair(pk, key, value);
		return;
	}
	log_escape(clean, sizeof(clean), value, strlen(value));
	pair(pk, key, clean);
}

void error_pack(msgpack_packer *pk, const struct why *why)
{
	enum err code = why->code == OK || why->code == ERR_malformed ? ERR_internal : why->code;

	msgpack_pack_map(pk, 2u + (why->field[0] != 0) + (why->hint[0] != 0));
	pair(pk, "code", err_name(code));
	text_pair(pk, "message", why->text);
	if (why->field[0])
		text_pair(pk, "field", why->field);
	if (why->hint[0])
		text_pair(pk, "hint", why->hint);
}

enum err error_read(struct bytes map, struct why *why)
{
	struct mp c = mp_over(map.p, map.n);
	struct bytes key, value;
	uint32_t pairs;
	char word[40];

	fail(why, ERR_internal, "the peer sent an error without words");
	if (!mp_map(&c, &pairs))
		return why->code;
	while (pairs-- > 0 && mp_str(&c, &key)) {
		if (!mp_str(&c, &value)) {
			if (!mp_skip(&c))
				break;
		} else if (key.n == 4 && !memcmp(key.p, "code", 4)) {
			log_escape(word, sizeof(word), value.p, MIN(value.n, (size_t)24));
			why->code = err_by_name(word);
		} else if (key.n == 7 && !memcmp(key.p, "message", 7)) {
			log_escape(why->text, sizeof(why->text), value.p, value.n);
		} else if (key.n == 5 && !memcmp(key.p, "field", 5)) {
			log_escape(why->field, sizeof(why->field), value.p, value.n);
		} else if (key.n == 4 && !memcmp(key.p, "hint", 4)) {
			log_escape(why->hint, sizeof(why->hint), value.p, value.n);
		}
	}
	return why->code;
}
