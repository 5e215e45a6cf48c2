#!/usr/bin/env python3
"""What the two workers of a pull can and cannot do while they work (row C8)."""
import os
import re
import sys
import threading
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
# pylint: disable=wrong-import-position
import station  # noqa: E402
from rogue import Rogue  # noqa: E402
from station import live  # noqa: E402


def field(pid, word):
    return re.search(rf"^{word}:\s*(\S+)", Path(f"/proc/{pid}/status").read_text(), re.M)[1]


def links(pid):
    return {os.readlink(p) for p in Path(f"/proc/{pid}/fd").iterdir()}


def workers(house):
    """(downloader, builder), told by what they have open."""
    found = {}
    daemon = house.daemon()
    for task in Path(f"/proc/{daemon}/task").iterdir():
        for pid in (task / "children").read_text().split():
            builds = any(link.endswith("root.ext4") for link in links(pid))
            found["builder" if builds else "downloader"] = int(pid)
    return found["downloader"], found["builder"]


def walls(house):
    """no privileges, filtered calls; the builder has no network, the downloader no image"""
    rogue, gate, held = Rogue(), threading.Event(), threading.Event()
    image = station.big(1)
    layer = image.layers[0]["digest"]

    def plan(h, _count):
        if layer in h.path:
            held.set()
            gate.wait(live.PATIENCE)
        return False
    rogue.plan = plan
    try:
        ref = rogue.put(image)
        child = house.popen("image", "pull", "--insecure", "--size", "64M", "--name", "i", ref)
        assert held.wait(live.PATIENCE)
        downloader, builder = workers(house)
        for pid in (downloader, builder):
            assert field(pid, "NoNewPrivs") == "1" and field(pid, "Seccomp") == "2", pid
            assert int(field(pid, "CapEff"), 16) == int(field(pid, "CapPrm"), 16) == 0, pid
            assert field(pid, "Uid") != "0", pid
            assert live.memory(pid, "VmHWM") < 64 << 20, (pid, live.memory(pid, "VmHWM"))
        here = os.readlink("/proc/self/ns/net")
        assert os.readlink(f"/proc/{downloader}/ns/net") == here
        if os.readlink(f"/proc/{builder}/ns/user") != os.readlink("/proc/self/ns/user"):
            assert os.readlink(f"/proc/{builder}/ns/net") != here
        beneath = str(house.state)
        mine = {x[len(beneath):] for x in links(downloader) if x.startswith(beneath)}
        assert all(x.startswith("/layers") or x == "/log/worker.log" for x in mine), mine
        assert not any("socket" in x for x in links(builder) - {os.readlink(
            f"/proc/{builder}/fd/0")}), links(builder)
        gate.set()
        out, err = child.communicate(timeout=live.PATIENCE)
        assert child.returncode == 0, (out, err)
    finally:
        gate.set()
        rogue.close()


if __name__ == "__main__":
    live.main([walls], images=None)
