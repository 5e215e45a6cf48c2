/*
 * err.c - error words and the one way to fill a struct why. What it holds is always UTF-8, whatever
 * bytes a path or a peer brought in and wherever the text was cut, so that it can be sent.
 * Never logs: who handles the failure decides whether it is worth a line.
 */
#include "base/err.h"

#include "base/text.h"

static const char *const names[ERR_COUNT] = {
	[OK] = "ok",
#define E(word, doc) [ERR_##word] = #word,
#include "base/errs.def"
#undef E
	[ERR_malformed] = "malformed",
};

static const char *const docs[ERR_COUNT] = {
	[OK] = "done",
#define E(word, doc) [ERR_##word] = doc,
#include "base/errs.def"
#undef E
	[ERR_malformed] = "the peer broke the framing",
};

const char *err_name(enum err code)
{
	must(code < ERR_COUNT);
	return names[code];
}

const char *err_doc(enum err code)
{
	must(code < ERR_COUNT);
	return docs[code];
}

enum err err_by_name(const char *word)
{
	for (int i = 1; i < ERR_malformed; i++)
		if (str_eq(names[i], word))
			return (enum err)i;
	return ERR_internal;
}

enum err err_from_errno(int e)
{
	switch (e) {
	case ENOENT:
	case ENOTDIR:
	case ESRCH:
		return ERR_not_found;
	case EEXIST:
	case ENOTEMPTY:
		return ERR_exists;
	case EACCES:
	case EPERM:
	case EROFS:
		return ERR_denied;
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return ERR_no_space;
	case ENOMEM:
	case EMFILE:
	case ENFILE:
	case EAGAIN:
		return ERR_no_memory;
	case ETIMEDOUT:
		return ERR_timeout;
	case EADDRINUSE:
		return ERR_conflict;
	case EBUSY:
		return ERR_busy;
	case EADDRNOTAVAIL:
	case EINVAL:
	case ELOOP:
	case EXDEV:
	case ENAMETOOLONG:
		return ERR_invalid_value;
	case ENOSYS:
	case EOPNOTSUPP:
		return ERR_unsupported;
	case ECONNREFUSED:
	case ECONNRESET:
	case EPIPE:
		return ERR_unavailable;
	default:
		return ERR_internal;
	}
}

static void make_utf8(char *s)
{
	uint32_t cp;
	size_t len;

	for (; *s; s += len) {
		len = utf8_next((const uint8_t *)s, strlen(s), &cp);
		if (len == 0) {
			*s = '?';
			len = 1;
		}
	}
}

PRINTF_LIKE(5, 0)
static enum err fill(struct why *why, enum err code, const char *field, int e, const char *fmt,
	va_list ap)
{
	int n;

	if (!why)
		return code;
	why->code = code;
	why->hint[0] = '\0';
	snprintf(why->field, sizeof(why->field), "%s", field ? field : "");
	n = vsnprintf(why->text, sizeof(why->text), fmt, ap);
	if (e && n >= 0 && (size_t)n < sizeof(why->text))
		snprintf(why->text + n, sizeof(why->text) - (size_t)n, ": %s", strerror(e));
	make_utf8(why->field);
	make_utf8(why->text);
	return code;
}

enum err fail(struct why *why, enum err code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fill(why, code, NULL, 0, fmt, ap);
	va_end(ap);
	return code;
}

enum err fail_field(struct why *why, enum err code, const char *field, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fill(why, code, field, 0, fmt, ap);
	va_end(ap);
	return code;
}

enum err fail_errno(struct why *why, const char *fmt, ...)
{
	int e = errno;
	enum err code = err_from_errno(e);
	va_list ap;

	va_start(ap, fmt);
	fill(why, code, NULL, e, fmt, ap);
	va_end(ap);
	return code;
}

enum err fail_hint(struct why *why, const char *fmt, ...)
{
	va_list ap;

	if (!why)
		return ERR_internal;
	va_start(ap, fmt);
	vsnprintf(why->hint, sizeof(why->hint), fmt, ap);
	va_end(ap);
	make_utf8(why->hint);
	return why->code;
}
