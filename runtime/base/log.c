/*
 * log.c - formats a log line on the stack and writes or sends it with one call.
 *
 * The only mutable globals of the tree live here: the descriptor and level of the one log.
 */
#include "base/log.h"

#include <stdarg.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

enum { LINE_BYTES = 1400, VALUE_BYTES = 400 };

static struct {
	int fd;
	enum log_level max;
	enum log_form form;
} sink = { 2, LOG_INFO, LOG_TIMED };

void log_to(int fd, enum log_level max, enum log_form form)
{
	sink.fd = fd;
	sink.max = max;
	sink.form = form;
}

bool log_wants(enum log_level level)
{
	return level <= sink.max;
}

struct log_num log_u64(uint64_t v)
{
	struct log_num n;

	snprintf(n.s, sizeof(n.s), "%llu", (unsigned long long)v);
	return n;
}

/* Unicode that reorders or hides text: bidi controls, zero-width and line separators. */
static bool deceptive(uint32_t cp)
{
	return (cp >= 0x80 && cp < 0xa0) || (cp >= 0x200b && cp <= 0x200f) ||
	       (cp >= 0x2028 && cp <= 0x202e) || (cp >= 0x2060 && cp <= 0x206f) || cp == 0xfeff ||
	       cp == 0xad || cp == 0x61c || (cp >= 0xe0000 && cp <= 0xe007f);
}

void log_escape(char *out, size_t size, const void *p, size_t n)
{
	const uint8_t *s = p, *end = s + n;
	size_t o = 0;

	must(size >= 8);
	while (s < end) {
		uint32_t cp;
		size_t len = utf8_next(s, (size_t)(end - s), &cp);

		if (o + 12 > size) {
			memcpy(out + o, "...", 3);
			o += 3;
			break;
		}
		if (len == 0) {
			o += (size_t)snprintf(out + o, size - o, "\\x%02x", *s);
			len = 1;
		} else if (cp < 0x20 || cp == 0x7f) {
			o += (size_t)snprintf(out + o, size - o, "\\x%02x", (unsigned)cp);
		} else if (cp == '"' || cp == '\\') {
			out[o++] = '\\';
			out[o++] = (char)cp;
		} else if (deceptive(cp)) {
			o += (size_t)snprintf(out + o, size - o, "\\u%04x", (unsigned)cp);
		} else {
			memcpy(out + o, s, len);
			o += len;
		}
		s += len;
	}
	out[o] = '\0';
}

static const char *const words[] = { "error", "warn", "info", "debug" };
static const int priorities[] = { 3, 4, 6, 7 }; /* syslog's */

/* Time and level, or priority. */
static size_t put_head(char *line, size_t size, enum log_level level)
{
	struct timespec now;
	char when[40];

	if (sink.form != LOG_TIMED)
		return (size_t)snprintf(line, size, "<%d>", priorities[level]);
	clock_gettime(CLOCK_REALTIME, &now);
	show_time(
		when, sizeof(when), (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000);
	return (size_t)snprintf(line, size, "%s %s ", when, words[level]);
}

/* One pair as a field of the journal; its names have capitals, digits and underscores. */
static size_t put_field(char *to, size_t size, const char *key, const char *value)
{
	size_t n = (size_t)snprintf(to, size, "BANGER_%s=%s\n", key, value);

	if (n >= size)
		return 0;
	for (char *p = to + strlen("BANGER_"); *p != '='; p++)
		*p = (*p >= 'a' && *p <= 'z')                             ? (char)(*p - 32) :
		     (*p >= '0' && *p <= '9') || (*p >= 'A' && *p <= 'Z') ? *p :
									    '_';
	return n;
}

/* line: what a person reads; fields: n bytes of pairs. Values were escaped, so no newline is in. */
static bool to_journal(
	enum log_level level, const char *who, const char *line, const char *fields, size_t n)
{
	char head[LINE_BYTES + 160];
	size_t h = (size_t)snprintf(head, sizeof(head),
		"PRIORITY=%d\nSYSLOG_IDENTIFIER=banger\nBANGER_ACTOR=%s\nMESSAGE=%s\n",
		priorities[level], who, line);
	struct iovec parts[] = { { head, MIN(h, sizeof(head) - 1) },
		{ (void *)(uintptr_t)fields, n } };
	struct msghdr m = { .msg_iov = parts, .msg_iovlen = COUNT(parts) };

	return sendmsg(sink.fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

/* What the journal does not take goes to our errors, which it reads too. */
static void emit(enum log_level level, const char *who, char *line, size_t n, const char *fields,
	size_t fields_n)
{
	line[n] = '\0';
	if (sink.form == LOG_JOURNAL &&
		to_journal(level, who, line + strlen("<N>"), fields, fields_n))
		return;
	line[n++] = '\n';
	while (write(sink.form == LOG_JOURNAL ? 2 : sink.fd, line, n) < 0 && errno == EINTR)
		;
}

void log_line(enum log_level level, const char *who, const char *event, ...)
{
	char line[LINE_BYTES], value[VALUE_BYTES], fields[LINE_BYTES];
	const char *key;
	va_list ap;
	size_t n, f = 0;
	int e = errno;

	if (!log_wants(level))
		return;
	n = put_head(line, sizeof(line), level);
	n += (size_t)snprintf(line + n, sizeof(line) - n, "%s: %s", who, event);
	va_start(ap, event);
	while ((key = va_arg(ap, const char *)) != NULL) {
		const char *v = va_arg(ap, const char *);
		bool quote;

		if (!v || n + 8 >= sizeof(line))
			continue;
		log_escape(value, sizeof(value), v, strlen(v));
		if (sink.form == LOG_JOURNAL)
			f += put_field(fields + f, sizeof(fields) - f, key, value);
		quote = value[0] == '\0' || strpbrk(value, " =\\\"") != NULL;
		n += (size_t)snprintf(
			line + n, sizeof(line) - n, quote ? " %s=\"%s\"" : " %s=%s", key, value);
		n = MIN(n, sizeof(line) - 2);
	}
	va_end(ap);
	emit(level, who, line, MIN(n, sizeof(line) - 2), fields, f);
	errno = e;
}
