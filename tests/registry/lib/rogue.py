"""A small registry that does what it is told, right or wrong, on a port of the loopback.

It serves images of lib/oci.py from memory. What goes wrong is a function (a plan) that sees each
request first: it may answer it itself and return True. Everything that was asked is kept in `asked`
as (method, path, headers).
"""
import base64
import http.server
import json
import re
import socket
import ssl
import threading
import urllib.parse

import oci


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def say(self, status, body=b"", headers=(), length=None):
        """A whole answer; length may lie."""
        self.send_response(status)
        for key, value in dict(headers).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)
        if length is not None and length != len(body):
            self.cut()

    def cut(self):
        """The connection ends here, mid-sentence."""
        self.wfile.flush()
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def do_GET(self):
        r = self.server.rogue
        with r.lock:
            r.asked.append((self.command, self.path, dict(self.headers)))
            count = sum(1 for a in r.asked if a[1] == self.path)
        try:
            if r.plan and r.plan(self, count):
                return
            self.serve()
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            self.close_connection = True

    do_POST = do_GET

    def serve(self):
        r = self.server.rogue
        path = urllib.parse.urlsplit(self.path).path
        if path == "/v2/":
            self.say(200, b"{}")
            return
        match = re.match(r"^/v2/([a-z0-9/._-]+)/(manifests|blobs)/([^/]+)$", path)
        what = match and (r.tags.get((match[1], match[3])) if match[2] == "manifests" and
                          not match[3].startswith("sha256:") else match[3])
        data = r.blobs.get(what) if what else None
        if data is None:
            self.say(404, b'{"errors":[{"code":"NOT_FOUND"}]}')
        elif match[2] == "manifests":
            self.say(200, data, {"Content-Type": r.kinds.get(what, oci.MANIFEST),
                                 "Docker-Content-Digest": what})
        else:
            self.blob(data)

    def blob(self, data):
        match = re.match(r"bytes=(\d+)-$", self.headers.get("Range", ""))
        if match and self.server.rogue.ranges:
            at = int(match[1])
            self.say(206, data[at:], {"Content-Range": f"bytes {at}-{len(data) - 1}/{len(data)}"})
        else:
            self.say(200, data)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass  # clients that leave are what is tested


class Rogue:
    def __init__(self, tls=None, plan=None):
        self.lock = threading.Lock()
        self.asked, self.blobs, self.tags, self.kinds = [], {}, {}, {}
        self.plan, self.ranges = plan, True
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.rogue = self
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.host = f"127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def put(self, image, name="a", tag="latest"):
        """Serves an image of oci.Image; answers its reference."""
        self.blobs.update(image.blobs)
        return self.put_text(image.text(), image.manifest.get("mediaType"), name, tag)

    def put_text(self, text, kind, name="a", tag="latest"):
        digest = oci.digest_of(text)
        self.blobs[digest] = text
        self.kinds[digest] = kind
        self.tags[name, tag] = digest
        return f"{self.host}/{name}:{tag}"

    def count(self, part):
        with self.lock:
            return sum(1 for a in self.asked if part in a[1])

    def headers(self, part):
        with self.lock:
            return [a[2] for a in self.asked if part in a[1]]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def bearer(rogue, user=None, password=None, token="secret-token", wrong=0):
    """A plan: tokens at /token (of the same registry), asked for with or without a password."""
    wanted = user and "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def plan(h, count):
        if h.path.startswith("/token"):
            if wanted and h.headers.get("Authorization") != wanted:
                h.say(401, b"{}", {"WWW-Authenticate": "Basic realm=tokens"})
            else:
                h.say(200, json.dumps({"token": token}).encode())
            return True
        if h.headers.get("Authorization") == "Bearer " + token and count > wrong:
            return False
        h.say(401, b"{}", {"WWW-Authenticate": f'Bearer realm="http://{rogue.host}/token",'
                           f'service="it",scope="repository:a:pull"'})
        return True
    return plan
