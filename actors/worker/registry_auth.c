/*
 * registry_auth.c - how a registry is spoken to: https or (when that is allowed) http, and with
 * which header. The registry says which: none, a password at each request, or a token that another
 * server gives for it. The token's JSON is the one document that this worker reads.
 */
#include "base/text.h"
#include "worker/json.h"
#include "worker/registry.h"

enum { SECRET_BYTES = 65536, REACH_TRIES = 3, TOKEN_TRIES = 4 };

/* Docker's own registry answers under another name than its images have. */
static const char *api_host(const struct reference *ref)
{
	return str_eq(ref->host, DOCKER_HOST) ? DOCKER_REGISTRY : ref->host;
}

static enum err basic(struct registry *r, char **ret, struct why *why)
{
	char pair[2 * 16384 + 2], text[SECRET_BYTES];
	int n = snprintf(pair, sizeof(pair), "%s:%s", r->ask.username ? r->ask.username : "",
		r->ask.password ? r->ask.password : "");

	if (n < 0 || n >= (int)sizeof(pair) || !base64_of(text, sizeof(text), pair, (size_t)n))
		return fail(why, ERR_too_large, "a password too long");
	if (asprintf(ret, "Authorization: Basic %s", text) < 0) {
		*ret = NULL;
		return fail(why, ERR_no_memory, "no memory for a password");
	}
	return OK;
}

/* Tries until the request was answered, or is refused. 401 is an answer here. */
static enum err persist(struct request *q, const char *const *headers, const char *post,
	unsigned tries, const char *what, struct why *why)
{
	for (;;) {
		enum err e = http_start(q, headers, post, why);

		if (e)
			return e;
		http_wait(q);
		switch (http_judge(q, tries, what, why)) {
		case ANSWERED:
		case SIGN_IN:
			return OK;
		case TRY_AGAIN:
			while (loop_now_ms(q->r->job->loop) < q->again_ms)
				http_turn(q->r);
			break;
		case REFUSED:
			return why->code;
		}
	}
}

/* ---- tokens ---- */

static enum err add_escaped(struct buf *b, CURL *h, const char *key, const char *value)
{
	char *text = curl_easy_escape(h, value, 0);

	if (!text)
		return ERR_no_memory;
	buf_fmt(b, "%s%s=%s", b->n ? "&" : "", key, text);
	curl_free(text);
	return OK;
}

/* service, scope, and with an identity token what trades it in. */
static enum err questions(
	struct registry *r, const struct challenge *c, struct buf *b, struct why *why)
{
	char scope[REFERENCE_NAME_BYTES + 32];
	CURL *h = curl_easy_init();
	enum err e = h ? OK : ERR_no_memory;

	snprintf(scope, sizeof(scope), "repository:%s:pull", r->ref.path);
	if (!e && c->service[0])
		e = add_escaped(b, h, "service", c->service);
	if (!e)
		e = add_escaped(b, h, "scope", c->scope[0] ? c->scope : scope);
	if (!e && r->ask.token) {
		buf_str(b, "&grant_type=refresh_token&client_id=banger");
		e = add_escaped(b, h, "refresh_token", r->ask.token);
	}
	curl_easy_cleanup(h);
	return e || b->failed ? fail(why, ERR_no_memory, "no memory to ask for a token") : OK;
}

static enum err take_token(struct registry *r, struct request *q, struct why *why)
{
	own_json json_t *root = NULL;
	enum err e = json_open((struct bytes){ q->body.p, q->body.n }, &root, why);
	const char *token = json_text(root, "token");

	if (e)
		return e;
	token = token ? token : json_text(root, "access_token");
	if (!token || !*token || strlen(token) > SECRET_BYTES || strpbrk(token, "\r\n"))
		return fail(why, ERR_unavailable, "the server of tokens gives none");
	if (asprintf(&r->authorization, "Authorization: Bearer %s", token) < 0) {
		r->authorization = NULL;
		return fail(why, ERR_no_memory, "no memory for a token");
	}
	return OK;
}

static enum err ask_token(
	struct registry *r, struct request *q, const struct challenge *c, struct why *why)
{
	own_buf question = { .max = SECRET_BYTES };
	char *password = NULL;
	bool sent = r->ask.token != NULL;
	const char *headers[] = { NULL, NULL };
	enum err e = questions(r, c, &question, why);

	if (!e && !sent && r->ask.username)
		e = basic(r, &password, why);
	if (e)
		return e;
	headers[0] = password;
	if (sent || snprintf(q->url, sizeof(q->url), "%s%s%s", c->realm,
			    strchr(c->realm, '?') ? "&" : "?",
			    buf_cstr(&question)) < (int)sizeof(q->url)) {
		if (sent)
			str_copy(q->url, sizeof(q->url), c->realm);
		e = persist(
			q, headers, sent ? buf_cstr(&question) : NULL, TOKEN_TRIES, "a token", why);
	} else {
		e = fail(why, ERR_too_large, "the address of tokens is too long");
	}
	free(password);
	return e;
}

static enum err bearer(struct registry *r, const struct challenge *c, struct why *why)
{
	struct request q = { .r = r };
	bool safe = strncmp(c->realm, "https://", 8) == 0 ||
		    (r->ask.insecure && strncmp(c->realm, "http://", 7) == 0);
	enum err e;

	if (!safe)
		return fail(why, ERR_denied, "%s wants tokens from '%.100s', which is not https",
			r->ref.host, c->realm);
	e = ask_token(r, &q, c, why);
	if (!e && q.status == 401) {
		fail(why, ERR_denied, "%s does not take the password of '%.100s'", r->ref.host,
			r->ask.username ? r->ask.username :
			r->ask.token    ? "a token" :
					  "nobody");
		e = fail_hint(why, "`docker login %s` keeps a new one", r->ref.host);
	}
	if (!e)
		e = take_token(r, &q, why);
	http_stop(&q);
	return e;
}

enum err registry_sign_in(struct registry *r, const struct challenge *c, struct why *why)
{
	free(r->authorization);
	r->authorization = NULL;
	if (c->bearer && c->realm[0])
		return bearer(r, c, why);
	if (!c->basic)
		return fail(why, ERR_unsupported,
			"%s asks for a sign-in of a kind that "
			"banger does not know",
			r->ref.host);
	if (r->ask.username)
		return basic(r, &r->authorization, why);
	fail(why, ERR_denied, "%s wants a password", r->ref.host);
	return fail_hint(
		why, "`docker login %s` (or podman) keeps one that banger uses", r->ref.host);
}

/* ---- the first word ---- */

static enum err ping(
	struct registry *r, struct request *q, const char *scheme, unsigned tries, struct why *why)
{
	static const char *const none[] = { NULL };
	enum err e;

	snprintf(r->base, sizeof(r->base), "%s://%s", scheme, api_host(&r->ref));
	snprintf(q->url, sizeof(q->url), "%s/v2/", r->base);
	e = persist(q, none, NULL, tries, "its first word", why);
	if (e == ERR_not_found)
		return fail(
			why, ERR_unsupported, "%s is no registry (of protocol v2)", r->ref.host);
	if (!e && q->status == 401)
		e = registry_sign_in(r, &q->challenge, why);
	return e;
}

/* Nothing that speaks TLS is there. */
static bool deaf(const struct request *q)
{
	return q->status == 0 &&
	       (q->code == CURLE_SSL_CONNECT_ERROR || q->code == CURLE_COULDNT_CONNECT ||
		       q->code == CURLE_GOT_NOTHING || q->code == CURLE_RECV_ERROR);
}

enum err registry_reach(struct registry *r, struct why *why)
{
	struct request q = { .r = r };
	enum err e = ping(r, &q, "https", r->ask.insecure ? 1 : REACH_TRIES, why);

	if (e && r->ask.insecure && deaf(&q)) {
		http_stop(&q);
		q = (struct request){ .r = r };
		e = ping(r, &q, "http", REACH_TRIES, why);
	}
	http_stop(&q);
	r->reached = !e;
	return e;
}
