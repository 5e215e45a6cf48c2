#!/usr/bin/env python3
"""Registry, connection, client or daemon ended at random moments of a pull: the next one goes on."""
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
# pylint: disable=wrong-import-position
import station  # noqa: E402
from rogue import Rogue  # noqa: E402
from station import live  # noqa: E402

ROUNDS = int(os.environ.get("REGISTRY_KILLS", "50"))
SEED = int(os.environ.get("REGISTRY_SEED", "0")) or random.randrange(1, 10**6)


def settle(house, events):
    """A daemon is there, has settled what was open, and nothing partial is to be seen."""
    house.ok("daemon", "start")
    house.json("image", "list")
    if events and any(p.name.startswith(".new-") for p in (house.state / "image").iterdir()):
        next(e for e in events if e["kind"] == "image.pull")  # its end: it was being undone
    station.nothing_partial(house)


def finish(house, ref, manifest, events=None):
    """The pull that goes on, and what it made."""
    pull = ("image", "pull", "--insecure", "--size", "128M", "--name", "i", ref)
    done = house.run(*pull)
    if events and done.code and b"being made already" in done.err:
        next(e for e in events if e["kind"] == "image.pull")  # the one before has its end now
        done = house.run(*pull)
    assert done.code == 0, (done.code, done.err)
    station.nothing_partial(house)
    disk = station.root_of(house, "i")
    station.check_disk(disk)
    whole, parts = station.kept(house)
    wanted = {d["digest"][7:] for d in [*manifest["layers"], manifest["config"]]}
    assert wanted <= whole and not parts, (wanted - whole, parts)
    house.ok("image", "delete", "i")


def begin(house, ref):
    return house.popen("image", "pull", "--insecure", "--size", "128M", "--name", "i", ref)


def end(house, child, what, dice):
    """Ends one party; answers whether the pull may still have come through."""
    if what == "daemon":
        house.kill_daemon()
    elif what == "client":
        child.send_signal(dice.choice([signal.SIGINT, signal.SIGKILL, signal.SIGTERM]))
    child.communicate(timeout=live.PATIENCE)


def debians_registry(house):
    """with Debian's registry: it, the client, or the daemon is killed"""
    dice, image = random.Random(SEED), station.big(3, layers=6)
    registry = station.Debians(house.dir / "reg")
    took = 0.5
    try:
        ref = registry.push(f"oci:{image.save(house.dir / 'l')}:latest", "a:1")
        manifest = json.loads(registry.manifest("a:1"))
        for number in range(ROUNDS // 2):
            what = dice.choice(["daemon", "client", "registry"])
            events = house.events()
            begun = time.monotonic()
            child = begin(house, ref)
            time.sleep(dice.uniform(0, took))  # a random moment is what is tried
            if what == "registry":
                registry.stop()
                registry.start()  # the pull itself goes on
            end(house, child, what, dice)
            assert what != "registry" or child.returncode == 0, (SEED, number, child.returncode)
            events = events if what != "daemon" else None
            settle(house, events)
            if [i for i in house.json("image", "list")]:
                took = (took + time.monotonic() - begun) / 2
                house.ok("image", "delete", "i")
            finish(house, ref, manifest, events)
            shutil.rmtree(house.state / "layers")
    finally:
        registry.stop()
    print(f"# seed {SEED}, a pull takes {took:.2f} s")


debians_registry.deadline = 200


class Slow:
    """Serves blobs piece by piece, counts the bytes, and breaks a connection when told to."""

    def __init__(self, rogue):
        self.sent, self.rogue, self.broken = 0, rogue, False
        rogue.plan = self.plan

    def plan(self, h, _count):
        data = self.rogue.blobs.get(h.path.rpartition("/")[2])
        if "/blobs/" not in h.path or data is None or len(data) < 4096:
            return False
        at = int(h.headers.get("Range", "bytes=0-")[6:-1])
        h.send_response(206 if at else 200)
        if at:
            h.send_header("Content-Range", f"bytes {at}-{len(data) - 1}/{len(data)}")
        h.send_header("Content-Length", str(len(data) - at))
        h.end_headers()
        for piece in range(at, len(data), 65536):
            if self.broken:
                h.cut()
                return True
            h.wfile.write(data[piece:piece + 65536])
            with self.rogue.lock:
                self.sent += len(data[piece:piece + 65536])
            time.sleep(0.002)
        return True


def resumes(house):
    """what came before the kill is not fetched again"""
    dice, image, rogue = random.Random(SEED + 1), station.big(2, layers=5), Rogue()
    slow = Slow(rogue)
    size = sum(d["size"] for d in image.layers)
    flight = 2 << 20  # sent, and lost in sockets and buffers when a side goes
    worst = 0
    try:
        ref = rogue.put(image)
        for number in range(ROUNDS - ROUNDS // 2):
            what = dice.choice(["daemon", "client", "connections"])
            slow.sent = 0
            events = house.events()
            child = begin(house, ref)
            time.sleep(dice.uniform(0, 0.35))
            slow.broken = what == "connections"
            if slow.broken:
                child.send_signal(signal.SIGINT)
            end(house, child, what, dice)
            slow.broken = False
            events = events if what != "daemon" else None
            settle(house, events)
            for done in house.json("image", "list"):
                house.ok("image", "delete", done["name"])
            finish(house, ref, image.manifest, events)
            worst = max(worst, slow.sent - size)
            assert slow.sent <= size + flight, (SEED, number, what, slow.sent, size)
            shutil.rmtree(house.state / "layers")
    finally:
        rogue.close()
    print(f"# seed {SEED}: at most {worst} bytes of {size} were sent twice")


resumes.deadline = 200

if __name__ == "__main__":
    live.main([debians_registry, resumes], images=None)
