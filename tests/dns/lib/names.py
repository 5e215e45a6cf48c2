"""What the tests of the responder share: queries and answers as bytes, and both servers."""
import contextlib
import os
import pwd
import select
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent.parent
SAN = TOP / "build/san/tests/tools/namesd"
PATIENCE = 30
TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28,
         "SRV": 33, "OPT": 41, "DS": 43, "HTTPS": 65, "IXFR": 251, "AXFR": 252, "ANY": 255,
         "odd": 65280}
NOERROR, FORMERR, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 3, 4, 5, 16


# ---- bytes ----

def name_of(text):
    return b"".join(bytes([len(w)]) + w for w in text.encode().split(b".") if w) + b"\0"


def query(name, qtype="A", qclass=1, ident=0x1234, flags=0x0100, edns=None, version=0, do=False,
          options=b""):
    """A query; `edns` is the room that its OPT tells."""
    data = struct.pack(">HHHHHH", ident, flags, 1, 0, 0, edns is not None)
    data += name_of(name) + struct.pack(">HH", TYPES[qtype], qclass)
    if edns is not None:
        data += b"\0" + struct.pack(">HHBBHH", 41, edns, 0, version, 0x8000 * do, len(options))
        data += options
    return data


def read_name(data, at):
    """Dotted text in the case that it has, and where the name ends."""
    words, end, floor = [], None, at
    while data[at]:
        if data[at] >= 0xc0:
            end = end or at + 2
            at = (data[at] & 0x3f) << 8 | data[at + 1]
            assert at < floor, "a pointer that does not lead backwards"
            floor = at
            continue
        assert data[at] < 64, "a label of no length"
        words.append(data[at + 1:at + 1 + data[at]].decode("latin-1"))
        at += 1 + data[at]
    return ".".join(words) + ".", end or at + 1


class Answer:
    """What a server said, in a form that two servers can be compared by."""

    def __init__(self, data):
        self.ident, self.flags, questions, *counts = struct.unpack(">HHHHHH", data[:12])
        self.rcode, self.opt, at = self.flags & 15, None, 12
        self.question = None
        for _ in range(questions):
            name, at = read_name(data, at)
            self.question = (name, *struct.unpack(">HH", data[at:at + 4]))
            at += 4
        self.sections = []
        for count in counts:
            records = []
            for _ in range(count):
                record, at = self.record(data, at)
                if record:
                    records.append(record)
            self.sections.append(sorted(records))
        assert at == len(data), "bytes behind the last record"

    def record(self, data, at):
        name, at = read_name(data, at)
        rtype, rclass, ttl, length = struct.unpack(">HHIH", data[at:at + 10])
        at += 10
        body, end = data[at:at + length], at + length
        assert end <= len(data), "a record that is cut"
        if rtype == TYPES["OPT"]:
            assert self.opt is None and name == ".", "a wrong OPT"
            self.opt = {"room": rclass, "version": ttl >> 16 & 255, "do": bool(ttl & 0x8000)}
            self.rcode |= ttl >> 24 << 4
            return None, end
        if rtype in (TYPES["NS"], TYPES["PTR"], TYPES["CNAME"]):
            body = read_name(data, at)[0].lower()
        elif rtype == TYPES["SOA"]:
            server, at = read_name(data, at)
            contact, at = read_name(data, at)
            body = (server.lower(), contact.lower(), *struct.unpack(">5I", data[at:end]))
        return (name, rtype, rclass, ttl, body), end

    def as_dict(self):
        return {"rcode": self.rcode, "flags": hex(self.flags), "question": self.question,
                "answer": self.sections[0], "authority": self.sections[1],
                "edns": self.opt and {"version": self.opt["version"], "do": self.opt["do"]}}


# ---- sockets ----

def free_port():
    """A port of 127.0.0.1 that neither UDP nor TCP uses now."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            with contextlib.suppress(OSError):
                udp.bind(tcp.getsockname())
                return tcp.getsockname()[1]


def over_udp(port, data, seconds=PATIENCE):
    """The answer's bytes, or None when none came."""
    with socket.socket(type=socket.SOCK_DGRAM) as s:
        s.connect(("127.0.0.1", port))
        s.send(data)
        if not select.select([s], [], [], seconds)[0]:
            return None
        return s.recv(65536)


def connected(port):
    s = socket.create_connection(("127.0.0.1", port), PATIENCE)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def exactly(s, n):
    data = b""
    while len(data) < n:
        piece = s.recv(n - len(data))
        if not piece:
            raise EOFError(f"the connection ended after {len(data)} of {n} bytes")
        data += piece
    return data


def framed(data):
    return struct.pack(">H", len(data)) + data


def next_answer(s):
    return exactly(s, *struct.unpack(">H", exactly(s, 2)))


def over_tcp(port, data):
    with connected(port) as s:
        s.sendall(framed(data))
        return next_answer(s)


# ---- servers ----

class Skip(Exception):
    """Why a test cannot run here."""


class Namesd:
    """The daemon's dns actor by itself (tests/tools/namesd.c)."""

    def __init__(self, program=SAN, port=None):
        self.dir = tempfile.mkdtemp(prefix="bn", dir="/tmp")
        self.port = port or free_port()
        # what the sanitizer keeps of freed memory is no leak of ours
        env = {**os.environ, "ASAN_OPTIONS": "quarantine_size_mb=1"}
        self.child = subprocess.Popen([program, self.dir, f"127.0.0.1:{self.port}"], env=env,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self.child.pid
        self.first = self.line()

    def line(self):
        line = self.child.stdout.readline().decode()
        assert line, "namesd has ended"
        return line.rstrip("\n")

    def tell(self, *lines):
        """All lines at once; their answers."""
        said = []
        for i in range(0, len(lines), 256):
            some = lines[i:i + 256]
            self.child.stdin.write("".join(f"{line}\n" for line in some).encode())
            self.child.stdin.flush()
            said += [self.line() for _ in some]
        return said

    def publish(self, names, subnet=None):
        words = [f"+ {name} {address}" + (f" {subnet}" if subnet else "")
                 for name, address in names.items()]
        assert set(self.tell(*words)) <= {"ok"}

    def counts(self):
        return dict(zip(("records", "queries", "dropped", "streams"),
                        map(int, self.tell("?")[0].split())))

    def close(self):
        """Its end must be a clean one: the sanitizers tell by the exit code what they saw."""
        self.child.stdin.close()
        code = self.child.wait(PATIENCE)
        self.child.stdout.close()
        shutil.rmtree(self.dir, ignore_errors=True)
        assert code == 0, f"namesd ended with {code}"


SOA = "@ 1 IN SOA localhost. nobody.invalid. {serial} 3600 600 86400 1\n@ 1 IN NS localhost.\n"


class Nsd:
    """NSD with zones that hold the same names; only loopback, one server process."""

    def __init__(self, names, serial, subnet_zones=()):
        path = shutil.which("nsd", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if not path:
            raise Skip("nsd is not installed")
        self.dir = Path(tempfile.mkdtemp(prefix="bn", dir="/tmp"))
        self.port = free_port()
        zones = {"vm": [f"{name} 1 IN A {address}\n" for name, address in names.items()]}
        for zone in ("127.in-addr.arpa", *subnet_zones):
            zones[zone] = []
        for name, address in names.items():
            reverse = ".".join(reversed(address.split("."))) + ".in-addr.arpa"
            zone = next(z for z in zones if reverse.endswith("." + z))
            zones[zone].append(f"{reverse}. 1 IN PTR {name}.vm.\n")
        for zone, records in zones.items():
            text = f"$ORIGIN {zone}.\n" + SOA.format(serial=serial) + "".join(records)
            (self.dir / zone).write_text(text, encoding="ascii")
        (self.dir / "conf").write_text(self.config(zones), encoding="ascii")
        self.log = open(self.dir / "out", "wb")
        self.child = subprocess.Popen([path, "-d", "-c", str(self.dir / "conf")],
                                      stdout=self.log, stderr=self.log)
        try:
            self.await_service()
        except BaseException:
            self.close()
            raise

    def await_service(self):
        """One socket asks all the time: a new one each time would meet its own port by chance."""
        until = time.monotonic() + PATIENCE
        with socket.socket(type=socket.SOCK_DGRAM) as s:
            s.bind(("127.0.0.1", 0))
            if s.getsockname()[1] == self.port:
                raise Skip("the port that was free is taken")
            while not self.serves(s):
                if self.child.poll() is not None or time.monotonic() > until:
                    text = (self.dir / "out").read_text(errors="replace")
                    raise Skip(f"nsd does not serve: {text[-300:]}")

    def serves(self, s):
        try:
            s.connect(("127.0.0.1", self.port))
            s.send(query("vm", "SOA"))
            return bool(select.select([s], [], [], 0.05)[0]) and s.recv(65536)[2] & 0x80
        except ConnectionRefusedError:
            return False

    def config(self, zones):
        user = pwd.getpwuid(os.geteuid()).pw_name
        lines = ["server:", f"ip-address: 127.0.0.1@{self.port}", "do-ip6: no", "server-count: 1",
                 f"username: {user}", f'zonesdir: "{self.dir}"', 'database: ""',
                 f'zonelistfile: "{self.dir}/zone.list"', f'xfrdfile: "{self.dir}/xfrd.state"',
                 f'xfrdir: "{self.dir}"', 'pidfile: ""', "minimal-responses: yes",
                 "refuse-any: no", "rrl-ratelimit: 0", "remote-control:", "control-enable: no"]
        for zone in zones:
            lines += ["zone:", f'name: "{zone}"', f'zonefile: "{zone}"']
        return "\n".join(lines) + "\n"

    def pids(self):
        """All its processes: the one that was started and its children."""
        found = [self.child.pid]
        for pid in found:
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                found += map(int, task.read_text(encoding="ascii").split())
        return found

    def close(self):
        self.child.terminate()
        try:
            self.child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)


# ---- TAP ----

def main(tests):
    """Runs the tests (those whose name holds an argument, when there are any)."""
    chosen = [t for t in tests if len(sys.argv) < 2 or any(a in t.__name__ for a in sys.argv[1:])]
    failed = False
    print(f"1..{len(chosen)}", flush=True)
    for number, test in enumerate(chosen, 1):
        name = test.__doc__.splitlines()[0].strip(" .")
        begun = time.monotonic()
        try:
            test()
            print(f"ok {number} - {name}\n# {time.monotonic() - begun:.1f} s", flush=True)
        except Skip as why:
            print(f"ok {number} - {name} # SKIP {why}", flush=True)
        except Exception as error:  # pylint: disable=broad-except
            failed = True
            print(f"not ok {number} - {name}")
            text = f"{type(error).__name__}: {error}"
            print("".join(f"# {line}\n" for line in text.splitlines()[:60]), end="", flush=True)
    sys.exit(1 if failed else 0)
