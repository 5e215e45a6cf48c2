#!/usr/bin/env python3
"""A client in another language against the wire (rows A5 and A6 of the requirements).

    conformance.py SOCKET [PID]   the daemon that listens there; with PID its memory is watched too
    conformance.py                a stand-in that is started here, plain and with sanitizers

With BANGER_RUNTIME_DIR set, SOCKET is its bangerd.sock. Reports in TAP.
"""
import os
import random
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent

try:
    import msgpack
except ImportError:
    print("1..0 # SKIP python3-msgpack is not installed")
    sys.exit(0)

MIB = 1024 * 1024
PATIENCE = 20  # seconds that an answer may take, sanitizers and a busy machine allowed for

MALFORMED = {
    "text": b"GET / HTTP/1.0\r\n\r\n",
    "0xc1": b"\xc1",
    "an ext type": b"\x94\x00\x01\xa4ping\x91\xd4\x00\x00",
    "a timestamp": b"\x94\x00\x01\xa4ping\x91\x81\xa1t\xd6\xff\x00\x00\x00\x00",
    "a number": b"\x05",
    "nil": b"\xc0",
    "a map": b"\x80",
    "an empty array": b"\x90",
    "a 2-array": b"\x92\x00\x01",
    "a 5-array": b"\x95\x00\x01\xa4ping\x90\xc0",
    "type 3": b"\x94\x03\x01\xa4ping\x90",
    "type -1": b"\x94\xff\x01\xa4ping\x90",
    "type as a float": b"\x94\xca\0\0\0\0\x01\xa4ping\x90",
    "a request of three": b"\x93\x00\x01\xa4ping",
    "a notification of four": b"\x94\x02\xa4ping\x90\xc0",
    "msgid -1": b"\x94\x00\xff\xa4ping\x90",
    "msgid 2^32": b"\x94\x00\xcf\0\0\0\x01\0\0\0\0\xa4ping\x90",
    "msgid nil": b"\x94\x00\xc0\xa4ping\x90",
    "msgid as text": b"\x94\x00\xa11\xa4ping\x90",
    "method nil": b"\x94\x00\x01\xc0\x90",
    "method as bin": b"\x94\x00\x01\xc4\x04ping\x90",
    "method of 65 bytes": b"\x94\x00\x01\xd9\x41" + b"a" * 65 + b"\x90",
    "params nil": b"\x94\x00\x01\xa4ping\xc0",
    "params a map": b"\x94\x00\x01\xa4ping\x80",
    "params [nil]": b"\x94\x00\x01\xa4ping\x91\xc0",
    "params [1]": b"\x94\x00\x01\xa4ping\x91\x01",
    "params [{}, {}]": b"\x94\x00\x01\xa4ping\x92\x80\x80",
    "an answer nobody asked for": b"\x94\x01\x07\xc0\x80",
    "17 deep": b"\x91" * 17 + b"\xc0",
    "17 deep and empty": b"\x91" * 16 + b"\x90",
    "two million deep": b"\x91" * 2000000,
    "two million maps deep": b"\x81\xa1k" * 2000000,
    "two million deep in params": b"\x94\x00\x01\xa4ping" + b"\x91" * 2000000,
    "array32 of 2^32-1": b"\xdd\xff\xff\xff\xff",
    "array32 of 2^29": b"\xdd\x20\x00\x00\x00",
    "map32 of 2^28": b"\xdf\x10\x00\x00\x00",
    "str32 of 2^32-1": b"\xdb\xff\xff\xff\xff",
    "bin32 of 2^31-1": b"\xc6\x7f\xff\xff\xff",
    "params of 2^32-1": b"\x94\x00\x01\xa4ping\xdd\xff\xff\xff\xff",
    "a map of 2^32-1": b"\x94\x00\x01\xa4ping\x91\xdf\xff\xff\xff\xff",
    "bin one over the frame": b"\x94\x00\x01\xa4ping\x91\x81\xa1k\xc6\x00\x10\x00\x00",
}


def request(msgid, method, params=None):
    return msgpack.packb([0, msgid, method, [params or {}]])


def raw_list(params):
    """A vm.list request whose params map is given as bytes."""
    return b"\x94\x00\x09\xa7vm.list\x91" + params


# bytes of the params map, the code, and the field that it must blame (None: any)
TYPED = {
    "unknown field": (b"\x81\xa5limiz\x01", "unknown_field", "limiz"),
    "an empty key": (b"\x81\xa0\x01", "unknown_field", None),
    "a key with NUL": (b"\x81\xa6limit\x00\x01", "unknown_field", None),
    "a long key with NUL": (b"\x81\xda\x40\x00limit" + b"\x00" * 16379 + b"\x01",
                            "unknown_field", None),
    "a key that is a number": (b"\x81\x05\x01", "invalid_type", None),
    "a key twice": (b"\x82\xa5limit\x01\xa5limit\x01", "invalid_value", "limit"),
    "text for a number": (b"\x81\xa5limit\xa11", "invalid_type", "limit"),
    "nil for a number": (b"\x81\xa5limit\xc0", "invalid_type", "limit"),
    "NaN": (b"\x81\xa5limit\xcb\x7f\xf8\0\0\0\0\0\0", "invalid_type", "limit"),
    "a float": (b"\x81\xa5limit\xca\x3f\x80\0\0", "invalid_type", "limit"),
    "zero": (b"\x81\xa5limit\x00", "invalid_value", "limit"),
    "minus one": (b"\x81\xa5limit\xff", "invalid_value", "limit"),
    "one over": (b"\x81\xa5limit\xcd\x03\xe9", "invalid_value", "limit"),
    "2^64-1": (b"\x81\xa5limit\xcf" + b"\xff" * 8, "invalid_value", "limit"),
    "a number for text": (b"\x81\xa5after\x05", "invalid_type", "after"),
    "bin for text": (b"\x81\xa5after\xc4\x02ab", "invalid_type", "after"),
    "NUL in text": (b"\x81\xa5after\xa3a\x00b", "invalid_value", "after"),
    "no UTF-8": (b"\x81\xa5after\xa3a\xffb", "invalid_value", "after"),
    "a surrogate": (b"\x81\xa5after\xa3\xed\xa0\x80", "invalid_value", "after"),
    "too long": (b"\x81\xa5after\xabaaaaaaaaaaa", "too_large", "after"),
    "too short": (b"\x81\xa5after\xa1a", "invalid_value", "after"),
    "a wrong shape": (b"\x81\xa5after\xa3A-B", "invalid_value", "after"),
    "a map for text": (b"\x81\xa5after\x80", "invalid_type", "after"),
}


class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(path)
        self.reader = msgpack.Unpacker(raw=False, strict_map_key=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def frame(self):
        """The next frame; None at the end of the connection."""
        while True:
            for frame in self.reader:
                return frame
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self.reader.feed(data)

    def ask(self, method, params=None, msgid=1):
        self.send(request(msgid, method, params))
        frame = self.frame()
        assert frame is not None, f"{method} closed the connection"
        assert frame[:2] == [1, msgid], f"{frame} is no answer of {msgid}"
        return frame[2], frame[3]

    def closes(self):
        try:
            while self.frame() is not None:
                pass
            return True
        except (socket.timeout, ValueError):
            return False


class Suite:
    def __init__(self, path, pid=None, label=""):
        self.path, self.pid, self.label = path, pid, label
        self.failed = False

    def client(self):
        return Client(self.path)

    def alive(self):
        with self.client() as c:
            error, result = c.ask("ping")
            assert error is None and result["version"]["version"], (error, result)

    def memory(self, word):
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"{word}:\s*(\d+) kB", text)[1]) * 1024

    def run(self, tests, numbers):
        for name, test in tests:
            note = ""
            try:
                note = test(self) or ""
                word = "ok"
            except (AssertionError, OSError, ValueError, KeyError, TypeError) as e:
                word, self.failed = "not ok", True
                note = "".join(f"\n# {x}" for x in f"{type(e).__name__}: {e}".splitlines())
            print(f"{word} {next(numbers)} - {self.label}{name}{note}", flush=True)


def forms_of_a_request(s):
    """Widths of integers, empty params, largest msgid: all mean the same."""
    for data, msgid in ((b"\x94\x00\x05\xa4ping\x90", 5), (b"\x94\x00\x00\xa4ping\x91\x80", 0),
                        (b"\xdc\x00\x04\xcc\x00\xcd\x00\x05\xd9\x04ping\xdd\0\0\0\0", 5),
                        (b"\xdd\0\0\0\x04\xd3" + b"\0" * 8 + b"\xd2\0\0\0\x05\xda\0\x04ping"
                         b"\xdc\0\x01\xdf\0\0\0\0", 5),
                        (b"\x94\x00\xce\xff\xff\xff\xff\xdb\0\0\0\x04ping\x90", 2**32 - 1),
                        (b"\x94\x00\xcf\0\0\0\0\xff\xff\xff\xff\xa4ping\x91\xde\0\0", 2**32 - 1)):
        with s.client() as c:
            c.send(data)
            frame = c.frame()
            assert frame and frame[:3] == [1, msgid, None], (data, frame)
            assert set(frame[3]["version"]) == {"version", "commit", "built"}, frame


def typed_errors_keep_the_connection(s):
    with s.client() as c:
        for name, (params, code, field) in TYPED.items():
            c.send(raw_list(params))
            frame = c.frame()
            assert frame and frame[:2] == [1, 9] and frame[3] is None, (name, frame)
            error = frame[2]
            assert error["code"] == code, (name, error)
            assert field is None or error["field"] == field, (name, error)
            assert error["message"], name
            assert set(error) <= {"code", "message", "field", "hint"}, (name, error)
        for method in ("", "Ping", "pin", "ping\0", "ping\0" + "x" * 59, "no.such", "ä" * 32):
            error, _ = c.ask(method)
            assert error["code"] == "unknown_method", (method, error)
        assert c.ask("ping")[0] is None


def malformed_closes(s):
    for name, data in MALFORMED.items():
        with s.client() as c:
            try:
                c.send(data)
            except (BrokenPipeError, ConnectionResetError):
                continue
            assert c.closes(), f"{name}: the connection is still open"
    s.alive()


def malformed_closes_in_single_bytes(s):
    for name, data in MALFORMED.items():
        if len(data) > 200:
            continue
        with s.client() as c:
            try:
                for byte in data:
                    c.send(bytes([byte]))
            except (BrokenPipeError, ConnectionResetError):
                continue
            assert c.closes(), f"{name}: the connection is still open"
    s.alive()


def cut_at_every_byte(s):
    whole = request(7, "vm.list", {"limit": 10, "after": "ab"})
    for n in range(len(whole)):
        with s.client() as c:
            c.send(whole[:n])
            c.socket.shutdown(socket.SHUT_WR)
            assert c.closes(), f"cut at {n}: not closed"
    s.alive()


def single_bytes(s):
    with s.client() as c:
        for msgid in (1, 2):
            for byte in request(msgid, "vm.list", {"limit": 10}):
                c.send(bytes([byte]))
            frame = c.frame()
            assert frame and frame[:3] == [1, msgid, None], frame


def the_largest_frame(s):
    def frame(size):
        head = b"\x94\x00\x05\xa4ping\x91\x81\xa1k\xc6"
        n = size - len(head) - 4
        return head + struct.pack(">I", n) + b"x" * n
    with s.client() as c:
        c.send(frame(MIB))
        answer = c.frame()
        assert answer and answer[2]["code"] == "unknown_field", answer
        assert c.ask("ping")[0] is None
        try:
            c.send(frame(MIB + 1))
        except (BrokenPipeError, ConnectionResetError):
            return
        assert c.closes(), "one byte over the frame is still open"


def many_at_once(s):
    """Pipelined requests are all answered, each once, in any order; none is lost to `busy`."""
    with s.client() as c:
        waiting = set(range(1000, 1200))
        c.send(b"".join(request(i, "ping" if i % 2 else "vm.list") for i in sorted(waiting)))
        while waiting:
            frame = c.frame()
            assert frame and frame[1] in waiting, frame
            waiting.remove(frame[1])
            assert frame[2] is None or frame[2]["code"] == "busy", frame


def mutated_frames(s):
    rng = random.Random(7)
    seeds = [request(3, "ping"), request(4, "vm.list", {"limit": 10, "after": "ab"}),
             request(5, "vm.list", {"after": "ab"}) + request(6, "ping")]
    for i in range(10000):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data))
            kind = rng.randrange(4)
            if kind == 0:
                data[at] = rng.randrange(256)
            elif kind == 1:
                data[at] ^= 1 << rng.randrange(8)
            elif kind == 2:
                data[at:at] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 4)))
            elif len(data) > 1:
                del data[at:at + rng.randint(1, 4)]
            data = data or bytearray(b"\x90")
        with s.client() as c:
            try:
                c.send(bytes(data))
                c.socket.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError, OSError):
                continue
            assert c.closes(), f"{i}: {bytes(data).hex()}: not closed"
        if i % 1000 == 0:
            s.alive()
    s.alive()


def five_hundred_idle(s):
    idle = []
    try:
        for i in range(500):
            c = s.client()
            if i % 2:
                c.send(b"\x94")
            idle.append(c)
        begun = time.time()
        for _ in range(20):
            s.alive()
        took = (time.time() - begun) / 20
        assert took < 1, f"{took:.2f} s for a ping"
    finally:
        for c in idle:
            c.socket.close()
    s.alive()


def a_client_that_never_reads(s):
    """It is cut or held back; the others are served meanwhile, and little is kept for it."""
    before = s.memory("VmRSS") if s.pid else 0
    batch = b"".join(request(i, "ping") for i in range(100))
    with s.client() as c:
        c.socket.settimeout(1)
        sent = 0
        try:
            while sent < 256 * MIB:
                sent += c.socket.send(batch)
        except (BrokenPipeError, ConnectionResetError, socket.timeout):
            pass
        assert sent < 256 * MIB, "it was neither cut nor held back"
        s.alive()
        if s.pid:
            grown = s.memory("VmRSS") - before
            assert grown < 8 * MIB, f"{grown // 1024} KiB more"


def memory_stays(s):
    """Declared lengths cost nothing, and what clients leave behind is given back."""
    if not s.pid:
        return " # SKIP no process id was given"
    for _ in range(3):
        s.alive()
    rss, peak = s.memory("VmRSS"), s.memory("VmPeak")
    for data in MALFORMED.values():
        if len(data) < 200:
            with s.client() as c:
                c.send(data)
                c.closes()
    grown = s.memory("VmPeak") - peak
    assert grown < 4 * MIB, f"VmPeak grew by {grown // 1024} KiB"
    for _ in range(2000):
        s.alive()
    grown = s.memory("VmRSS") - rss
    assert grown < 2 * MIB, f"VmRSS grew by {grown // 1024} KiB"
    return ""


def the_documented_client(s):
    """The example of docs/protocol.md, up to where it needs a machine."""
    text = (TOP / "docs/protocol.md").read_text()
    code = re.search(r"```python\n(.*?)\n# Run a program", text, re.S)[1]
    runtime = tempfile.mkdtemp()
    os.symlink(s.path, f"{runtime}/bangerd.sock")
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                              env={**os.environ, "BANGER_RUNTIME_DIR": runtime},
                              timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
        assert "version" in done.stdout, done.stdout
    finally:
        os.unlink(f"{runtime}/bangerd.sock")
        os.rmdir(runtime)


TESTS = [(f.__name__.replace("_", " "), f) for f in (
    forms_of_a_request, typed_errors_keep_the_connection, malformed_closes,
    malformed_closes_in_single_bytes, cut_at_every_byte, single_bytes, the_largest_frame,
    many_at_once, memory_stays, mutated_frames, five_hundred_idle, a_client_that_never_reads,
    the_documented_client)]


def with_standin(program, label, numbers, watch):
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/socket"
        child = subprocess.Popen([str(program), path], stdout=subprocess.PIPE, text=True)
        assert child.stdout.readline() == "ready\n", f"{program} does not start"
        suite = Suite(path, child.pid if watch else None, label)
        # sanitizers keep freed memory: what they make of it says nothing
        suite.run([t for t in TESTS if watch or t[1] is not memory_stays], numbers)
        child.terminate()
        if child.wait(timeout=PATIENCE) != 0:
            print(f"not ok {next(numbers)} - {label}ended with status {child.returncode}")
            suite.failed = True
    return suite.failed


def main(arguments):
    numbers = iter(range(1, 1000))
    runtime = os.environ.get("BANGER_RUNTIME_DIR")
    if arguments or runtime:
        path = arguments[0] if arguments else f"{runtime}/bangerd.sock"
        pid = int(arguments[1]) if len(arguments) > 1 else None
        suite = Suite(path, pid)
        suite.run(TESTS, numbers)
        failed = suite.failed
    else:
        failed = with_standin(TOP / "build/tests/tools/standin", "", numbers, True)
        failed |= with_standin(TOP / "build/san/tests/tools/standin", "sanitized: ", numbers, False)
    print(f"1..{next(numbers) - 1}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
