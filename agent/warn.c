/*
 * warn.c - keeps the first sentences, logs them all; text is escaped, since it ends on terminals.
 */
#include "agent/warn.h"

#include <stdarg.h>

#include "base/log.h"

void warn(struct warnings *w, const char *fmt, ...)
{
	char text[2 * WARNING_BYTES];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_line(LOG_WARN, "agent", "warning", "text", text, NULL);
	if (w->n < WARNINGS_MAX)
		log_escape(w->text[w->n++], WARNING_BYTES, text, strlen(text));
}
