#!/usr/bin/env python3
"""Copy-on-write devices, and e2fsck on them (rows F1, F4). Where this host has no device-mapper,
devicemapper.py runs the same in a machine that has."""
import ctypes
import os
import random
import re
import signal
import struct
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import rig as rigs  # noqa: E402  pylint: disable=wrong-import-position
import disk  # noqa: E402  pylint: disable=wrong-import-position
import dm  # noqa: E402  pylint: disable=wrong-import-position

KIB, MIB = 1024, 1024 * 1024
RACE_SECONDS = float(os.environ.get("BANGER_RACE_SECONDS", "5"))
CREATE, CLEANUP, REMOVE = ("priv.create_dm_snapshot", "priv.cleanup_dm_snapshot",
                           "priv.remove_dm_snapshot")
STATUS, FSCK = "priv.dm_status", "priv.fsck_snapshot"
READ, WRITE = "priv.read_ext4_file", "priv.write_ext4_files"


def cleared(test):
    """What a failed test leaves of devices would fail the next one."""
    def run(rig):
        try:
            test(rig)
        finally:
            dm.clear()
    run.__doc__, run.__name__ = test.__doc__, test.__name__
    return run


def device_mapper(_rig):
    """Snapshots on a device-mapper"""
    raise rigs.Skip(dm.missing())


def cow(rig, name="vm/cow", size=4 * MIB):
    path = rig.owner_file(name)
    os.truncate(path, size)
    return path


def create(rig, vm="aa", base=None, changes=None):
    base = base or disk.make(rig, "images/base.ext4")
    changes = changes or cow(rig, f"vm/{vm}/cow")
    return rig.ask(CREATE, vm_id=vm, base_path=str(base), cow_path=str(changes))


def nothing_left(rig, before):
    rig.wait_for(lambda: dm.names() == [] and disk.loops_of(None) == before,
                 f"left: {dm.names()} {disk.loops_of(None)}, before: {before}")


def paths_are_judged(rig):
    """Base and changes are files of the owner's beneath the state directory, or refused"""
    base, changes, state = disk.make(rig, "a/base.ext4"), cow(rig), str(rig.state)
    bad = {path: "invalid_value" for path in (
        "/etc/passwd", "/proc/self/mem", "/dev/zero", "/dev/loop0", "/dev/mapper/fc-rootfs-aa",
        state, f"{state}/a/../a/base.ext4", f"{state}//a", "a", "", f"{state}/a\0")}
    for kind, path in disk.strange_files(rig, base).items():
        bad[path] = {"foreign": "not_owned", "root's": "not_owned", "absent": "not_found",
                     "below a file": "not_found"}.get(kind, "denied")
    for path, code in bad.items():
        rig.refused(code, "base_path", CREATE, vm_id="aa", base_path=path, cow_path=str(changes))
        rig.refused(code, "cow_path", CREATE, vm_id="aa", base_path=str(base), cow_path=path)
    for vm in ("", "a", "A" * 2, "a" * 11, "../a", "a/b", "a\0", "a-b", "aa ", "%d"):
        rig.refused(("invalid_value", "too_large"), "vm_id", CREATE, vm_id=vm, base_path=str(base),
                    cow_path=str(changes))
    assert not disk.loops_of(base) and not disk.loops_of(changes)


def lengths_are_judged(rig):
    """Base and changes have a length that fits, and changes are empty or a snapshot's of 4 KiB"""
    base, changes = disk.make(rig, "base.ext4"), cow(rig)

    def no(code, field, **paths):
        paths = {"base_path": str(base), "cow_path": str(changes), **paths}
        rig.refused(code, field, CREATE, vm_id="aa", **paths)

    no("invalid_value", "cow_path", cow_path=str(base))
    for size in (0, 512 * 7, 64 * KIB - 512, 64 * KIB + 1, 2 * 8 * MIB + 64 * MIB + 512, 1 << 60):
        no("invalid_value", "cow_path", cow_path=str(cow(rig, "odd", size)))
    for size in (0, 511, 1025, (1 << 40) + 512):
        no("invalid_value", "base_path", base_path=str(cow(rig, "odd", size)))
    header = struct.Struct("<IIII")
    for words, code in (((0x70416e53, 1, 1, 1 << 20), "invalid_value"),
                        ((0x70416e53, 1, 1, 0), "invalid_value"),
                        ((0x70416e53, 1, 2, 8), "invalid_value"),
                        ((0xef53, 1, 1, 8), "invalid_value"), ((0x70416e53, 0, 1, 8), "conflict")):
        with open(changes, "r+b") as f:
            f.write(header.pack(*words))
        no(code, "cow_path")
    os.truncate(changes, 0)
    os.truncate(changes, 4 * MIB)
    for mode in ("r+b", "rb"):
        with open(changes, mode):
            no("busy", "cow_path")
    with disk.Loop(changes):
        no("busy", "cow_path")
    if dm.missing():
        no("unsupported", None)


def names_are_judged(rig):
    """Only names of snapshots and loop devices pass, and they agree with each other"""
    bad_devices = ("/dev/mapper/x", "/dev/mapper/fc-rootfs-", "/dev/mapper/../sda", "fc-rootfs-aa",
                   "/dev/sda", "/dev/dm-0", "/dev/mapper/fc-rootfs-a/b", "/dev/mapper/fc-rootfs-A",
                   "/dev/mapper/fc-rootfs-a b", "/dev/mapper/fc-rootfs-a\0",
                   "/dev/mapper/fc-rootfs-" + "a" * 33, str(rig.state / "x"), "/proc/self/mem", "")
    for path in bad_devices:
        for method in (FSCK, STATUS):
            rig.refused(("invalid_value", "too_large"), "dm_dev", method, dm_dev=path)
    for target in ("", "x", "fc-rootfs-", "fc-rootfs", "xfc-rootfs-aa", "fc-rootfs-A", "../aa",
                   "fc-rootfs-a/b", "fc-rootfs-a\n", "/dev/mapper/aa", "/dev/fc-rootfs-aa",
                   "fc-rootfs-%d", "fc-rootfs-" + "a" * 45, "/dev/mapper/fc-rootfs-aa/"):
        rig.refused(("invalid_value", "too_large"), "target", REMOVE, target=target)
    for field, values in (("base_loop", ("/dev/sda", "/dev/loop", "/dev/loop0p1", "/dev/loop-1",
                                         "loop0", "/dev/loop01", "/dev/loop12345678", "/dev/../x")),
                          ("dm_name", ("x", "fc-rootfs-", "/dev/mapper/fc-rootfs-a")),
                          ("dm_dev", bad_devices[:-1])):
        for value in values:
            rig.refused(("invalid_value", "too_large"), field, CLEANUP, handles={field: value})
    rig.refused("invalid_value", "dm_dev", CLEANUP,
                handles={"dm_name": "fc-rootfs-aa", "dm_dev": "/dev/mapper/fc-rootfs-bb"})
    rig.refused("invalid_value", "cow_loop", CLEANUP,
                handles={"base_loop": "/dev/loop5000", "cow_loop": "/dev/loop5000"})
    rig.ask(CLEANUP, handles={})
    rig.ask(CLEANUP, handles={"base_loop": "", "cow_loop": "", "dm_name": "", "dm_dev": ""})
    rig.ask(CLEANUP, handles={"base_loop": "/dev/loop5000", "dm_name": "fc-rootfs-nobody"})
    rig.ask(REMOVE, target="fc-rootfs-nobody")
    rig.ask(REMOVE, target="/dev/mapper/fc-rootfs-nobody")
    rig.refused("not_found", "dm_dev", FSCK, dm_dev="/dev/mapper/fc-rootfs-nobody")
    rig.refused("not_found", "dm_dev", STATUS, dm_dev="/dev/mapper/fc-rootfs-nobody")


def foreign_loops_are_left(rig):
    """A loop device that is not the helper's is refused and stays"""
    with disk.Loop(disk.make(rig, "other.ext4")) as loop:
        for field in ("base_loop", "cow_loop"):
            rig.refused("not_owned", field, CLEANUP, handles={field: loop.dev})
            rig.refused("not_owned", field, CLEANUP,
                        handles={field: loop.dev, "dm_name": "fc-rootfs-aa"})
        assert loop.dev in disk.loops_of(None)


def snapshots_are_made(rig):
    """A snapshot shows its base, keeps what is written to it, and goes without a trace"""
    before, base = disk.loops_of(None), disk.make(rig, "images/base.ext4")
    kept = disk.hash_of(base)
    for target in (None, "fc-rootfs-aa", "/dev/mapper/fc-rootfs-aa"):
        changes = cow(rig, "vm/cow")
        handles = create(rig, base=base, changes=changes)
        assert handles["dm_name"] == "fc-rootfs-aa", handles
        assert handles["dm_dev"] == "/dev/mapper/fc-rootfs-aa", handles
        assert dm.names() == ["fc-rootfs-aa"]
        assert disk.loops_of(base) == [handles["base_loop"]], handles
        assert disk.loops_of(changes) == [handles["cow_loop"]], handles
        os.close(os.open(changes, os.O_RDWR | os.O_NONBLOCK))  # its lease has ended
        with dm.opened("fc-rootfs-aa") as device:
            assert device.read() == base.read_bytes()
            device.seek(1 * MIB)
            device.write(b"changed" * 1000)
        assert disk.hash_of(base) == kept
        rig.refused("exists", "vm_id", CREATE, vm_id="aa", base_path=str(base),
                    cow_path=str(cow(rig, "vm/other")))
        rig.refused("busy", "cow_path", CREATE, vm_id="bb", base_path=str(base),
                    cow_path=str(changes))
        if target:
            rig.ask(REMOVE, target=target)
            rig.ask(REMOVE, target=target)
        else:
            rig.ask(CLEANUP, handles=handles)
            rig.ask(CLEANUP, handles=handles)
        nothing_left(rig, before)
    handles = create(rig, base=base, changes=changes)  # the changes are still there
    with dm.opened("fc-rootfs-aa") as device:
        device.seek(1 * MIB)
        assert device.read(7) == b"changed"
    rig.ask(REMOVE, target="fc-rootfs-aa")
    nothing_left(rig, before)


def odd_bases_work(rig):
    """A base that ends within a chunk is shown to its last sector, and written there"""
    base = rig.owner_file("odd", os.urandom(MIB + 3 * 512))
    create(rig, base=base)
    with dm.opened("fc-rootfs-aa") as device:
        assert device.read() == base.read_bytes()
        device.seek(MIB + 2 * 512)
        device.write(b"e" * 512)
    with dm.opened("fc-rootfs-aa") as device:
        assert device.read() == base.read_bytes()[:-512] + b"e" * 512
    rig.ask(REMOVE, target="fc-rootfs-aa")


def machines_share_a_base(rig):
    """Several snapshots of one base do not see each other, and end one by one"""
    before, base = disk.loops_of(None), disk.make(rig, "images/base.ext4")
    vms = [f"vm{n}" for n in range(6)]
    clients = [rig.client() for _ in vms]
    for client, vm in zip(clients, vms):
        client.begin(CREATE, vm_id=vm, base_path=str(base), cow_path=str(cow(rig, f"{vm}/cow")))
    handles = [client.receive() for client in clients]
    assert all(h[2] is None for h in handles), handles
    loops = [h[3][key] for h in handles for key in ("base_loop", "cow_loop")]
    assert len(set(loops)) == 12, loops
    for number, vm in enumerate(vms):
        with dm.opened(f"fc-rootfs-{vm}") as device:
            device.write(b"%d" % number * 4096)
    for number, vm in enumerate(vms):
        with dm.opened(f"fc-rootfs-{vm}") as device:
            assert device.read(4096) == b"%d" % number * 4096
        one, two = handles[number][3], handles[number - 1][3]
        if number:
            continue
        rig.refused("not_owned", "base_loop", CLEANUP,
                    handles={"dm_name": one["dm_name"], "base_loop": two["base_loop"]})
        rig.refused("busy", "cow_loop", CLEANUP, handles={"cow_loop": one["cow_loop"]})
    for vm in vms:
        rig.ask(REMOVE, target=f"fc-rootfs-{vm}")
    nothing_left(rig, before)


def others_devices_are_left(rig):
    """A device of a snapshot's name that somebody else made is refused and stays"""
    dm.make("fc-rootfs-aa", "OTHER-x")
    try:
        for method, field, rest in (
                (REMOVE, "target", {"target": "fc-rootfs-aa"}),
                (CLEANUP, "dm_name", {"handles": {"dm_name": "fc-rootfs-aa"}}),
                (CLEANUP, "dm_dev", {"handles": {"dm_dev": "/dev/mapper/fc-rootfs-aa"}})):
            rig.refused("not_owned", field, method, **rest)
        rig.refused("not_found", "dm_dev", FSCK, dm_dev="/dev/mapper/fc-rootfs-aa")
        before = disk.loops_of(None)
        rig.refused("exists", None, CREATE, vm_id="aa",
                    base_path=str(disk.make(rig, "base.ext4")), cow_path=str(cow(rig)))
        assert dm.names() == ["fc-rootfs-aa"]
        rig.wait_for(lambda: disk.loops_of(None) == before, "loop devices stay")
    finally:
        dm.remove("fc-rootfs-aa")
    create(rig)
    rig.ask(REMOVE, target="fc-rootfs-aa")


def used_snapshots_stay(rig):
    """A snapshot that is open is busy for removal, check and writing"""
    create(rig)
    device = "/dev/mapper/fc-rootfs-aa"
    with dm.opened("fc-rootfs-aa"):
        rig.refused("busy", None, REMOVE, target="fc-rootfs-aa")
        rig.refused("busy", "dm_dev", FSCK, dm_dev=device)
        rig.refused("busy", "image_path", READ, image_path=device, guest_path="/hello")
        rig.ask(STATUS, dm_dev=device)
    rig.ask(FSCK, dm_dev=device)
    rig.ask(REMOVE, target="fc-rootfs-aa")


def fill_is_told(rig):
    """How full a snapshot is grows with what is written, and a full one says so"""
    create(rig, changes=cow(rig, "vm/cow", 2 * MIB))
    device = "/dev/mapper/fc-rootfs-aa"
    empty = rig.ask(STATUS, dm_dev=device)
    assert empty["valid"] and empty["size"] == 4096 and empty["used"] < 64, empty
    with dm.opened("fc-rootfs-aa") as f:
        f.write(os.urandom(MIB))
    half = rig.ask(STATUS, dm_dev=device)
    assert half["valid"] and 2048 <= half["used"] < 2300, half
    assert 0 < half["metadata"] < half["used"]
    with dm.opened("fc-rootfs-aa", patient=True) as f:
        f.write(os.urandom(4 * MIB))
    full = rig.ask(STATUS, dm_dev=device)
    assert not full["valid"], full
    rig.ask(REMOVE, target="fc-rootfs-aa")
    rig.refused("conflict", "cow_path", CREATE, vm_id="aa",
                base_path=str(rig.state / "images/base.ext4"),
                cow_path=str(rig.state / "vm/cow"))


def files_of_snapshots(rig):
    """Files are read and written in a snapshot; its base does not change"""
    base = disk.make(rig, "images/base.ext4")
    kept = disk.hash_of(base)
    create(rig, base=base)
    device = "/dev/mapper/fc-rootfs-aa"
    rig.ask(WRITE, image_path=device, files=[
        {"path": "/root/.ssh/authorized_keys", "data": b"key", "mode": 0o600, "uid": 0, "gid": 0}])
    answer = rig.ask(READ, image_path=device, guest_path="/root/.ssh/authorized_keys")
    assert answer["data"] == b"key"
    rig.refused("denied", "guest_path", READ, image_path=device, guest_path="/link")
    assert disk.hash_of(base) == kept
    with dm.opened("fc-rootfs-aa") as f:
        copy = rig.owner_file("copy", f.read())
    disk.check(copy)
    rig.ask(REMOVE, target="fc-rootfs-aa")


def watch_checker(found, end):
    """Notes who e2fsck is, as long as it runs."""
    while not end.is_set():
        for directory in Path("/proc").glob("[0-9]*"):
            try:
                if (directory / "comm").read_text().strip() != "e2fsck":
                    continue
                text = (directory / "status").read_text()
                found.append({**dict(line.split(":\t", 1) for line in text.splitlines()
                                     if ":\t" in line),
                              "fds": [os.readlink(f) for f in (directory / "fd").iterdir()],
                              "net": os.readlink(directory / "ns/net"),
                              "env": (directory / "environ").read_bytes()})
            except OSError:
                pass


def checks_are_unprivileged(rig):
    """e2fsck mends a snapshot as another uid, without capability, environment or descriptor"""
    device, found, end = "/dev/mapper/fc-rootfs-aa", [], threading.Event()
    create(rig, base=disk.make(rig, "big.ext4", size=96 * MIB), changes=cow(rig, size=16 * MIB))
    watcher = threading.Thread(target=watch_checker, args=(found, end))
    watcher.start()
    try:
        for _ in range(40):
            dm.debugfs("fc-rootfs-aa", "set_super_value state 0")  # so that it looks at all
            rig.ask(FSCK, dm_dev=device)
            if any(f["CapEff"].strip("0") == "" and f["fds"] for f in found):
                break
    finally:
        end.set()
        watcher.join()
    told = [f for f in found if f["Uid"].split()[0] != "0"]
    assert told, found
    for f in told:
        assert set(f["Uid"].split() + f["Gid"].split()) == {"61108"} and not f["Groups"].strip(), f
        assert all(not f[c].strip().strip("0") for c in ("CapEff", "CapPrm", "CapInh", "CapAmb")), f
        assert f["NoNewPrivs"] == "1" and f["Seccomp"] == "2" and f["env"] == b"", f
        assert f["net"] != os.readlink("/proc/self/ns/net")
    assert all("socket" not in x and "state" not in x for f in told for x in f["fds"]), told
    rig.ask(REMOVE, target="fc-rootfs-aa")


def faults_are_mended(rig):
    """e2fsck mends what it may; what it may not is refused with a hint, and logged escaped"""
    device = "/dev/mapper/fc-rootfs-aa"
    create(rig)
    dm.debugfs("fc-rootfs-aa", "feature needs_recovery")
    rig.refused("conflict", "image_path", READ, image_path=device, guest_path="/hello")
    rig.ask(FSCK, dm_dev=device)
    assert rig.ask(READ, image_path=device, guest_path="/hello")["data"] == b"hello"
    dm.debugfs("fc-rootfs-aa", "set_super_value state 0")
    dm.debugfs("fc-rootfs-aa", "set_inode_field /hello block[0] 5")
    dm.debugfs("fc-rootfs-aa", "set_inode_field /directory mode 0100644")
    error = rig.refused("conflict", "dm_dev", FSCK, dm_dev=device)
    assert "e2fsck" in rig.log() and "\x1b" not in rig.log(), error
    rig.ask(REMOVE, target="fc-rootfs-aa")
    create(rig, base=rig.owner_file("junk", os.urandom(MIB)), changes=cow(rig, "vm/junk"))
    rig.refused(("conflict", "invalid_value"), "dm_dev", FSCK, dm_dev=device)
    rig.ask(REMOVE, target="fc-rootfs-aa")


def hostile_snapshots_end_children_only(rig):
    """Mutated filesystems in a snapshot get an answer or a typed error from e2fsck and libext2fs"""
    good, chance, answers = disk.content(size=MIB), random.Random(5), {}
    device = "/dev/mapper/fc-rootfs-aa"
    for _ in range(15):
        rig.owner_file("base", disk.mutate(good, chance))
        create(rig, base=rig.state / "base", changes=cow(rig, "vm/cow"))
        for method, rest in ((FSCK, {"dm_dev": device}),
                             (READ, {"image_path": device, "guest_path": "/hello"})):
            try:
                rig.ask(method, **rest)
                code = "ok"
            except rigs.Refused as error:
                code = error.code
            answers[code] = answers.get(code, 0) + 1
        rig.ask(REMOVE, target="fc-rootfs-aa")
    print(f"# {answers}")
    assert "internal" not in answers and "timeout" not in answers, answers


def kills_leave_nothing_unexplained(rig):
    """kill -9 of the helper anywhere in making or removing: a removal by name cleans up (C2)"""
    before, chance, seen = disk.loops_of(None), random.Random(6), {"made": 0, "not": 0}
    base = disk.make(rig, "images/base.ext4")
    begun = time.monotonic()
    create(rig, base=base)
    took = time.monotonic() - begun
    rig.ask(REMOVE, target="fc-rootfs-aa")
    for number in range(24):
        handles = create(rig, base=base) if number % 2 else None
        client = rig.client()
        if handles:
            client.begin(REMOVE, target="fc-rootfs-aa")
        else:
            client.begin(CREATE, vm_id="aa", base_path=str(base),
                         cow_path=str(cow(rig, "vm/aa/cow")))
        time.sleep(chance.uniform(0, took * 1.2))  # a moment by chance is what is tried
        rig.restart(signal.SIGKILL)
        seen["made" if dm.names() else "not"] += 1
        assert set(dm.names()) <= {"fc-rootfs-aa"}
        loops = [x for x in disk.loops_of(None) if x not in before]
        if dm.names():  # the helper has learned what it made, whole
            explained = rig.ask("priv.dm_status", dm_dev="/dev/mapper/fc-rootfs-aa")
            assert explained["valid"] and len(loops) == 2, (explained, loops)
        else:  # they go by themselves, when their holder has died
            rig.wait_for(lambda: disk.loops_of(None) == before, f"unexplained: {loops}")
        rig.ask(REMOVE, target="fc-rootfs-aa")
        nothing_left(rig, before)
    print(f"# {seen}, a creation took {took * 1000:.0f} ms")
    create(rig, base=base)
    rig.restart(signal.SIGKILL)
    rig.ask(STATUS, dm_dev="/dev/mapper/fc-rootfs-aa")
    rig.ask(REMOVE, target="fc-rootfs-aa")
    nothing_left(rig, before)


def uninstall_takes_all(rig):
    """Teardown removes every snapshot with its loops, and leaves what is not the helper's (U5)"""
    before, base = disk.loops_of(None), disk.make(rig, "images/base.ext4")
    for vm in ("aa", "bb", "cc"):
        create(rig, vm=vm, base=base)
    dm.make("fc-rootfs-zz", "OTHER-z")
    assert rig.teardown() == 0
    assert dm.names() == ["fc-rootfs-zz"], dm.names()
    assert disk.loops_of(None) == before


def races_never_win(rig):
    """RENAME_EXCHANGE while snapshots are made: they stand on the owner's files or not at all (H13)"""
    base = disk.make(rig, "real/base.ext4", size=MIB)
    outside = rig.base / "outside"
    outside.mkdir(mode=0o755)
    secret = outside / "base.ext4"
    secret.write_bytes(disk.content(size=MIB, hello=b"secret"))
    os.chown(secret, rigs.OWNER, rigs.OWNER)
    os.symlink(outside, rig.state / "link")
    libc, go, count = ctypes.CDLL(None), threading.Event(), [0, 0]

    def swap():
        one, other = os.fsencode(rig.state / "real"), os.fsencode(rig.state / "link")
        while not go.is_set():
            libc.renameat2(-100, one, -100, other, 2)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        begun = time.monotonic()
        # on a busy machine, as long as it takes to see both outcomes
        while (past := time.monotonic() - begun) < RACE_SECONDS or (not all(count) and past < 120):
            try:
                create(rig, base=base)
            except rigs.Refused as error:
                assert error.code in ("denied", "not_found"), error
                count[1] += 1
                continue
            count[0] += 1
            with dm.opened("fc-rootfs-aa") as f:
                assert b"secret" not in f.read()
            rig.ask(REMOVE, target="fc-rootfs-aa")
    finally:
        go.set()
        thread.join()
    print(f"# made {count[0]}, refused {count[1]}")
    assert count[0] and count[1]


def free_kib():
    return int(re.search(r"MemAvailable: *(\d+)", Path("/proc/meminfo").read_text())[1])


def quota_is_kept(rig):
    """The helper refuses a snapshot past its ceiling, and every one goes again (H29)"""
    before, base = disk.loops_of(None), disk.make(rig, "base.ext4", size=MIB)
    many = int(os.environ.get("BANGER_SNAPSHOTS", "24"))
    free, begun = free_kib(), time.monotonic()
    for number in range(many):
        create(rig, vm=f"q{number}", base=base, changes=cow(rig, f"q/{number}", 64 * KIB))
    if many >= 1000:
        rig.refused("busy", None, CREATE, vm_id="more", base_path=str(base),
                    cow_path=str(cow(rig)))
    took, kib = time.monotonic() - begun, (free - free_kib()) // many
    print(f"# {many} made in {took:.1f} s, {kib} KiB of the host's memory each")
    for number in range(many):
        rig.ask(REMOVE, target=f"fc-rootfs-q{number}")
    nothing_left(rig, before)


ANYWHERE = [paths_are_judged, lengths_are_judged, names_are_judged, foreign_loops_are_left]
MAPPED = [snapshots_are_made, odd_bases_work, machines_share_a_base, others_devices_are_left,
          used_snapshots_stay, fill_is_told, files_of_snapshots, checks_are_unprivileged,
          faults_are_mended, hostile_snapshots_end_children_only, kills_leave_nothing_unexplained,
          uninstall_takes_all, races_never_win, quota_is_kept]

if __name__ == "__main__":
    rigs.enter()
    rigs.main([*ANYWHERE, *([device_mapper] if dm.missing() else map(cleared, MAPPED))])
