/*
 * base/sshkey.h - SSH public keys as text: the line that OpenSSH writes into NAME.pub.
 *
 * A key is "TYPE BASE64": one space, no options, no comment. What base64 holds is walked whole:
 * length-prefixed parts that fill it exactly, the first of them the type once more. Certificates
 * are no keys.
 */
#ifndef BASE_SSHKEY_H
#define BASE_SSHKEY_H

#include "base/base.h"

enum { SSHKEY_BYTES_MAX = 4096 };

/* Whether the n bytes are a key and nothing else. */
bool sshkey_ok(const char *s, size_t n);

/*
 * The key of a line "[OPTIONS] TYPE BASE64 [COMMENT]"; false when there is none. It points into the
 * line, which ends at its first newline or NUL. *begin, where not NULL, is what stands before it.
 */
bool sshkey_of_line(const char *line, struct bytes *key, size_t *begin);

/* The same for a file that holds one key: comments and empty lines before it are passed over. */
bool sshkey_of_file(const char *text, char out[SSHKEY_BYTES_MAX + 1]);

#endif
