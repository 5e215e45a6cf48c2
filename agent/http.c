/*
 * http.c - `GET /healthz` and nothing else, for watchers that speak no letters (row C5).
 * One request a connection, a small ceiling on it, and a deadline.
 */
#include <unistd.h>

#include "agent/link.h"
#include "base/build.h"
#include "loop/chan.h"

enum { REQUEST_BYTES_MAX = 4096, REQUEST_MS = 5000 };

struct http {
	struct agent *agent;
	struct chan *chan;
	struct timer deadline;
	bool answered;
};

static void http_free(struct http *h)
{
	timer_stop(&h->deadline);
	h->agent->https_n--;
	chan_close(h->chan);
	free(h);
}

static void on_late(void *ctx)
{
	http_free(ctx);
}

static void say(struct http *h, const char *status, const char *more, const char *body)
{
	own_buf b = { 0 };

	buf_fmt(&b, "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
		    "Connection: close\r\n%s\r\n%s", status, strlen(body), more, body);
	if (!b.failed)
		chan_write(h->chan, b.p, b.n);
	chan_finish(h->chan);
	h->answered = true;
}

static void say_health(struct http *h)
{
	struct agent *a = h->agent;
	char body[256];

	snprintf(body, sizeof(body),
		"{\"status\":\"ok\",\"version\":\"%s\",\"init\":\"%s\",\"mounted\":%s,"
		"\"uptime_ms\":%llu}\n",
		build_version, word_of(init_kind, a->init), mounted_now(a) ? "true" : "false",
		(unsigned long long)uptime_ms());
	say(h, "200 OK", "", body);
}

static void serve(struct http *h, const char *head)
{
	static const char bad[] = "{\"status\":\"bad request\"}\n";
	const char *path = strchr(head, ' ');
	size_t n = path ? strcspn(++path, " ?\r\n") : 0;

	if (n == 0 || path[0] != '/')
		say(h, "400 Bad Request", "", bad);
	else if (n != 8 || memcmp(path, "/healthz", 8) != 0)
		say(h, "404 Not Found", "", "{\"status\":\"not found\"}\n");
	else if (strncmp(head, "GET ", 4) != 0)
		say(h, "405 Method Not Allowed", "Allow: GET\r\n",
			"{\"status\":\"method not allowed\"}\n");
	else
		say_health(h);
}

static size_t on_data(void *ctx, const uint8_t *p, size_t n)
{
	struct http *h = ctx;
	char head[REQUEST_BYTES_MAX + 1];

	if (h->answered)
		return n;
	if (n > REQUEST_BYTES_MAX) {
		say(h, "431 Request Header Fields Too Large", "", "{\"status\":\"too large\"}\n");
		return n;
	}
	if (!memmem(p, n, "\r\n\r\n", 4) && !memmem(p, n, "\n\n", 2))
		return 0;
	memcpy(head, p, n);
	head[n] = '\0';
	serve(h, head);
	return n;
}

static void on_closed(void *ctx, const struct why *why UNUSED)
{
	http_free(ctx);
}

static const struct chan_user http_user = { .data = on_data, .closed = on_closed };

void http_serve(struct agent *a, int fd)
{
	own_fd mine = fd;
	struct http *h = a->https_n < HTTPS_MAX ? calloc(1, sizeof(*h)) : NULL;

	if (!h)
		return;
	h->agent = a;
	if (chan_open(a->loop, mine, mine, &http_user, h, &h->chan, NULL)) {
		free(h);
		return;
	}
	take_fd(&mine);
	a->https_n++;
	timer_start(a->loop, &h->deadline, REQUEST_MS, on_late, h);
}
