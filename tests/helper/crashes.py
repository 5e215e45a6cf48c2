#!/usr/bin/env python3
"""kill -9 of the helper before each of its effects: the ledger explains what is there (C2, B10)."""
import json
import shutil
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import rig as rigs  # noqa: E402  pylint: disable=wrong-import-position
from rig import msgpack  # noqa: E402  pylint: disable=wrong-import-position
from wire import sh  # noqa: E402  pylint: disable=wrong-import-position

EFFECTS = ("sendmsg", "write", "ioctl", "renameat", "sendto", "close")
STEPS_MAX = 400
LIFE = (("priv.ensure_bridge", {"bridge": "br-bngr", "address": "10.87.48.1/20"}),
        ("priv.create_tap", {"tap": "bngr-a", "bridge": "br-bngr"}),
        ("priv.ensure_nat", {"guest_ip": "10.87.48.2", "tap": "bngr-a", "enable": True}),
        ("priv.create_tap", {"tap": "bngr-b", "bridge": "br-bngr"}),
        ("priv.ensure_nat", {"guest_ip": "10.87.48.2", "tap": "bngr-b", "enable": True}),
        ("priv.delete_tap", {"tap": "bngr-a"}))


def ledger(rig):
    """What the ledger says is there: {(kind, name): record}."""
    data, at, things = (rig.jails / ".ledger").read_bytes(), 0, {}
    while at + 8 <= len(data):
        size = struct.unpack_from("<I", data, at)[0]
        record = msgpack.unpackb(data[at + 8:at + 8 + size])
        at += 8 + size
        if "kind" not in record:
            continue
        key = record["kind"], record["name"]
        things.pop(key, None)
        if not record["gone"]:
            things[key] = record
    return things


def links():
    return {row["ifname"]: row["ifindex"] for row in json.loads(sh("ip -j link"))
            if row["ifname"] != "lo"}


def explained(rig):
    """Whether each link and table is in the ledger, and each of its links is there."""
    known = ledger(rig)
    named = {name: r.get("number") for (kind, name), r in known.items() if kind in ("bridge", "tap")}
    assert links() == named, (links(), known)
    tables = json.loads(sh("nft -j list tables"))["nftables"][1:]
    assert not tables or ("nat", "tables") in known, known
    forwards = Path("/proc/sys/net/ipv4/ip_forward").read_text().strip()
    assert forwards == "0" or ("forward", "ip_forward") in known, known
    if not links():
        assert not tables and forwards == "0" and not known, (tables, known)


def clean():
    assert links() == {} and len(json.loads(sh("nft -j list ruleset"))["nftables"]) == 1
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == "0"


def live(rig):
    """As far as it comes; whether the helper came through."""
    try:
        with rigs.Client(rig.socket) as client:
            for method, params in LIFE:
                client.ask(method, **params)
        return True
    except (rigs.Closed, rigs.Refused, ConnectionError, FileNotFoundError):
        return False


def run_killed(rig, call, step):
    """A life of a helper that is killed before its n-th such system call; whether it came through."""
    rig.wrap = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}",
                "-e", f"inject={call}:signal=KILL:when={step}"]
    try:
        rig.start()
        done = live(rig)
    except AssertionError:  # not even ready
        done = False
    rig.wrap = []
    killed = rig.child.poll() is not None
    if not killed:
        rig.stop()
    return done, killed


def killed_at_every_step(rig):
    """Killed before each effect of a life, then started: explained, and taken away without a rest"""
    rig.stop()
    runs = kills = 0
    for call in EFFECTS:
        done, step = False, 0
        while not done:
            step += 1
            assert step < STEPS_MAX
            done, killed = run_killed(rig, call, step)
            runs, kills = runs + 1, kills + killed
            rig.start()
            explained(rig)
            if step % 2:
                rig.restart()  # the second start changes nothing
                explained(rig)
            assert rig.teardown() == 0
            clean()
    print(f"# {kills} times killed in {runs} runs")
    assert kills > 60


def goes_on(rig):
    """The same life goes on after a crash, without a teardown between"""
    rig.stop()
    for call in EFFECTS:
        for step in range(3, 60, 8):
            run_killed(rig, call, step)
            rig.start()
            assert live(rig), rig.log()
            explained(rig)
            assert set(links()) == {"br-bngr", "bngr-b"}
            rig.stop()
    assert rig.teardown() == 0
    clean()


def torn_ledger(rig):
    """A torn end of the ledger costs its last record only; a second helper is turned away"""
    live(rig)
    before = ledger(rig)
    rig.stop()
    path = rig.jails / ".ledger"
    path.write_bytes(path.read_bytes() + b"\x40\0\0\0torn")
    rig.start()
    assert ledger(rig) == before
    explained(rig)
    assert rig.child.poll() is None
    assert sh(f"{rigs.HELPER} {' '.join(rig.flags())} 2>&1; test $? = 1").count("another helper")
    assert rig.teardown() == 0
    clean()


if not shutil.which("strace"):
    print("1..0 # SKIP strace is not installed")
    sys.exit(0)
killed_at_every_step.deadline = 280
rigs.main([torn_ledger, goes_on, killed_at_every_step])
