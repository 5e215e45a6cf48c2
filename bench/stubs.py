"""What banger alone costs with up to 1,000 machines: stub machines, and a restart among them."""
import json
import socket
import subprocess
import tarfile
import time

from host import BIN, Daemon, Unavailable, call, memory
from machines import log_time
from table import Figure

CURVE = (1, 10, 100, 1000)  # machines that are there at once
KNOWN = 1000
RESTARTS = 5
PING = b"\x94\x00\x01\xa4ping\x91\x80"
READY_SECONDS = 60


def pinged(path, deadline=READY_SECONDS):
    """When a ping was answered, in monotonic ns; dialed until somebody answers."""
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(deadline)
            try:
                s.connect(str(path))
                s.sendall(PING)
                if s.recv(4096):
                    return time.monotonic_ns()
            except OSError:
                time.sleep(0.0005)  # nobody listens yet
    raise Unavailable("the daemon did not answer a ping")


class Stubs:
    """A daemon with an image of one file: a stub machine needs one, and never reads it."""

    def __init__(self, host):
        self.daemon = Daemon(host, "stubs")
        tree = host.dir / "tree.tar"
        with tarfile.open(tree, "w") as tar:
            tar.addfile(tarfile.TarInfo("file"))
        debs = sorted((BIN.parent / "cache/k").glob("*.deb"))
        if debs:
            self.daemon.cli("kernel", "import", "debian", debs[-1])
        else:
            self.daemon.cli("kernel", "pull", "debian")
        self.daemon.cli("image", "import", "tiny", tree)

    def bench(self, count, *flags):
        line = self.daemon.command("--json", "bench", "--stub", "--image", "tiny", "--hold",
                                   "--count", count, "--concurrency", count, *flags)
        done = subprocess.run([str(w) for w in line], env=self.daemon.env, capture_output=True,
                              timeout=300, check=False)
        doc = json.loads(done.stdout)
        run = doc.get("runs", [{}])[0]
        if done.returncode or run.get("failed") or run.get("leaked"):
            raise Unavailable(f"bench of {count} stub machines: {done.stdout[-300:]!r}")
        return run

    def curve(self):
        rows = []
        self.bench(10)  # what the first ones cost once
        for n in CURVE:
            run = self.bench(n)
            name = f"{n} stub machine{'s' if n > 1 else ''} at once"
            rows += [
                Figure(f"{name}, create p50", "ms", [run["whole"]["p50_ms"]]),
                Figure(f"{name}, create p99", "ms", [run["whole"]["p99_ms"]]),
                Figure(f"{name}, rate", "1/s", [run["throughput_per_s"]]),
            ]
        rows[-1].note = ("all begun at once and kept until all are there; the host's process "
                         "starts are most of it")
        own = run["memory"]["daemon_after"] - run["memory"]["daemon_before"]
        rows.append(Figure("memory per running machine", "KiB", [own / 1024 / n],
                           note=f"the daemon's own, {n} stub machines there"))
        return rows

    # ---- restart ----

    def fill(self):
        names = [f"known-{i}" for i in range(KNOWN)]
        for name in names:
            call(self.daemon.command("vm", "create", "-d", "--driver", "stub", "--image", "tiny",
                                     "--name", name), env=self.daemon.env)
        self.daemon.cli("vm", "wait", *names)

    def restart_once(self):
        """ms from the daemon's exec to its first answer, and to the last machine taken back and the
        last agent's hello; and the longest that a ping took until then."""
        d = self.daemon
        d.cli("daemon", "stop")
        log = d.dir / "s/log/bangerd.log"
        skip = log.stat().st_size
        began = time.monotonic_ns()
        starter = subprocess.Popen([str(w) for w in d.command("daemon", "start")], env=d.env,
                                   stdout=subprocess.DEVNULL)
        first = pinged(d.socket)
        slowest, hellos, lines = 0, 0, []
        until = time.monotonic() + READY_SECONDS
        while hellos < KNOWN and time.monotonic() < until:
            asked = time.monotonic_ns()
            slowest = max(slowest, pinged(d.socket) - asked)
            with open(log, encoding="utf-8") as f:
                f.seek(skip)
                lines = f.readlines()
            hellos = sum("agent answers" in line for line in lines)
        starter.wait(READY_SECONDS)
        taken = [log_time(line) for line in lines if ": taken back " in line]
        if len(taken) != KNOWN or hellos < KNOWN:
            raise Unavailable(f"{len(taken)} of {KNOWN} machines taken back, {hellos} answered")
        last = max(log_time(line) for line in lines if "agent answers" in line)
        return [(x - began) / 1e6 for x in (first, max(taken), last)] + [slowest / 1e6]

    def restart(self):
        self.fill()
        spans = list(zip(*(self.restart_once() for _ in range(RESTARTS))))
        own, _ = memory(self.daemon.pid())
        return [
            Figure(f"restart with {KNOWN} machines, all adopted", "ms", list(spans[1]), most=1000,
                   note="stub machines; from the command that starts the daemon to the last one "
                        "taken back"),
            Figure("- a ping answered", "ms", list(spans[0]), most=100,
                   note="the same beginning: the start of CLI and daemon is in it"),
            Figure("- every agent answers again", "ms", list(spans[2])),
            Figure("- slowest ping meanwhile", "ms", list(spans[3]), most=100),
            Figure("- the daemon's own memory then", "MiB", [own / 1024]),
        ]
