/*
 * letter/error.h - the error map of a response (row A5): {code, message, field?, hint?}.
 */
#ifndef LETTER_ERROR_H
#define LETTER_ERROR_H

#include "base/err.h"
#include "letter/mp.h"
#include "letter/pack.h"

void error_pack(msgpack_packer *pk, const struct why *why);
/* Reads what a peer sent, leniently; a map that makes no sense becomes ERR_internal. */
enum err error_read(struct bytes map, struct why *why);

#endif
