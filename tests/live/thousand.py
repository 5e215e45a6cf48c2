#!/usr/bin/env python3
"""A thousand machines cost each what ten do (rows H2, H3), with Firecracker's double.

BANGER_MACHINES is how many. What the daemon spends is read as its time on the CPU, which other
work on the host disturbs less than the clock.
"""
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import live  # noqa: E402
from firecracker import arm  # noqa: E402

MACHINES = int(os.environ.get("BANGER_MACHINES", "1000"))
SAMPLE = 100  # operations in one measurement: a few are too short to be told from noise
AT_ONCE = 8
IN_FLIGHT = 250
BYTES_MAX = 16384  # of the daemon's memory, per machine


class Client:
    """A connection to the daemon that keeps several requests under way."""

    def __init__(self, house):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(house.runtime / "bangerd.sock"))
        self.socket.settimeout(live.PATIENCE)
        self.reader = live.msgpack.Unpacker(raw=False, max_buffer_size=2**26)
        self.serial = 0

    def send(self, method, **params):
        self.serial += 1
        self.socket.sendall(live.msgpack.packb([0, self.serial, method, [params]]))
        return self.serial

    def frame(self):
        while True:
            for frame in self.reader:
                return frame
            data = self.socket.recv(262144)
            if not data:
                raise EOFError("the daemon is gone")
            self.reader.feed(data)

    def ask(self, method, **params):
        serial = self.send(method, **params)
        while True:
            frame = self.frame()
            if frame[0] == 1 and frame[1] == serial:
                assert frame[2] is None, (method, params, frame[2])
                return frame[3]

    def create(self, names):
        """Makes and boots them all, some at a time; the operations' ends are awaited."""
        names, due = list(names), 0
        while names or due:
            while names and due < AT_ONCE:
                self.send("vm.create.begin", name=names.pop(0), image="tiny", driver="firecracker",
                          net="none", accel="kvm", vcpus=1, memory=64 * 2**20)
                due += 1
            frame = self.frame()
            if frame[0] == 1:
                assert frame[2] is None, frame[2]
            elif frame[1] == "op.done":
                assert frame[2][0]["state"] == "done", frame
                due -= 1

    def each(self, method, names):
        """One request a machine, as many at once as a connection may have; all are answered."""
        names, due = list(names), set()
        while names or due:
            while names and len(due) < IN_FLIGHT:
                due.add(self.send(method, vm=names.pop(0)))
            frame = self.frame()
            if frame[0] == 1:
                assert frame[2] is None, frame[2]
                due.discard(frame[1])

    def list(self, limit=500):
        rows, after = [], {}
        while True:
            page = self.ask("vm.list", limit=limit, **after)
            rows += page["vms"]
            if not page["more"]:
                return rows
            after = {"after": rows[-1]["id"]}


class Spent:
    """The daemon's time on the CPU, all threads, in milliseconds."""

    def __init__(self, pid):
        self.pid, self.before = pid, 0
        self.lap()

    def lap(self):
        total = sum(int((t / "schedstat").read_text().split()[0])
                    for t in Path(f"/proc/{self.pid}/task").iterdir())
        spent, self.before = (total - self.before) / 1e6, total
        return spent


def names(start, count):
    return [f"m-{i}" for i in range(start, start + count)]


def own_memory(pid):
    text = Path(f"/proc/{pid}/status").read_text()
    return sum(int(n) for n in re.findall(r"Rss(?:Anon|Shmem):\s*(\d+)", text)) * 1024


def tiny_image(house):
    tree = house.dir / "tree"
    live.busybox_tree(tree)
    subprocess.run(["tar", "-C", tree, "-cf", house.dir / "tiny.tar", "."], check=True)
    house.ok("image", "import", "tiny", str(house.dir / "tiny.tar"))


def measure(client, spent, present, figures):
    """What SAMPLE machines more cost while so many are there; they go again."""
    more = names(100000, SAMPLE)
    spent.lap()
    client.create(more)
    figures["create"].append(spent.lap() / SAMPLE)
    rounds = max(1, 20000 // (present + SAMPLE))
    client.list()  # looks at every process; the daemon keeps what it saw for a second
    spent.lap()
    for _ in range(rounds):
        rows = client.list()
    assert len(rows) == present + SAMPLE, len(rows)
    figures["list, a row"].append(spent.lap() / len(rows) / rounds)
    for _ in range(20):
        client.each("vm.show", more)
    figures["show"].append(spent.lap() / SAMPLE / 20)
    client.each("vm.delete", more)
    figures["delete"].append(spent.lap() / SAMPLE)


def thousand(house):
    """create, list, show and delete cost the same with a thousand machines as with ten"""
    arm(house)
    tiny_image(house)
    client, pid = Client(house), house.daemon()
    spent = Spent(pid)
    figures = {"create": [], "list, a row": [], "show": [], "delete": []}
    client.create(names(0, 10))
    measure(client, spent, 10, {k: [] for k in figures})  # what the first ones cost once
    measure(client, spent, 10, figures)
    memory = own_memory(pid)
    begun = time.monotonic()
    client.create(names(10, MACHINES - 10))
    print(f"# {MACHINES} machines after {time.monotonic() - begun:.0f} s")
    each = (own_memory(pid) - memory) / (MACHINES - 10)
    print(f"# memory: {own_memory(pid) / 2**20:.1f} MiB, {each:.0f} bytes a machine")
    measure(client, spent, MACHINES, figures)
    for name, (few, many) in figures.items():
        print(f"# {name}: {few:.4f} ms at 10, {many:.4f} ms at {MACHINES}: {many / few:.2f}")
    begun = time.monotonic()
    client.each("vm.delete", names(0, MACHINES))
    print(f"# all deleted in {time.monotonic() - begun:.2f} s, {spent.lap():.0f} ms of them busy")
    assert client.list() == []
    left = [x for x in house.leftovers() if not x.endswith("/vm")]
    assert not left, left
    assert each <= BYTES_MAX, each


thousand.deadline = 280

if __name__ == "__main__":
    live.main([thousand])
