/*
 * world_linux_http.c - HTTP over unix sockets, by libcurl's multi interface on the loop.
 *
 * Each struct http has a multi handle of its own, so that no connection is ever shared between two
 * servers. Sockets are connected here, or came connected from the helper. libcurl 7.88 cannot take
 * one that is (CURL_SOCKOPT_ALREADY_CONNECTED is not obeyed), so it connects one to a door of ours
 * that nobody answers, and before it sends a byte the connected one takes that one's number. What
 * an answer may take (bytes, time) is the caller's to say; libcurl bounds the headers itself.
 */
#include <curl/curl.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <unistd.h>

#include "world/sockets_linux.h"

enum { SOCKETS_MAX = 2, LISTEN_MS = 2 };

#define DOOR "http.sock"

struct http {
	struct world *w;
	CURLM *multi;
	CURL *easy;
	struct curl_slist *headers;
	char path[64]; /* beneath RUNTIME; "" where the connection was given */
	bool met; /* the server was there */
	int given; /* libcurl's latest socket, which is libcurl's to close */
	int ready; /* connected, for libcurl's next request; -1 */
	struct {
		struct watch watch;
		curl_socket_t fd;
		struct http *h;
	} sockets[SOCKETS_MAX];
	struct timer curl_timer, deadline, again;
	int changes; /* inotify, while the server's socket is not there; -1 */
	struct watch on_changes;
	/* the request that is under way; done NULL: none */
	http_done_fn *done;
	void *ctx;
	uint64_t until;
	struct buf answer;
	char broken[CURL_ERROR_SIZE];
	bool running; /* libcurl works on it */
};

static void stop_waiting(struct http *h)
{
	if (h->changes >= 0)
		watch_stop(&h->on_changes);
	fd_done(&h->changes);
	h->changes = -1;
	timer_stop(&h->again);
}

/* The last that is done with h for a request: h may be gone afterwards. */
static void finish(struct http *h, const struct why *why, unsigned status)
{
	http_done_fn *done = take_ptr(&h->done);
	struct http_answer a = { status, { h->answer.p, h->answer.n } };
	struct buf kept = h->answer;

	timer_stop(&h->deadline);
	stop_waiting(h);
	if (h->running)
		curl_multi_remove_handle(h->multi, h->easy);
	h->running = false;
	h->answer = (struct buf){ .p = NULL };
	done(h->ctx, why, why ? NULL : &a);
	buf_done(&kept);
}

static void finish_by(struct http *h, CURLcode code)
{
	struct why why;
	long status = 0;

	if (code == CURLE_OK) {
		curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &status);
		finish(h, NULL, (unsigned)status);
		return;
	}
	if (h->answer.failed || code == CURLE_FILESIZE_EXCEEDED)
		fail(&why, ERR_too_large, "the answer is longer than %zu bytes", h->answer.max);
	else if (code == CURLE_OPERATION_TIMEDOUT)
		fail(&why, ERR_timeout, "no answer in time");
	else
		fail(&why, ERR_unavailable, "%s",
			h->broken[0] ? h->broken : curl_easy_strerror(code));
	finish(h, &why, 0);
}

/* libcurl moved on: at most one transfer can have ended. */
static void look(struct http *h)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(h->multi, &left)) != NULL)
		if (m->msg == CURLMSG_DONE && h->done) {
			finish_by(h, m->data.result);
			return;
		}
}

static void socket_moved(struct http *h, curl_socket_t fd, int flags)
{
	int still;

	curl_multi_socket_action(h->multi, fd, flags, &still);
	look(h);
}

static void on_socket(void *ctx, int events)
{
	struct http *h = *(struct http **)ctx;
	int flags = (events & WATCH_READ ? CURL_CSELECT_IN : 0) |
		    (events & WATCH_WRITE ? CURL_CSELECT_OUT : 0);

	for (unsigned i = 0; i < SOCKETS_MAX; i++)
		if (&h->sockets[i].h == ctx) {
			socket_moved(h, h->sockets[i].fd, flags);
			return;
		}
}

static int watch_socket(
	CURL *easy UNUSED, curl_socket_t fd, int what, void *ctx, void *socket_ctx UNUSED)
{
	struct http *h = ctx;
	unsigned i = 0;

	while (i < SOCKETS_MAX && h->sockets[i].fd != fd)
		i++;
	if (i < SOCKETS_MAX)
		watch_stop(&h->sockets[i].watch);
	if (what == CURL_POLL_REMOVE) {
		if (i < SOCKETS_MAX)
			h->sockets[i].fd = -1;
		return 0;
	}
	for (unsigned k = 0; i == SOCKETS_MAX && k < SOCKETS_MAX; k++)
		if (h->sockets[k].fd < 0)
			i = k;
	if (i == SOCKETS_MAX)
		return -1;
	h->sockets[i].fd = fd;
	h->sockets[i].h = h;
	watch_start(h->w->loop, &h->sockets[i].watch, fd,
		(what & CURL_POLL_IN ? WATCH_READ : 0) | (what & CURL_POLL_OUT ? WATCH_WRITE : 0),
		on_socket, &h->sockets[i].h);
	return 0;
}

static void curl_time(void *ctx)
{
	socket_moved(ctx, CURL_SOCKET_TIMEOUT, 0);
}

static int set_timer(CURLM *multi UNUSED, long ms, void *ctx)
{
	struct http *h = ctx;

	if (ms < 0)
		timer_stop(&h->curl_timer);
	else
		timer_start(h->w->loop, &h->curl_timer, (uint64_t)ms, curl_time, h);
	return 0;
}

/* ---- what libcurl asks for ---- */

/* A new connection: the one that will take its place must be there by then. */
static curl_socket_t give_socket(
	void *ctx, curlsocktype purpose UNUSED, struct curl_sockaddr *address UNUSED)
{
	struct http *h = ctx;
	struct why why;
	int old;

	while ((old = accept4(h->w->http_door, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		close(old);
	if (h->ready < 0 && (!h->path[0] || connect_socket(h->w, h->path, &h->ready, &why)))
		return CURL_SOCKET_BAD;
	h->given = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return h->given;
}

/* libcurl is connected and has sent nothing yet. */
static int take_place(
	void *ctx, char *ip UNUSED, char *own_ip UNUSED, int port UNUSED, int own_port UNUSED)
{
	struct http *h = ctx;

	if (h->ready < 0)
		return CURL_PREREQFUNC_OK; /* a connection that is used again */
	if (dup3(h->ready, h->given, O_CLOEXEC) < 0)
		return CURL_PREREQFUNC_ABORT;
	fd_done(&h->ready);
	h->ready = -1;
	return CURL_PREREQFUNC_OK;
}

/* A socket of the runtime directory, made for the first who needs it. */
static bool make_door(struct world *w, char *path, size_t size)
{
	if (w->http_door <= 0 && bind_socket(w, DOOR, &w->http_door, NULL))
		return false;
	fcntl(w->http_door, F_SETFL, fcntl(w->http_door, F_GETFL) | O_NONBLOCK);
	snprintf(path, size, "/proc/self/fd/%d/" DOOR, w->dirs[RUNTIME]);
	return true;
}

void http_world_done(struct world *w)
{
	if (w->http_door <= 0)
		return;
	unlinkat(w->dirs[RUNTIME], DOOR, 0);
	close(w->http_door);
}

static size_t take_answer(char *p, size_t size, size_t n, void *ctx)
{
	struct http *h = ctx;

	buf_add(&h->answer, p, size * n);
	return h->answer.failed ? 0 : size * n;
}

static bool set_up(struct http *h)
{
	char door[64];
	bool bad = false;

	if (!make_door(h->w, door, sizeof(door)))
		return false;
	h->headers = curl_slist_append(NULL, "Content-Type: application/json");
	if (!h->headers || !curl_slist_append(h->headers, "Accept: application/json") ||
		!curl_slist_append(h->headers, "Expect:"))
		return false;
#define SET(option, value) bad |= curl_easy_setopt(h->easy, option, value) != CURLE_OK
#define SET_MULTI(option, value) bad |= curl_multi_setopt(h->multi, option, value) != CURLM_OK
	SET_MULTI(CURLMOPT_SOCKETFUNCTION, watch_socket);
	SET_MULTI(CURLMOPT_SOCKETDATA, h);
	SET_MULTI(CURLMOPT_TIMERFUNCTION, set_timer);
	SET_MULTI(CURLMOPT_TIMERDATA, h);
	SET_MULTI(CURLMOPT_MAXCONNECTS, 1L);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "http");
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_UNIX_SOCKET_PATH, door);
	SET(CURLOPT_OPENSOCKETFUNCTION, give_socket);
	SET(CURLOPT_OPENSOCKETDATA, h);
	SET(CURLOPT_PREREQFUNCTION, take_place);
	SET(CURLOPT_PREREQDATA, h);
	SET(CURLOPT_HTTPHEADER, h->headers);
	SET(CURLOPT_WRITEFUNCTION, take_answer);
	SET(CURLOPT_WRITEDATA, h);
	SET(CURLOPT_ERRORBUFFER, h->broken);
	return !bad;
}

static bool set_request(struct http *h, const struct http_request *q)
{
	char url[256];
	bool bad = snprintf(url, sizeof(url), "http://localhost%s", q->path) >= (int)sizeof(url);

	SET(CURLOPT_URL, url);
	SET(CURLOPT_HTTPGET, 1L);
	SET(CURLOPT_CUSTOMREQUEST, q->method);
	if (q->body) {
		SET(CURLOPT_POSTFIELDSIZE, (long)strlen(q->body));
		SET(CURLOPT_COPYPOSTFIELDS, q->body);
	}
	SET(CURLOPT_MAXFILESIZE, (long)q->answer_max);
	h->broken[0] = '\0';
	return !bad;
#undef SET
#undef SET_MULTI
}

/* ---- the server's socket may not be there yet ---- */

static void run(struct http *h)
{
	stop_waiting(h);
	h->running = curl_multi_add_handle(h->multi, h->easy) == CURLM_OK;
	/* else the deadline says so */
}

static void try_connect(void *ctx);

static void on_change(void *ctx, int events UNUSED)
{
	struct http *h = ctx;
	char names[4096];

	(void)!read(h->changes, names, sizeof(names));
	try_connect(h);
}

/* Wakes when something is made in the directory where the socket will be. */
static enum err await_change(struct http *h, struct why *why)
{
	char dir[PATH_MAX];
	enum err e;

	if (h->changes >= 0)
		return OK;
	e = world_path(h->w, RUNTIME, h->path, dir, sizeof(dir), why);
	if (e)
		return e;
	*strrchr(dir, '/') = '\0';
	h->changes = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (h->changes < 0 || inotify_add_watch(h->changes, dir, IN_CREATE | IN_MOVED_TO) < 0)
		return fail_errno(why, "cannot wait for %s", h->path);
	watch_start(h->w->loop, &h->on_changes, h->changes, WATCH_READ, on_change, h);
	/* it may have come in between */
	timer_start(h->w->loop, &h->again, 0, try_connect, h);
	return OK;
}

static void try_connect(void *ctx)
{
	struct http *h = ctx;
	struct why why;
	enum err e = connect_socket(h->w, h->path, &h->ready, &why);

	if (!e) {
		h->met = true;
		run(h);
		return;
	}
	if (e == ERR_not_found)
		e = await_change(h, &why);
	else if (e == ERR_unavailable) {
		/* bound, and about to listen: the kernel tells nobody of that */
		timer_start(h->w->loop, &h->again, LISTEN_MS, try_connect, h);
		return;
	}
	if (e)
		finish(h, &why, 0);
}

static void too_late(void *ctx)
{
	struct why why;

	fail(&why, ERR_timeout, "no answer in time");
	finish(ctx, &why, 0);
}

void http_ask(struct http *h, const struct http_request *q, http_done_fn *done, void *ctx)
{
	must(!h->done && done);
	h->done = done;
	h->ctx = ctx;
	h->answer = (struct buf){ .max = q->answer_max };
	timer_start(h->w->loop, &h->deadline, q->ms, too_late, h);
	if (!set_request(h, q))
		return; /* no memory: the deadline says so */
	/* the first one connects; later ones use that connection, or libcurl asks for another */
	if (h->path[0] && !h->met)
		timer_start(h->w->loop, &h->again, 0, try_connect, h);
	else
		run(h);
}

/* ---- life ---- */

static struct http *http_new(struct world *w)
{
	struct http *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->w = w;
	h->ready = h->changes = -1;
	for (unsigned i = 0; i < SOCKETS_MAX; i++)
		h->sockets[i].fd = -1;
	h->multi = curl_multi_init();
	h->easy = curl_easy_init();
	if (h->multi && h->easy && set_up(h))
		return h;
	http_free(h);
	return NULL;
}

enum err world_http(struct world *w, const char *path, struct http **ret, struct why *why)
{
	struct http *h = http_new(w);

	must(strchr(path, '/') && strlen(path) < sizeof(h->path));
	if (!h)
		return fail(why, ERR_no_memory, "cannot prepare HTTP");
	snprintf(h->path, sizeof(h->path), "%s", path);
	*ret = h;
	return OK;
}

enum err world_parcel_http(struct world *w, uint64_t parcel, struct http **ret, struct why *why)
{
	own_fd fd = parcel_take(w, parcel);
	struct http *h = fd < 0 ? NULL : http_new(w);

	if (!h)
		return fd < 0 ? fail(why, ERR_unavailable,
					"the helper's answer brought no connection") :
				fail(why, ERR_no_memory, "cannot prepare HTTP");
	h->ready = take_fd(&fd);
	*ret = h;
	return OK;
}

void http_free(struct http *h)
{
	if (!h)
		return;
	timer_stop(&h->deadline);
	stop_waiting(h);
	h->done = NULL;
	if (h->running)
		curl_multi_remove_handle(h->multi, h->easy);
	if (h->easy)
		curl_easy_cleanup(h->easy);
	if (h->multi)
		curl_multi_cleanup(h->multi);
	for (unsigned i = 0; i < SOCKETS_MAX; i++)
		if (h->sockets[i].fd >= 0)
			watch_stop(&h->sockets[i].watch);
	timer_stop(&h->curl_timer);
	curl_slist_free_all(h->headers);
	fd_done(&h->ready);
	buf_done(&h->answer);
	free(h);
}
