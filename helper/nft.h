/*
 * helper/nft.h - banger's own nft tables, `inet banger` and `bridge banger`, through libnftables'
 * JSON. No other table is ever named in a command that changes something.
 *
 * The text is made by jansson from names that their types have checked and addresses printed from
 * binary: libnftables runs whatever it is given, and asks the DNS about an address it cannot read.
 * A batch happens as a whole or not at all.
 */
#ifndef HELPER_NFT_H
#define HELPER_NFT_H

#include <jansson.h>

#include "base/err.h"

enum nft_set { NFT_BRIDGES, NFT_OUT, NFT_TAPS, NFT_OWN };

struct nft; /* a netlink socket; not to be shared with a child */
struct nft_batch {
	json_t *list; /* NULL: out of memory, which nft_run tells */
};

enum err nft_open(struct nft **ret, struct why *why) MUST_CHECK;
void nft_close(struct nft *n);

void nft_batch_init(struct nft_batch *b);
void nft_batch_done(struct nft_batch *b);
/* Both tables anew, empty of elements. */
void nft_put_tables(struct nft_batch *b);
/* No table of ours any more; fine where there is none. */
void nft_put_no_tables(struct nft_batch *b);
/*
 * One element: link is a bridge's or tap's name (NFT_BRIDGES, NFT_TAPS, NFT_OWN), addr a guest's
 * address in host byte order (NFT_OUT, NFT_OWN).
 */
void nft_put_element(
	struct nft_batch *b, bool add, enum nft_set set, const char *link, uint32_t addr);
enum err nft_run(struct nft *n, const struct nft_batch *b, struct why *why) MUST_CHECK;

/* Whether a table of one of our names is there. */
enum err nft_present(struct nft *n, bool *ret, struct why *why) MUST_CHECK;

/*
 * What of somebody else's rules keeps guests of the bridge from reaching outside: fn gets a
 * sentence with the rule that is missing, for each chain that drops what it does not know.
 */
enum err nft_foreign(struct nft *n, const char *bridge, void (*fn)(void *ctx, const char *sentence),
	void *ctx, struct why *why) MUST_CHECK;

/* 10.87.48.2, of host byte order. */
struct ip_text {
	char s[16];
};
struct ip_text ip_text(uint32_t addr);

#endif
