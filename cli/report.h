/*
 * cli/report.h - what banger itself says: errors, notes, tables.
 *
 * Text of a guest or a peer is escaped before a terminal sees it.
 */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include "cli/cli.h"

/* Says what failed (stderr, or a document on stdout with --json); answers the exit code due. */
int report(struct cli *c, const struct why *why);
/* The same for a line that was wrong. */
int report_usage(struct cli *c, const struct why *why);
/* The exit code of a failure of banger's own, for those who say it themselves. */
int report_code(const struct cli *c);
/* "banger: ..." on stderr, not with --quiet. */
void note(struct cli *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The text with everything escaped that could fool a terminal; lives in c->mem. */
const char *clean(struct cli *c, const char *s);

/* One document of this shape on stdout. */
void print_document(struct cli *c, const struct shape *s, const void *obj);
/* Pushes stdout out; answers code, or EXIT_REFUSED when it could not all be written. */
int finish(struct cli *c, int code);

/* Columns under heads, as wide as their widest cell. */
enum { GRID_COLUMNS = 13 };

enum color { PLAIN, GREEN, YELLOW, RED, DIM };

struct grid {
	struct cli *c;
	unsigned columns, cells;
	unsigned width[GRID_COLUMNS];
	struct buf text; /* per cell: its color, its text, NUL */
};

void grid_init(struct grid *g, struct cli *c, const char *const *heads, unsigned columns);
void grid_cell(struct grid *g, enum color color, const char *fmt, ...) PRINTF_LIKE(3, 4);
void grid_size(struct grid *g, bool known, uint64_t bytes);
void grid_duration(struct grid *g, bool known, uint64_t ms);
void grid_print(struct grid *g); /* and frees */

/* "key: value" lines, keys as wide as given. */
void line_text(struct cli *c, const char *key, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
