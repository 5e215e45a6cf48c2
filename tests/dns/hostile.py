#!/usr/bin/env python3
"""The responder under hostile clients: garbage, floods, connections that stall, a taken port."""
import random
import select
import socket
import struct
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import names  # noqa: E402
from names import Answer, Namesd, connected, framed, next_answer, over_tcp, over_udp, query  # noqa: E402

MUTATIONS = 200000
IDLE = 500
STREAMS_MAX, STREAM_IDLE = 256, 5  # actors/dns/dns.h
CHURN_SECONDS, CHURN_RATE = 5, 10000
NAMES = {"alpha": "127.104.1.2", "beta": "127.104.1.3"}


def with_names(test):
    def run():
        d = Namesd()
        try:
            assert d.first == "up", d.first
            d.publish(NAMES)
            test(d)
            alive(d)
        finally:
            d.close()
    run.__doc__, run.__name__ = test.__doc__, test.__name__
    return run


def alive(d):
    for ask in (over_udp, over_tcp):
        said = Answer(ask(d.port, query("alpha.vm")))
        assert said.rcode == 0 and said.sections[0][0][4] == bytes([127, 104, 1, 2]), vars(said)


def memory(pid):
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def descriptors(pid):
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


# ---- garbage ----

def mutated(dice, data):
    data = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(data))
        kind = dice.randrange(4)
        if kind == 0:
            data[at] = dice.randrange(256)
        elif kind == 1:
            data[at] ^= 1 << dice.randrange(8)
        elif kind == 2:
            del data[max(at, 1):]
        else:
            data[at:at] = dice.randbytes(dice.randint(1, 8))
    return bytes(data)


@with_names
def mutations(d):
    """200,000 mutated datagrams: each answer can be read, nothing stops, nothing leaks"""
    dice = random.Random(1)
    seeds = [query("alpha.vm"), query("x.vm", "AAAA", edns=1232), query("vm", "SOA", edns=4096),
             query("2.1.104.127.in-addr.arpa", "PTR", edns=512, options=b"\0\x0a\0\x02ab"),
             query("a.b.c.example.org", "TXT")]
    answers, flat = 0, None
    with socket.socket(type=socket.SOCK_DGRAM) as s:
        s.connect(("127.0.0.1", d.port))
        s.setblocking(False)
        for i in range(MUTATIONS):
            s.send(mutated(dice, seeds[i % len(seeds)]))
            if i % 32 == 31:
                answers += read_all(s)
            if i == MUTATIONS // 4:
                flat = memory(d.pid), descriptors(d.pid)
        answers += read_all(s)
    assert answers > MUTATIONS // 4, f"only {answers} answers"
    grown = memory(d.pid) - flat[0]
    assert grown < 8 << 20 and descriptors(d.pid) == flat[1], f"{grown} bytes more"


def read_all(s):
    n = 0
    while select.select([s], [], [], 0)[0]:
        try:
            Answer(s.recv(65536))
        except AssertionError as error:
            raise AssertionError(f"an answer cannot be read: {error}") from None
        except BlockingIOError:
            break
        n += 1
    return n


@with_names
def too_long(d):
    """a datagram longer than any query is dropped, one of 1,280 bytes is refused"""
    junk = query("alpha.vm") + bytes(1400)
    assert over_udp(d.port, junk, 0.3) is None
    assert Answer(over_udp(d.port, junk[:1280])).rcode == names.FORMERR
    assert over_udp(d.port, b"", 0.3) is None
    answer = bytearray(query("alpha.vm"))
    answer[2] |= 0x80
    assert over_udp(d.port, bytes(answer), 0.3) is None, "an answer was answered"


# ---- connections ----

def until_closed(s, seconds):
    """Seconds until the peer hangs up."""
    begun = time.monotonic()
    while select.select([s], [], [], max(0, begun + seconds - time.monotonic()))[0]:
        try:
            if not s.recv(65536):
                return time.monotonic() - begun
        except ConnectionResetError:
            return time.monotonic() - begun
    raise AssertionError(f"still open after {seconds} s")


@with_names
def idle_crowd(d):
    """500 idle connections: a new one is served at once, and all are cut at their deadline"""
    before = descriptors(d.pid)
    crowd = [connected(d.port) for _ in range(IDLE)]
    begun = time.monotonic()
    alive(d)
    assert time.monotonic() - begun < 1, "a new client had to wait"
    assert d.counts()["streams"] <= STREAMS_MAX, d.counts()
    for s in crowd[IDLE - STREAMS_MAX:]:
        until_closed(s, 2 * STREAM_IDLE)
    for s in crowd:
        until_closed(s, 1)
        s.close()
    assert d.counts()["streams"] == 0, d.counts()
    assert descriptors(d.pid) == before


@with_names
def half_messages(d):
    """a length without its message, bytes that come one by one, a length of 64 KiB: all are cut"""
    half, drip, huge, crumb = (connected(d.port) for _ in range(4))
    half.sendall(framed(query("alpha.vm"))[:-1])
    crumb.sendall(b"\0")
    huge.sendall(b"\xff\xff\0")
    assert until_closed(huge, 1) < 1
    begun = time.monotonic()
    for byte in framed(query("alpha.vm")) * 3:  # whole queries come too late
        try:
            drip.sendall(bytes([byte]))
        except (BrokenPipeError, ConnectionResetError):
            break
        if select.select([drip], [], [], 0.4)[0]:
            break
    spent = time.monotonic() - begun
    assert spent < 2 * STREAM_IDLE, f"drip was cut after {spent:.1f} s"
    until_closed(half, STREAM_IDLE + 2)
    until_closed(crumb, STREAM_IDLE + 2)
    for s in (half, drip, huge, crumb):
        s.close()


@with_names
def pipelining(d):
    """5,000 queries in one go on one connection are answered in order, and others meanwhile"""
    count = 5000
    data = b"".join(framed(query(f"{'alpha' if i % 2 else 'x'}.vm", ident=i)) for i in range(count))
    with connected(d.port) as s:
        writer = threading.Thread(target=s.sendall, args=(data,))
        writer.start()
        for i in range(count):
            said = Answer(next_answer(s))
            assert (said.ident, said.rcode) == (i, 0 if i % 2 else names.NXDOMAIN), (i, vars(said))
            if i == 100:
                alive(d)
        writer.join()


@with_names
def reader_that_does_not(d):
    """a client that asks without end and reads nothing is not read any more, and then cut"""
    data = framed(query("alpha.vm", edns=1232)) * 1000
    before = memory(d.pid)
    with connected(d.port) as s:
        s.settimeout(1)
        sent, begun = 0, time.monotonic()
        try:
            while time.monotonic() < begun + 30:
                sent += s.send(data)
        except TimeoutError:
            pass
        else:
            raise AssertionError(f"it took {sent} bytes")
        alive(d)
        grown, streams = memory(d.pid) - before, d.counts()["streams"]
        assert grown < 16 << 20 and streams >= 1, f"{grown} bytes, {streams} streams"
        begun = time.monotonic()
        poll = select.poll()
        poll.register(s, select.POLLRDHUP)
        assert poll.poll(2 * STREAM_IDLE * 1000), "it was not cut"


@with_names
def mutated_streams(d):
    """20,000 mutated messages over TCP: answers can be read, broken streams are cut"""
    dice, answers = random.Random(2), 0
    for _ in range(400):
        with connected(d.port) as s:
            s.settimeout(names.PATIENCE)
            data = b"".join(framed(mutated(dice, query("alpha.vm", edns=1232)))
                            for _ in range(50))
            if dice.random() < 0.05:
                data += dice.randbytes(9)
            try:
                s.sendall(data)
                s.sendall(framed(query("alpha.vm", ident=0xabcd)))
                while True:
                    said = Answer(next_answer(s))
                    answers += 1
                    if said.ident == 0xabcd and said.rcode == 0:
                        break
            except (EOFError, BrokenPipeError, ConnectionResetError):
                pass  # the framing was lost
    assert answers > 5000, answers


# ---- change ----

@with_names
def churn(d):
    """10,000 queries a second while names come and go: none is lost, none is stale"""
    stop, lost, wrong = threading.Event(), [0], []

    def come_and_go():
        i = 0
        while not stop.is_set():
            name, address = f"vm-{i % 100}", f"127.80.{i % 100}.{1 + i // 100 % 250}"
            assert d.tell(f"+ {name} {address}") == ["ok"]
            said = Answer(over_udp(d.port, query(f"{name}.vm")))
            if said.rcode != 0 or said.sections[0][0][4] != socket.inet_aton(address):
                wrong.append(f"{name} is {vars(said)}, not {address}")
            assert d.tell(f"- {name}") == ["ok"]
            said = Answer(over_udp(d.port, query(f"{name}.vm")))
            if said.rcode != names.NXDOMAIN:
                wrong.append(f"{name} is still {vars(said)}")
            i += 1
        assert i > 100, f"only {i} names came and went"

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        lost[0] = ask_steadily(d, CHURN_SECONDS, CHURN_RATE)
    finally:
        stop.set()
        thread.join()
    assert lost[0] == 0, f"{lost[0]} queries got no answer"
    assert not wrong, wrong[:5]


def ask_steadily(d, seconds, rate):
    """Sends a hundredth of a second's worth at a time; answers how many were lost."""
    batch, sent, got = rate // 100, 0, 0
    data = [query("alpha.vm", ident=i) for i in range(batch)]
    with socket.socket(type=socket.SOCK_DGRAM) as s:
        s.connect(("127.0.0.1", d.port))
        begun = time.monotonic()
        while sent < seconds * rate:
            for q in data:
                s.send(q)
            sent += batch
            due = begun + sent / rate
            while got < sent:
                left = max(0, due - time.monotonic()) if got >= sent - batch else names.PATIENCE
                if not select.select([s], [], [], left)[0]:
                    break
                s.recv(2048)
                got += 1
            wait = due - time.monotonic()
            if wait > 0:
                select.select([], [], [], wait)
        while got < sent and select.select([s], [], [], 2)[0]:
            s.recv(2048)
            got += 1
    return sent - got


def taken_port():
    """a taken port is told, tried again, and served when it is free: UDP, then TCP"""
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        port = names.free_port()
        with socket.socket(type=kind) as thief:
            thief.bind(("127.0.0.1", port))
            if kind == socket.SOCK_STREAM:
                thief.listen()
            d = Namesd(port=port)
        try:
            assert d.first.startswith("down cannot bind") and "in use" in d.first, d.first
            assert d.tell("+ alpha 127.104.1.2") == ["ok"]
            assert d.line() == "up"
            alive(d)
        finally:
            d.close()


def records():
    """names are published and withdrawn twice over, replaced, and refused with the field"""
    d = Namesd()
    try:
        assert d.tell("+ a 127.1.1.1", "+ a 127.1.1.1", "+ a 127.1.1.2", "+ b 127.1.1.1",
                      "+ c 127.1.1.2", "- a", "- a", "- never", "+ c 127.1.1.2") == [
                          "ok", "ok", "ok", "ok", "refused exists address", "ok", "ok", "ok", "ok"]
        for line, field in (("+ A 127.1.1.9", "name"), ("+ x 127.1.1", "address"),
                            ("+ localhost 127.1.1.9", "name"), ("+ x 127.1.1.9 10.0.0.0/7", "subnet"),
                            ("+ x 127.1.1.9 10.0.0.0", "subnet")):
            said = d.tell(line)
            assert said in ([f"refused invalid_value {field}"], [f"refused internal {field}"]), said
        for i in range(3):
            assert d.tell(f"+ n{i} 10.{i}.0.1 10.{i}.0.0/16") == ["ok"]
        assert d.tell("+ n9 10.9.0.1 10.9.0.0/16") == ["refused too_large subnet"]
        assert d.counts()["records"] == 5, d.counts()
    finally:
        d.close()


def ten_thousand():
    """10,000 names: each is answered, and the reverse of each; one over the ceiling is refused"""
    here = {f"name-{i}": f"127.{64 + (i >> 16)}.{i >> 8 & 255}.{i & 255}" for i in range(10000)}
    d = Namesd()
    try:
        d.publish(here)
        for name, address in random.Random(3).sample(sorted(here.items()), 500):
            reverse = ".".join(reversed(address.split("."))) + ".in-addr.arpa"
            said = Answer(over_udp(d.port, query(f"{name}.vm"))).sections[0]
            assert said[0][4] == socket.inet_aton(address), said
            said = Answer(over_udp(d.port, query(reverse, "PTR"))).sections[0]
            assert said[0][4] == f"{name}.vm.", said
        more = [f"+ more-{i} 127.90.{i >> 8}.{i & 255}" for i in range(16384 - 10000 + 1)]
        said = d.tell(*more)
        assert set(said[:-1]) == {"ok"} and said[-1].startswith("refused busy"), said[-1]
    finally:
        d.close()


names.main([mutations, too_long, idle_crowd, half_messages, pipelining, reader_that_does_not,
            mutated_streams, churn, taken_port, records, ten_thousand])
