/*
 * undo.c - the order in which the helper's things end: what uses another thing goes before it.
 */
#include "helper/undo.h"

#include "base/log.h"

static const struct {
	const char *what;
	undo_fn *mend; /* NULL: nothing of it is ever half made */
	undo_fn *undo;
} rows[] = {
	{ "machines", NULL, vmms_undo },
	{ "snapshots", snapshots_mend, snapshots_undo },
	{ "resolver", resolver_mend, resolver_undo },
	{ "network", net_mend, net_undo },
};

static void tell(const char *event, const char *what, const struct why *why)
{
	log_line(LOG_WARN, "helper", event, "what", what, "why", why->text, "hint",
		why->hint[0] ? why->hint : NULL, NULL);
}

void undo_mend_all(struct helper *h)
{
	struct why why;

	for (size_t i = 0; i < COUNT(rows); i++)
		if (rows[i].mend && rows[i].mend(h, &why))
			tell("not mended", rows[i].what, &why);
}

bool undo_everything(struct helper *h)
{
	bool all = true;
	struct why why;

	for (size_t i = 0; i < COUNT(rows); i++) {
		if (rows[i].undo(h, &why) == OK)
			continue;
		tell("not taken away", rows[i].what, &why);
		all = false;
	}
	return all;
}
