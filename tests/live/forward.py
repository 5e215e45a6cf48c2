#!/usr/bin/env python3
"""Ports of the host that lead into a guest: `-p`, which lasts as long as its machine, and
`vm forward`, which lasts as long as the command."""
import contextlib
import hashlib
import json
import os
import select
import signal
import socket
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import live  # noqa: E402

SERVER = r"""
use IO::Socket::INET;
my $l = IO::Socket::INET->new(LocalAddr => '0.0.0.0', LocalPort => 80, Listen => 200, ReuseAddr => 1) or die;
$SIG{CHLD} = 'IGNORE';
while (1) {
	my $c = $l->accept or next;
	if (fork == 0) {
		my ($all, $buf) = (0);
		while (sysread($c, $buf, 65536)) { $all += length $buf; my $at = 0;
			while ($at < length $buf) { my $n = syswrite($c, $buf, length($buf) - $at, $at); last unless $n; $at += $n } }
		syswrite($c, "[$all]");
		exit;
	}
	close $c;
}
"""


def serve(house, name):
    """Port 80 of the guest gives back what it gets, and at its end the sum."""
    (house.dir / "server.pl").write_text(SERVER)
    house.ok("vm", "cp", str(house.dir / "server.pl"), f"{name}:/server.pl")
    house.sh(name, "setsid perl /server.pl >/dev/null 2>&1 </dev/null & "
                   "until perl -MIO::Socket::INET -e 'IO::Socket::INET->new(\"127.0.0.1:80\") "
                   "or exit 1'; do sleep 0.1; done")


def free_ports(n):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]


def talk(address, data, port=None):
    """Sends, ends its half, and reads to the end."""
    with socket.create_connection(address if port is None else (address, port), 10) as s:
        s.settimeout(live.PATIENCE)
        def send():
            with contextlib.suppress(OSError):  # what comes back tells
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
        sender = threading.Thread(target=send)
        sender.start()
        got = b""
        while part := s.recv(65536):
            got += part
        sender.join()
        return got


def published(house):
    """-p: both ways and half-closed, at the machine's own address too; stop, start, a new daemon"""
    port, other = free_ports(2)
    house.create("m", "-p", f"{port}:80", "-p", f"127.0.0.2:{other}:80")
    serve(house, "m")
    data = os.urandom(3000000)
    said = talk("127.0.0.1", data, port)
    assert said == data + b"[3000000]", (len(said), said[-20:])
    assert talk("127.0.0.2", b"x", other) == b"x[1]"
    shown = house.json("vm", "show", "m")
    own = shown["host_address"]
    assert own.startswith("127.") and talk(own, b"own", port) == b"own[3]"
    if os.geteuid() == 0:
        assert talk(own, b"eighty", 80) == b"eighty[6]"
    assert {(f["address"], f["port"], f["guest"]) for f in shown["forwards"] if f["up"]} >= \
        {("127.0.0.1", port, 80), ("127.0.0.2", other, 80), (own, port, 80)}, shown["forwards"]
    pid = house.vm("m")["pid"]
    house.kill_daemon()
    house.ok("daemon", "start")
    assert house.vm("m")["pid"] == pid and talk("127.0.0.1", b"again", port) == b"again[5]"
    house.ok("vm", "stop", "m", "--timeout", "0")
    with contextlib.suppress(ConnectionRefusedError):
        talk("127.0.0.1", b"", port)
        raise AssertionError("somebody listens for a machine that is stopped")
    house.ok("vm", "start", "m")
    serve(house, "m")
    assert talk("127.0.0.1", b"back", port) == b"back[4]"


def taken(house):
    """a port that is taken, or not ours, is told before anything boots, and leaves nothing"""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        error = house.fails("vm", "create", "--name", "m", "--image", "debian", "-p", f"{port}:80")
        assert (error["code"], error["field"]) == ("conflict", "publish"), error
        assert str(port) in error["message"] and error["hint"], error
        assert house.vms() == {}
        house.create("m", "--no-start", "-p", f"{port}:80")
        assert house.fails("vm", "start", "m")["code"] == "conflict"
        assert house.vm("m")["state"] == "stopped"
        house.ok("vm", "forward", "--help")
        error = house.fails("vm", "forward", "m", f"{port}:80")
        assert error["code"] == "conflict" and error["hint"], error
    error = house.fails("vm", "create", "--image", "debian", "-p", "203.0.113.9:8080:80")
    assert error["field"] == "publish" and "203.0.113.9" in error["message"], error
    for bad in ("80", "0:80", "1:2:3:4", "x:80", "80:70000"):
        error = house.fails("vm", "create", "--image", "debian", "-p", bad, code=2)
        assert error["code"] == "invalid_value", error


def crowd(house):
    """many at once: a ceiling, and it costs nobody else; who does not read stalls itself alone"""
    port, = free_ports(1)
    house.create("m", "-p", f"{port}:80")
    serve(house, "m")
    with contextlib.ExitStack() as stack:
        deaf = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
        deaf.setblocking(False)
        sent = 0
        while select.select([], [deaf], [], 1)[1]:
            sent += deaf.send(bytes(65536))
        assert 0 < sent < 32000000, sent
        many = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
                for _ in range(200)]
        for s in many:
            s.settimeout(live.PATIENCE)
        alive = 0
        for s in many:
            with contextlib.suppress(OSError):
                s.sendall(b"hello")
                alive += s.recv(5) == b"hello"
        assert alive == 127, alive
        assert house.sh("m", "echo works") == "works\n"
    # they have gone: there is room again, once the guest has noticed
    house.sh("m", "while grep -q ':0050 .* 01 ' /proc/net/tcp; do :; done")
    assert talk("127.0.0.1", b"y", port) == b"y[1]"
    assert house.json("vm", "health", "m")["ok"]


def by_command(house):
    """vm forward: several ports, both ways, until a signal; a port that nobody serves is said"""
    port, other = free_ports(2)
    house.create("m")
    serve(house, "m")
    child = house.popen("vm", "forward", "m.vm", f"{port}:80", f"127.0.0.3:{other}:81")
    assert child.stdout.readline() == f"127.0.0.1:{port} -> m:80\n".encode()
    assert child.stdout.readline() == f"127.0.0.3:{other} -> m:81\n".encode()
    data = os.urandom(2000000)
    results = [None] * 4

    def one(i):
        results[i] = hashlib.sha256(talk("127.0.0.1", data, port)).digest()
    threads = [threading.Thread(target=one, args=(i,)) for i in range(len(results))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert set(results) == {hashlib.sha256(data + b"[2000000]").digest()}
    with contextlib.suppress(ConnectionResetError):
        assert talk("127.0.0.3", b"x", other) == b""
    house.ok("vm", "stop", "m", "--timeout", "0")
    with contextlib.suppress(ConnectionResetError):
        assert talk("127.0.0.1", b"x", port) == b""
    house.ok("vm", "start", "m")
    serve(house, "m")
    assert talk("127.0.0.1", b"x", port) == b"x[1]"
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=live.PATIENCE)
    assert child.returncode == 0 and b"81" in err, (child.returncode, err)
    assert house.fails("vm", "forward", "nosuch", f"{port}:80")["code"] == "not_found"
    child = house.popen("--json", "vm", "forward", "m", f"{port}:80")
    text = b""
    while text.count(b"[") == 0 or not text.rstrip().endswith(b"]"):
        text += child.stdout.readline()
    assert json.loads(text)[0]["port"] == port
    child.terminate()
    assert child.wait(timeout=live.PATIENCE) == 0
    child.communicate()


if __name__ == "__main__":
    live.main([published, taken, crowd, by_command])
