/*
 * dns/dns.h - the dns actor's own state, shared by the files of actors/dns/ and by nobody else.
 */
#ifndef DNS_DNS_H
#define DNS_DNS_H

#include <sys/queue.h>

#include "actors/roster.h"
#include "base/table.h"
#include "dns/dns_zone.h"

enum {
	NAMES_MAX = 16384,
	STREAMS_MAX = 256, /* one more ends the one that has said nothing for longest */
	STREAM_IDLE_MS = 5000, /* between two whole queries of a connection */
	STREAM_UNREAD_MAX = 65536, /* answers that a client leaves unread before it is not read */
	RETRY_MS = 1000, /* of a taken port; doubled each time */
	RETRY_MS_MAX = 60000
};

struct names {
	struct table by_name, by_address;
	struct table below; /* how many there are beneath the first two and three octets */
	struct dns_zones zones;
};

struct streams {
	struct world *world;
	const struct dns_zones *zones;
	struct world_listener *listener;
	TAILQ_HEAD(stream_list, stream) list; /* who said nothing for longest comes first */
	struct wtimer idle; /* of the first */
	uint32_t count, held;
	uint64_t answered, dropped;
	uint8_t out[2 + DATAGRAM_OUT_MAX]; /* an answer, with its length in front */
};

/* names.c */
void names_init(struct names *n, const uint64_t seeds[3]);
void names_done(struct names *n);
enum err names_put(struct names *n, const struct dns_publish *p, struct why *why) MUST_CHECK;
void names_drop(struct names *n, const char *name); /* not there is fine */
void names_verify(const struct names *n);

/* streams.c */
void streams_init(struct streams *s, struct world *w, const struct dns_zones *zones);
enum err streams_listen(
	struct streams *s, uint32_t address, uint16_t port, struct why *why) MUST_CHECK;
void streams_close(struct streams *s); /* listener and connections */
void streams_turn(struct streams *s); /* goes on with those that had their share of a turn */
void streams_verify(const struct streams *s);

#endif
