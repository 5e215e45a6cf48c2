/*
 * nft.c - the batches that change banger's tables.
 */
#include "helper/nft.h"

#include <nftables/libnftables.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helper/nic.h"
#include "helper/rules.h"

enum { SOCKETS_NEAR = 8 };

static const char *const families[] = { "inet", "bridge" };

struct ip_text ip_text(uint32_t addr)
{
	struct ip_text t;

	snprintf(t.s, sizeof(t.s), "%u.%u.%u.%u", addr >> 24, addr >> 16 & 255, addr >> 8 & 255,
		addr & 255);
	return t;
}

/* ---- batches ---- */

void nft_batch_init(struct nft_batch *b)
{
	b->list = json_array();
}

void nft_batch_done(struct nft_batch *b)
{
	json_decref(b->list);
	b->list = NULL;
}

/* Takes the command; without memory the batch is no more. */
static void put(struct nft_batch *b, json_t *command)
{
	if (json_array_append_new(b->list, command) < 0)
		nft_batch_done(b);
}

static void put_table(struct nft_batch *b, const char *verb, const char *family)
{
	put(b, json_pack("{s:{s:{s:s, s:s}}}", verb, "table", "family", family, "name", "banger"));
}

/* Adding first makes deleting right where there is none. */
void nft_put_no_tables(struct nft_batch *b)
{
	for (size_t i = 0; i < COUNT(families); i++) {
		put_table(b, "add", families[i]);
		put_table(b, "delete", families[i]);
	}
}

void nft_put_tables(struct nft_batch *b)
{
	static const char text[] = "[" RULES_INET RULES_BRIDGE "null]";
	json_t *rules = json_loadb(text, sizeof(text) - 1, 0, NULL);

	nft_put_no_tables(b);
	for (size_t i = 0; i < COUNT(families); i++)
		put_table(b, "add", families[i]);
	for (size_t i = 0; i + 1 < json_array_size(rules); i++)
		put(b, json_incref(json_array_get(rules, i)));
	if (!rules)
		nft_batch_done(b);
	json_decref(rules);
}

void nft_put_element(
	struct nft_batch *b, bool add, enum nft_set set, const char *link, uint32_t addr)
{
	static const struct {
		const char *family, *name;
	} sets[] = {
		[NFT_BRIDGES] = { "inet", "bridges" },
		[NFT_OUT] = { "inet", "out" },
		[NFT_TAPS] = { "bridge", "taps" },
		[NFT_OWN] = { "bridge", "own" },
	};
	struct ip_text ip = ip_text(addr);
	json_t *e;

	if (set == NFT_OWN)
		e = json_pack("{s:[s, s]}", "concat", link, ip.s);
	else
		e = json_string(set == NFT_OUT ? ip.s : link);
	put(b, json_pack("{s:{s:{s:s, s:s, s:s, s:[o]}}}", add ? "add" : "delete", "element",
		       "family", sets[set].family, "table", "banger", "name", sets[set].name,
		       "elem", e));
}

/* ---- running ---- */

struct nft {
	struct nft_ctx *ctx;
};

/*
 * The library keeps its socket to itself, and ends the process over a message that makes no sense
 * to it. The socket is the first netlink one above what was free before.
 */
static bool lock_socket(int first)
{
	for (int fd = first; fd < first + SOCKETS_NEAR; fd++) {
		int domain = 0;
		socklen_t n = sizeof(domain);

		if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) == 0 && domain == AF_NETLINK)
			return nic_only_kernel(fd);
	}
	return false;
}

enum err nft_open(struct nft **ret, struct why *why)
{
	struct nft *n = calloc(1, sizeof(*n));
	int first = dup(STDERR_FILENO);

	if (first < 0) {
		free(n);
		return fail_errno(why, "cannot open nft");
	}
	close(first);
	if (n)
		n->ctx = nft_ctx_new(NFT_CTX_DEFAULT);
	if (n && n->ctx && !lock_socket(first)) {
		nft_close(n);
		return fail(why, ERR_internal, "nft has no socket of its own");
	}
	if (!n || !n->ctx || nft_ctx_buffer_error(n->ctx) || nft_ctx_buffer_output(n->ctx)) {
		nft_close(n);
		return fail(why, ERR_no_memory, "no memory for nft");
	}
	nft_ctx_output_set_flags(n->ctx, NFT_CTX_OUTPUT_JSON);
	nft_ctx_clear_include_paths(n->ctx);
	*ret = n;
	return OK;
}

void nft_close(struct nft *n)
{
	if (n && n->ctx)
		nft_ctx_free(n->ctx);
	free(n);
}

/* libnftables tells in prose what went wrong; its first line is enough. */
static enum err run(struct nft *n, const char *text, struct why *why)
{
	int r = nft_run_cmd_from_buffer(n->ctx, text);
	const char *prose = nft_ctx_get_error_buffer(n->ctx);

	/* reading the buffer, even an empty one, makes it new */
	if (r == 0)
		return OK;
	return fail(why, ERR_internal, "nft refused banger's rules: %.*s",
		(int)strcspn(prose ? prose : "", "\n"), prose ? prose : "");
}

enum err nft_run(struct nft *n, const struct nft_batch *b, struct why *why)
{
	json_t *all = b->list ? json_pack("{s:O}", "nftables", b->list) : NULL;
	own_mem char *text = all ? json_dumps(all, JSON_COMPACT) : NULL;

	json_decref(all);
	if (!text)
		return fail(why, ERR_no_memory, "no memory for nft's rules");
	return run(n, text, why);
}

/* ---- asking ---- */

static enum err ask(struct nft *n, const char *text, json_t **ret, struct why *why)
{
	enum err e = run(n, text, why);
	const char *out = nft_ctx_get_output_buffer(n->ctx);
	json_t *all, *list;

	if (e)
		return e;
	all = json_loads(out ? out : "", JSON_REJECT_DUPLICATES, NULL);
	list = json_object_get(all, "nftables");
	if (!json_is_array(list)) {
		json_decref(all);
		return fail(why, ERR_internal, "nft's answer makes no sense");
	}
	*ret = json_incref(list);
	json_decref(all);
	return OK;
}

static const char *text_in(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

enum err nft_present(struct nft *n, bool *ret, struct why *why)
{
	json_t *list, *row;
	size_t i;
	enum err e = ask(n, "{\"nftables\":[{\"list\":{\"tables\":null}}]}", &list, why);

	if (e)
		return e;
	*ret = false;
	json_array_foreach(list, i, row)
	{
		const json_t *t = json_object_get(row, "table");

		for (size_t k = 0; k < COUNT(families); k++)
			*ret |= str_eq(text_in(t, "name"), "banger") &&
				str_eq(text_in(t, "family"), families[k]);
	}
	json_decref(list);
	return OK;
}

/* The table's rules name the bridge, so somebody has thought of it. */
static bool names_link(struct nft *n, const json_t *chain, const char *bridge)
{
	json_t *question = json_pack("{s:[{s:{s:{s:s, s:s}}}]}", "nftables", "list", "table",
		"family", text_in(chain, "family"), "name", text_in(chain, "table"));
	own_mem char *text = json_dumps(question, JSON_COMPACT);
	char quoted[32];
	const char *out;
	bool r = false;

	snprintf(quoted, sizeof(quoted), "\"%s\"", bridge);
	if (text && run(n, text, NULL) == OK) {
		out = nft_ctx_get_output_buffer(n->ctx);
		r = out && strstr(out, quoted);
	}
	json_decref(question);
	return r;
}

static bool has_chain(const json_t *list, const json_t *beside, const char *name)
{
	json_t *row;
	size_t i;

	json_array_foreach(list, i, row)
	{
		const json_t *c = json_object_get(row, "chain");

		if (str_eq(text_in(c, "name"), name) &&
			str_eq(text_in(c, "table"), text_in(beside, "table")) &&
			str_eq(text_in(c, "family"), text_in(beside, "family")))
			return true;
	}
	return false;
}

static void advice(
	const json_t *list, const json_t *chain, const char *bridge, char *out, size_t size)
{
	const char *family = text_in(chain, "family"), *table = text_in(chain, "table"),
		   *name = text_in(chain, "name");

	if (str_eq(table, "firewalld"))
		snprintf(out, size,
			"firewalld rejects what %s forwards: firewall-cmd --permanent "
			"--zone=trusted --add-interface=%s && firewall-cmd --reload",
			bridge, bridge);
	else if (has_chain(list, chain, "ufw-user-forward"))
		snprintf(out, size, "ufw drops what %s forwards: ufw route allow in on %s", bridge,
			bridge);
	else if (has_chain(list, chain, "DOCKER-USER"))
		snprintf(out, size,
			"Docker's FORWARD policy drops what %s forwards: iptables -I DOCKER-USER "
			"-i %s -j ACCEPT; iptables -I DOCKER-USER -o %s -m conntrack --ctstate "
			"RELATED,ESTABLISHED -j ACCEPT",
			bridge, bridge, bridge);
	else
		snprintf(out, size,
			"chain %s %s %s drops what %s forwards: nft insert rule %s %s %s iifname "
			"%s accept; nft insert rule %s %s %s oifname %s ct state "
			"established,related accept",
			family, table, name, bridge, family, table, name, bridge, family, table,
			name, bridge);
}

static bool blocks(const json_t *chain)
{
	const char *family = text_in(chain, "family"), *table = text_in(chain, "table");

	return str_eq(text_in(chain, "hook"), "forward") &&
	       (str_eq(family, "ip") || str_eq(family, "inet")) && !str_eq(table, "banger") &&
	       (str_eq(text_in(chain, "policy"), "drop") || str_eq(table, "firewalld"));
}

enum err nft_foreign(struct nft *n, const char *bridge, void (*fn)(void *ctx, const char *sentence),
	void *ctx, struct why *why)
{
	json_t *list, *row;
	size_t i;
	enum err e = ask(n, "{\"nftables\":[{\"list\":{\"chains\":null}}]}", &list, why);

	if (e)
		return e;
	json_array_foreach(list, i, row)
	{
		const json_t *chain = json_object_get(row, "chain");
		char text[400];

		if (!chain || !blocks(chain) || names_link(n, chain, bridge))
			continue;
		advice(list, chain, bridge, text, sizeof(text));
		fn(ctx, text);
	}
	json_decref(list);
	return OK;
}
