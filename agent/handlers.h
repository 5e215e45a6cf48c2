/*
 * agent/handlers.h - the requests that the agent serves; the table is in session.c.
 */
#ifndef AGENT_HANDLERS_H
#define AGENT_HANDLERS_H

#include "agent/session.h"

struct request {
	struct session *session;
	uint32_t msgid;
	enum letter_id id;
	const void *body;
};

/* Answers or refuses, now or later. The request ends with the call. */
typedef void handler(const struct request *r);

handler on_exec, on_put, on_get, on_dial, on_ssh, on_services, on_health, on_ports, on_stats,
	on_clock, on_grow, on_shutdown, on_where, on_space_put, on_survey, on_pick;

#endif
