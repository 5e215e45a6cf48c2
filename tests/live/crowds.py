#!/usr/bin/env python3
"""Many clients at once: all are served, one too many is told so, slow and deaf ones harm nobody."""
import os
import resource
import select
import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import live  # noqa: E402

MIB = 1024 * 1024
CROWD = 1000
CLIENTS_MAX = 1024  # actors/gate.c
FRAME_DEADLINE = 5  # seconds, there too
TICKS = os.sysconf("SC_CLK_TCK")


def request(msgid, method, **params):
    return live.msgpack.packb([0, msgid, method, [params]])


class Client:
    def __init__(self, house):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(live.PATIENCE)
        self.socket.connect(str(house.runtime / "bangerd.sock"))
        self.reader = live.msgpack.Unpacker(raw=False)

    def frame(self):
        while True:
            for frame in self.reader:
                return frame
            data = self.socket.recv(65536)
            if not data:
                raise EOFError("the daemon hung up")
            self.reader.feed(data)

    def answer(self, msgid):
        while True:
            frame = self.frame()
            if frame[:2] == [1, msgid]:
                return frame[2], frame[3]

    def ask(self, method, **params):
        self.socket.sendall(request(1, method, **params))
        return self.answer(1)

    def close(self):
        self.socket.close()


def crowd(house, n):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < n + 100:
        raise live.Skip(f"only {hard} descriptors may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, n + 100), hard))
    return [Client(house) for _ in range(n)]


def high(times):
    """The 99th percentile."""
    return sorted(times)[len(times) * 99 // 100 - 1]


def pings(client, n=200):
    times = []
    for _ in range(n):
        begun = time.monotonic()
        assert client.ask("ping")[0] is None
        times.append(time.monotonic() - begun)
    return times


def all_listed(house):
    """1,000 clients at once, each `vm list`: all answered, p99 < 1 s, memory given back"""
    house.create("m", "--no-start")
    pid = house.daemon()
    before = None
    for _ in range(3):  # the first round is what memory is compared with
        clients = crowd(house, CROWD)
        poll = select.poll()
        by_fd = {c.socket.fileno(): c for c in clients}
        for c in clients:
            poll.register(c.socket, select.POLLIN)
        begun, times = time.monotonic(), []
        for c in clients:
            c.socket.sendall(request(1, "vm.list"))
        while by_fd:
            ready = poll.poll(live.PATIENCE * 1000)
            assert ready, f"{len(by_fd)} clients were not answered"
            for fd, _ in ready:
                error, result = by_fd.pop(fd).answer(1)
                poll.unregister(fd)
                times.append(time.monotonic() - begun)
                assert error is None and [v["name"] for v in result["vms"]] == ["m"], error
        assert len(times) == CROWD and high(times) < 1, f"p99 {high(times):.3f} s"
        for c in clients:
            c.close()
        assert house.ok("vm", "list")
        rss = live.memory(pid, "VmRSS")
        assert before is None or rss < before * 1.1, f"{before} bytes, then {rss}"
        before = before or rss
    assert house.daemon() == pid


def one_too_many(house):
    """a client over the ceiling is told `busy`, and served when another has left"""
    house.ok("daemon", "start")
    clients = crowd(house, CLIENTS_MAX)
    for c in clients:
        assert c.ask("ping")[0] is None
    more = Client(house)
    error, _ = more.ask("ping")
    assert error["code"] == "busy" and str(CLIENTS_MAX) in error["message"], error
    done = house.run("--json", "vm", "list")
    assert done.code == 1 and b'"busy"' in done.out, (done.code, done.out, done.err)
    clients.pop().close()
    more.close()
    # the daemon hears of it before it is asked again, on the same loop
    assert clients[0].ask("ping")[0] is None
    assert Client(house).ask("ping")[0] is None
    for c in clients:
        c.close()


def cpu(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def was_cut(client):
    """The daemon hung up. A byte that it had not read yet makes that a reset, not an end."""
    try:
        return client.socket.recv(1) == b""
    except ConnectionResetError:
        return True


def slow_ones(house):
    """1,000 clients that send a byte a second are cut after 5 s; a good one hardly feels them"""
    house.ok("daemon", "start")
    pid = house.daemon()
    good = Client(house)
    calm = high(pings(good))
    clients = crowd(house, CROWD)
    begun, used, times = time.monotonic(), cpu(pid), []
    frame = request(1, "vm.list", limit=10, after="ab")
    poll, left = select.poll(), {}
    for c in clients:
        poll.register(c.socket, select.POLLIN | select.POLLHUP)
        left[c.socket.fileno()] = c
    for byte in frame:
        for c in left.values():
            try:
                c.socket.sendall(bytes([byte]))
            except OSError:
                pass  # it was cut; the poll tells
        due = time.monotonic() + 1
        while left and (wait := due - time.monotonic()) > 0:
            for fd, _ in poll.poll(wait * 1000):
                assert was_cut(left.pop(fd))
                poll.unregister(fd)
            times += pings(good, 20)
        if not left:
            break
    took, used = time.monotonic() - begun, cpu(pid) - used
    assert not left, f"{len(left)} were not cut"
    assert FRAME_DEADLINE * 0.9 < took < FRAME_DEADLINE + 3, took
    assert used / took < 0.05, f"{used / took:.1%} of a CPU"
    assert high(times) < max(2 * calm, 0.02), (high(times), calm)
    good.close()


def deaf_one(house):
    """a client that grants 200 MiB of credit and never reads costs less than 8 MiB and nobody else"""
    house.create("m")
    house.sh("m", "true")
    pid = house.daemon()
    before = live.memory(pid, "VmRSS"), live.memory(pid, "VmPeak")
    deaf = Client(house)
    error, result = deaf.ask("vm.exec", vm="m", argv=["cat", "/dev/zero"], stdin=False)
    assert error is None, error
    for _ in range(200):
        deaf.socket.sendall(live.msgpack.packb(
            [2, "stream.credit", [{"stream": result["stream"], "ch": 1, "bytes": MIB}]]))
    good, until = Client(house), time.monotonic() + 5
    while time.monotonic() < until:  # as long as it is deaf, the others are served
        assert high(pings(good, 100)) < 1
        assert house.sh("m", "echo well") == "well\n"
    grown = live.memory(pid, "VmRSS") - before[0], live.memory(pid, "VmPeak") - before[1]
    assert grown[0] < 8 * MIB and grown[1] < 64 * MIB, grown
    assert deaf.frame()[1] == "stream.data"  # it was sent more than it read
    deaf.close()
    house.sh("m", "while pgrep -x cat; do sleep 0.1; done >/dev/null")
    good.close()


if __name__ == "__main__":
    live.main([all_listed, one_too_many, slow_ones, deaf_one])
