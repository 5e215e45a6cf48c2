"""A web server beyond the host: answers everybody with the address that it sees. Argument: its own."""
import os
import socket
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Mirror(BaseHTTPRequestHandler):
    def do_GET(self):  # pylint: disable=invalid-name
        body = f"{self.client_address[0]}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = HTTPServer((sys.argv[1], 8000), Mirror)
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
    ready.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
server.serve_forever()
