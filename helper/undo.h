/*
 * helper/undo.h - what becomes of the ledger's things at the helper's start and at uninstall, by
 * kind, in one table (undo.c).
 */
#ifndef HELPER_UNDO_H
#define HELPER_UNDO_H

#include "helper/helper.h"

/* May block: the helper does not serve yet, or never will. */
typedef enum err undo_fn(struct helper *h, struct why *why);

/*
 * At start: entries whose thing is gone are dropped; what a crash left half made is finished or
 * taken away.
 */
void undo_mend_all(struct helper *h);
/* Takes away everything that the ledger knows; false when something of it stays. */
bool undo_everything(struct helper *h);

/* snapshot_undo.c */
undo_fn snapshots_mend, snapshots_undo;
/* vmms.c */
undo_fn vmms_undo;
/* net_undo.c */
undo_fn net_mend, net_undo;
/* resolver.c */
undo_fn resolver_mend, resolver_undo;

#endif
