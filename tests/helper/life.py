#!/usr/bin/env python3
"""What the helper may do, and what it does: capabilities, filter, opens and programs (F12, H34)."""
import os
import re
import shutil
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import rig as rigs  # noqa: E402  pylint: disable=wrong-import-position

TRACE = Path("/run/trace")
# /proc/self/fd/N is a descriptor; the rest only root can change
MAY_NAME = re.compile(r"^/(proc|sys|dev|etc|usr|lib|lib64)(/|$)|^/run/rig/(jails|door)(/|$)|"
                      r"^/run/(dbus|systemd|userdb|host/userdb)(/|$)")
NAMED = re.compile(r'^\d+\s+(\w+)\((AT_FDCWD, |\d+(?:<[^>]*>)?, )?"([^"]*)"')


def a_life(rig):
    rig.ask("priv.ping")
    rig.ask("priv.ensure_bridge", bridge="br-bngr", address="10.87.48.1/20")
    rig.ask("priv.create_tap", tap="bngr-a", bridge="br-bngr")
    rig.ask("priv.ensure_nat", guest_ip="10.87.48.2", tap="bngr-a", enable=True)
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(rig.runtime / "api.sock"))
    rig.ask("priv.ensure_socket_access", socket_path=str(rig.runtime / "api.sock"))
    try:
        rig.ask("priv.sync_resolver_routing", bridge="br-bngr", resolver="127.0.0.1:42069")
    except rigs.Refused:
        pass
    rig.ask("priv.clear_resolver_routing", bridge="br-bngr")
    rig.ask("priv.ensure_nat", guest_ip="10.87.48.2", tap="bngr-a", enable=False)
    rig.ask("priv.delete_tap", tap="bngr-a")
    rig.restart()
    rig.stop()


def nothing_is_opened_by_name(rig):
    """A whole life: no path that the owner can write is used by name, and no program is started (H34)"""
    rig.stop()
    rig.wrap = ["strace", "-D", "-ff", "-qq", "-o", str(TRACE / "t"), "-e", "trace=%file,execve"]
    TRACE.mkdir(exist_ok=True)
    rig.start()
    a_life(rig)
    rig.ended = True
    lines = [f"1 {line}" for path in TRACE.iterdir() for line in path.read_text().splitlines()]
    names = [m.groups() for line in lines if (m := NAMED.match(line))]
    assert len(names) > 50, lines
    programs = {name for call, _, name in names if call.startswith("execve")}
    assert programs == {str(rigs.HELPER)}, programs
    owners = (str(rig.state), str(rig.runtime))
    found = set()
    for call, at, name in names:
        if call == "openat2" and name in owners:
            continue  # the places themselves, at start, no link followed
        if at and at != "AT_FDCWD, ":
            if call in ("openat2", "newfstatat", "fchownat", "unlinkat", "renameat", "openat",
                        "readlinkat"):
                continue  # beneath a descriptor
        if not MAY_NAME.match(name) and name not in ("/", "/run", "/run/rig", str(rigs.HELPER)):
            found.add((call, name))
    assert not found, found
    shutil.rmtree(TRACE)


def privileges_are_shed(rig):
    """Capabilities are a bounded set, none comes by exec, a filter is loaded, no environment is left"""
    rows = dict(line.split(":\t", 1) for line in
                Path(f"/proc/{rig.child.pid}/status").read_text().splitlines() if ":\t" in line)
    allowed = sum(1 << n for n in (0, 1, 3, 5, 6, 7, 8, 12, 18, 19, 21, 24, 27))
    for name in ("CapPrm", "CapEff", "CapBnd"):
        assert int(rows[name], 16) & ~allowed == 0, (name, rows[name])
    assert int(rows["CapInh"], 16) == int(rows["CapAmb"], 16) == 0
    assert rows["NoNewPrivs"] == "1" and rows["Seccomp"] == "2"
    assert int(rows["CapEff"], 16) >> 12 & 1  # it can do its work


def memory_is_flat(rig):
    """The helper idles within 4 MiB, and a thousand requests later it holds as much (H3)"""
    rig.ask("priv.ensure_bridge", bridge="br-bngr", address="10.87.48.1/20")
    with rigs.Client(rig.socket) as client:
        def turn():
            client.ask("priv.create_tap", tap="bngr-a", bridge="br-bngr")
            for n in range(10):
                client.ask("priv.ensure_nat", guest_ip=f"10.87.48.{n + 2}", tap="bngr-a",
                           enable=n % 2 == 0)
            client.ask("priv.delete_tap", tap="bngr-a")
        for _ in range(15):
            turn()
        first, fds = rig.rss(), rig.fds()
        for _ in range(75):
            turn()
        last = rig.rss()
    print(f"# {first // 1024} KiB, and 900 requests later {last // 1024} KiB")
    if "build/san" not in str(rigs.HELPER):
        assert last < 4 * 1024 * 1024 and last - first < 128 * 1024
    assert rig.fds() <= fds and os.path.getsize(rig.jails / ".ledger") < 2 * 1024 * 1024


TESTS = [privileges_are_shed, memory_is_flat]
if shutil.which("strace"):
    TESTS.append(nothing_is_opened_by_name)
rigs.main(TESTS)
