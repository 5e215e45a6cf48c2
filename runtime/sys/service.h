/*
 * sys/service.h - what systemd hands to a service it starts: a listening socket, the journal.
 * Readiness and watchdog are sys/notify.h's. Each answer is -1 where there is no systemd.
 *
 * What was read is taken out of the environment: no child shall take it for its own.
 */
#ifndef SYS_SERVICE_H
#define SYS_SERVICE_H

#include "base/base.h"

/*
 * The unix socket that was handed over, listening, not blocking; whatever else was handed over is
 * closed.
 */
int service_listener(void);

/* A socket of the journal's own protocol, when that is where our errors go (log_to). */
int service_journal(void);

#endif
