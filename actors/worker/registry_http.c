/*
 * registry_http.c - requests by libcurl, many at once, between letters.
 *
 * Every answer has its ceilings: time without bytes, redirects, size (libcurl's own for headers,
 * ours for bodies). A header of ours that carries credentials goes to the host that it was made for
 * and no other: libcurl drops it when a redirect leads to another host, port or scheme.
 */
#include <stdlib.h>
#include <strings.h>
#include <sys/random.h>

#include "worker/registry.h"

enum {
	POLL_MS = 100,
	REDIRECTS_MAX = 5,
	ATTEMPTS_MAX = 30,
	BACKOFF_MS = 250,
	BACKOFF_MS_MAX = 8000,
	PATIENCE_S_MAX = 300 /* that a registry may ask for */
};

static size_t on_body(char *p, size_t one UNUSED, size_t n, void *ctx)
{
	struct request *q = ctx;
	long status = 0;

	curl_easy_getinfo(q->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status < 200 || status > 299)
		return n; /* its prose is not for us */
	q->in_vain = 0;
	if (q->sink)
		return q->sink(q, (const uint8_t *)p, n) ? n : 0;
	buf_add(&q->body, p, n);
	if (!q->body.failed)
		return n;
	fail(&q->why, ERR_too_large, "the registry sends a document of more than %zu bytes",
		q->body.max);
	return 0;
}

static bool named(const char *p, size_t n, const char *name, const char **value, size_t *value_n)
{
	size_t len = strlen(name);

	if (n <= len || strncasecmp(p, name, len) != 0 || p[len] != ':')
		return false;
	*value = p + len + 1;
	*value_n = n - len - 1;
	while (*value_n > 0 && strchr("\r\n \t", (*value)[*value_n - 1]))
		(*value_n)--;
	return true;
}

static size_t on_header(char *p, size_t one UNUSED, size_t n, void *ctx)
{
	struct request *q = ctx;
	const char *v;
	size_t len;

	if (n > 5 && memcmp(p, "HTTP/", 5) == 0) { /* of the next answer, behind a redirect */
		memset(&q->challenge, 0, sizeof(q->challenge));
		q->has_range = false;
	} else if (named(p, n, "WWW-Authenticate", &v, &len)) {
		(void)!challenge_read(v, len, &q->challenge);
	} else if (named(p, n, "Content-Range", &v, &len)) {
		q->has_range = content_range_from(v, len, &q->range_from);
	}
	return n;
}

static CURLcode set_trust(struct registry *r, CURL *h)
{
	struct curl_blob ca = { (void *)(uintptr_t)r->ask.trust.p, r->ask.trust.n, CURL_BLOB_COPY };
	CURLcode c = CURLE_OK;

	if (r->ask.insecure) {
		c = curl_easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 0L);
		if (!c)
			c = curl_easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 0L);
	} else if (ca.len > 0) {
		c = curl_easy_setopt(h, CURLOPT_CAINFO_BLOB, &ca);
		if (!c)
			c = curl_easy_setopt(h, CURLOPT_CAPATH, NULL);
	}
	return c;
}

static CURLcode set_options(struct request *q, const char *post)
{
	long quiet_s = (long)MAX(q->r->ask.timeout_ms / 1000, 1u);
	const char *schemes = q->r->ask.insecure ? "https,http" : "https";
	CURL *h = q->easy;
	CURLcode c = CURLE_OK;

#define SET(option, value) \
	do { \
		if (!c) \
			c = curl_easy_setopt(h, option, value); \
	} while (0)
	SET(CURLOPT_URL, q->url);
	SET(CURLOPT_PRIVATE, q);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_USERAGENT, "banger");
	SET(CURLOPT_PROTOCOLS_STR, schemes);
	SET(CURLOPT_REDIR_PROTOCOLS_STR, schemes);
	SET(CURLOPT_FOLLOWLOCATION, q->follow ? 1L : 0L);
	SET(CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)q->r->ask.timeout_ms);
	SET(CURLOPT_LOW_SPEED_LIMIT, 64L);
	SET(CURLOPT_LOW_SPEED_TIME, quiet_s);
	SET(CURLOPT_BUFFERSIZE, 262144L);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, q);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, q);
	SET(CURLOPT_HTTPHEADER, q->headers);
	if (post)
		SET(CURLOPT_COPYPOSTFIELDS, post);
#undef SET
	return c ? c : set_trust(q->r, h);
}

void http_stop(struct request *q)
{
	if (q->running) {
		curl_multi_remove_handle(q->r->multi, q->easy);
		q->r->active--;
	}
	q->running = false;
	curl_easy_cleanup(q->easy);
	q->easy = NULL;
	curl_slist_free_all(q->headers);
	q->headers = NULL;
	buf_done(&q->body);
}

enum err http_start(struct request *q, const char *const *headers, const char *post,
	struct why *why)
{
	http_stop(q);
	q->status = 0;
	q->retry_after_ms = 0;
	q->why.code = OK;
	buf_init(&q->body, DOCUMENT_BYTES_MAX);
	for (; *headers; headers++) {
		struct curl_slist *more = curl_slist_append(q->headers, *headers);

		if (!more)
			return fail(why, ERR_no_memory, "no memory for a request");
		q->headers = more;
	}
	q->easy = curl_easy_init();
	if (!q->easy || set_options(q, post) || curl_multi_add_handle(q->r->multi, q->easy))
		return fail(why, ERR_no_memory, "no memory for a request");
	q->running = true;
	q->attempts++;
	q->in_vain++;
	q->r->active++;
	return OK;
}

static void ended(struct registry *r, CURL *easy, CURLcode code)
{
	curl_off_t after = 0;
	struct request *q = NULL;

	curl_easy_getinfo(easy, CURLINFO_PRIVATE, &q);
	q->code = code;
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &q->status);
	curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &after);
	q->retry_after_ms = after > 0 ? (uint64_t)after * 1000 : 0;
	q->running = false;
	r->active--;
	curl_multi_remove_handle(r->multi, easy);
}

void http_turn(struct registry *r)
{
	struct curl_waitfd letters = { .fd = FD_LETTERS, .events = CURL_WAIT_POLLIN };
	int left = 0, over = 0;
	CURLMsg *m;

	curl_multi_perform(r->multi, &left);
	while ((m = curl_multi_info_read(r->multi, &left)) != NULL) {
		if (m->msg != CURLMSG_DONE)
			continue;
		ended(r, m->easy_handle, m->data.result);
		over++;
	}
	loop_turn(r->job->loop, false);
	if (over == 0)
		curl_multi_poll(r->multi, &letters, 1, POLL_MS, NULL);
	loop_turn(r->job->loop, false);
}

void http_wait(struct request *q)
{
	while (q->running)
		http_turn(q->r);
}

/* ---- what it means ---- */

static bool passes(CURLcode c)
{
	switch ((int)c) {
	case CURLE_COULDNT_CONNECT:
	case CURLE_PARTIAL_FILE:
	case CURLE_OPERATION_TIMEDOUT:
	case CURLE_GOT_NOTHING:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_HTTP2:
	case CURLE_HTTP2_STREAM:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_WEIRD_SERVER_REPLY:
		return true;
	default:
		return false;
	}
}

static void unverified(struct request *q, struct why *why)
{
	fail(why, ERR_unavailable, "%s does not prove that it is %s: %.100s", q->r->base,
		q->r->ref.host, curl_easy_strerror(q->code));
	fail_hint(why, "`--ca FILE` trusts a private authority; `--insecure` believes anybody");
}

static void no_answer(struct request *q, const char *what, struct why *why)
{
	if (q->code == CURLE_PEER_FAILED_VERIFICATION || q->code == CURLE_SSL_CACERT_BADFILE) {
		unverified(q, why);
	} else if (q->code == CURLE_OPERATION_TIMEDOUT) {
		fail(why, ERR_timeout, "%s: %s says nothing", what, q->r->ref.host);
	} else if (q->code) {
		fail(why, ERR_unavailable, "%s: no answer from %s: %.100s", what, q->r->base,
			curl_easy_strerror(q->code));
	} else {
		fail(why, ERR_unavailable, "%s: the registry answers %ld", what, q->status);
	}
}

static void said_no(struct request *q, const char *what, struct why *why)
{
	const struct work_registry *ask = &q->r->ask;

	if (q->status == 404) {
		fail(why, ERR_not_found, "%s has no %s", q->r->ref.host, what);
	} else if (q->status == 401 || q->status == 403) {
		fail(why, ERR_denied, "%s does not let %s have %s", q->r->ref.host,
			ask->token ? "this token" : ask->username ? ask->username : "strangers",
			what);
		fail_hint(why, "`docker login %s` (or podman) keeps a password that banger uses; "
			       "or the name is wrong", q->r->ref.host);
	} else {
		no_answer(q, what, why);
	}
}

/* Ever longer, and not in step with others. */
static uint64_t backoff(const struct request *q)
{
	uint64_t ms = BACKOFF_MS, more = 0;

	for (unsigned i = 1; i < q->in_vain && ms < BACKOFF_MS_MAX; i++)
		ms *= 2;
	(void)!getrandom(&more, 1, GRND_NONBLOCK);
	return MAX(ms + ms * more / 1024, q->retry_after_ms);
}

enum verdict http_judge(struct request *q, unsigned tries, const char *what, struct why *why)
{
	bool again = q->code ? passes(q->code) : q->status == 429 || q->status == 408 ||
						 q->status >= 500;

	if (q->why.code) {
		*why = q->why;
		return REFUSED;
	}
	if (!q->code && (q->status == 200 || q->status == 206))
		return ANSWERED;
	if (!q->code && q->status == 401 && q->signed_in < 2 && !q->r->ask.url)
		return SIGN_IN;
	if (!again) {
		said_no(q, what, why);
		return REFUSED;
	}
	no_answer(q, what, why);
	if (q->retry_after_ms > PATIENCE_S_MAX * 1000)
		fail(why, ERR_busy, "%s: the registry asks to come back in %llu seconds", what,
			(unsigned long long)q->retry_after_ms / 1000);
	else if (q->in_vain < tries && q->attempts < ATTEMPTS_MAX) {
		q->again_ms = loop_now_ms(q->r->job->loop) + backoff(q);
		return TRY_AGAIN;
	}
	return REFUSED;
}

enum err http_open(struct registry *r, struct why *why)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
		r->multi = curl_multi_init();
	if (!r->multi)
		return fail(why, ERR_no_memory, "no memory for a client");
	curl_multi_setopt(r->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)ACTIVE_MAX + 1);
	return OK;
}

void http_close(struct registry *r)
{
	curl_multi_cleanup(r->multi);
	curl_global_cleanup();
}
