#!/usr/bin/env python3
"""priv.cleanup_jailer_chroot (row F8), and directories that are exchanged for links meanwhile."""
import ctypes
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import rig as rigs  # noqa: E402  pylint: disable=wrong-import-position

SECONDS = float(os.environ.get("BANGER_RACE_SECONDS", "5"))
LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, RENAME_EXCHANGE = -100, 2


def jail(rig, name="firecracker/demo"):
    root = rig.jails / name / "root"
    (root / "run").mkdir(parents=True)
    (root / "img").mkdir()
    (root / "img/kernel").write_bytes(b"kernel")
    return rig.jails / name


def clean(rig, path):
    return rig.ask("priv.cleanup_jailer_chroot", chroot_path=str(path))


def both_forms(rig):
    """Both forms remove the id whole, again and again, in the ledger or not"""
    for name, tail in (("firecracker/demo", ""), ("firecracker/demo", "root"), ("qemu/x1", ""),
                       ("other-name/id.2", "root")):
        where = jail(rig, name)
        for _ in range(2):
            assert clean(rig, where / tail if tail else where) == {}
            assert not where.exists() and where.parent.exists()


def wrong_depths(rig):
    """No other depth, no odd component, no other place"""
    where = jail(rig)
    base = rig.jails
    for path in (base, base / "firecracker", where / "root/run", where / "root/root", where / "img",
                 f"{base}/firecracker/../firecracker/demo", f"{base}/firecracker/./demo",
                 f"{base}/firecracker//demo", f"{base}/.programs/x", f"{base}/firecracker/.x",
                 f"{base}/firecracker/demo/", f"{base}x/firecracker/demo", "/etc/ssl/certs",
                 "/", "", "firecracker/demo", f"{base}/a b/c", f"{base}/a/b\n", f"{base}/a\0/b",
                 f"{base}/a/" + "x" * 65, rig.state / "a/b"):
        rig.refused("invalid_value", "chroot_path", "priv.cleanup_jailer_chroot",
                    chroot_path=str(path))
    assert (where / "root/img/kernel").exists()


def links_are_refused(rig):
    """A link at the leaf or above it is refused, and what it names is untouched"""
    target = rig.base / "target"
    (target / "demo/root").mkdir(parents=True)
    (target / "demo/root/file").write_bytes(b"stays")
    (rig.jails / "qemu").mkdir()
    (rig.jails / "qemu/leaf").symlink_to(target / "demo")
    (rig.jails / "above").symlink_to(target)
    (rig.jails / "qemu/in").mkdir()
    (rig.jails / "qemu/in/root").symlink_to(target / "demo")
    for path in ("qemu/leaf", "qemu/leaf/root", "above/demo", "above/demo/root"):
        rig.refused("denied", "chroot_path", "priv.cleanup_jailer_chroot",
                    chroot_path=str(rig.jails / path))
    clean(rig, rig.jails / "qemu/in")  # the link itself goes, what it names stays
    assert not (rig.jails / "qemu/in").exists()
    assert (target / "demo/root/file").read_bytes() == b"stays"


def in_helper(rig, *command):
    """Runs in the helper's own mount namespace: what it does not see it need not detach."""
    subprocess.run(["nsenter", "-t", str(rig.child.pid), "-m", *command], check=True)


def mounts_go_first(rig):
    """Every mount below is detached, deepest first, and nothing behind one is deleted"""
    where = jail(rig)
    held = rig.base / "held"
    (held / "deeper").mkdir(parents=True)
    (held / "file").write_bytes(b"stays")
    (held / "deeper/file").write_bytes(b"stays")
    for name in ("a", "a b", "c"):
        (where / "root" / name).mkdir()
        in_helper(rig, "mount", "--bind", str(held), str(where / "root" / name))
    in_helper(rig, "mount", "-t", "tmpfs", "none", str(where / "root/a/deeper"))
    in_helper(rig, "mount", "--bind", str(held / "file"), str(where / "root/img/kernel"))
    in_helper(rig, "mount", "-t", "tmpfs", "none", str(where / "root/run"))
    in_helper(rig, "mount", "--bind", str(where), str(where))
    assert clean(rig, where) == {}
    assert not where.exists()
    assert str(where) not in Path(f"/proc/{rig.child.pid}/mountinfo").read_text()
    assert (held / "file").read_bytes() == (held / "deeper/file").read_bytes() == b"stays"


def deep_and_wide(rig):
    """A tree 5,000 deep and a directory of 20,000 files go, without depth or time running out"""
    where = jail(rig)
    here = os.open(where / "root", os.O_RDONLY)
    for _ in range(5000):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)
    for i in range(20000):
        os.close(os.open(where / "root/img" / str(i), os.O_CREAT | os.O_WRONLY))
    before = rig.fds()
    clean(rig, where)
    assert not where.exists()
    rig.wait_for(lambda: rig.fds() <= before, "descriptors were left open")


def exchange(a, b):
    if LIBC.renameat2(AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b), RENAME_EXCHANGE):
        raise OSError(ctypes.get_errno(), "renameat2")


class Exchanger(threading.Thread):
    """Exchanges two names as fast as it can, as the owner might."""

    def __init__(self, a, b):
        super().__init__(daemon=True)
        self.a, self.b, self.on, self.times = str(a), str(b), True, 0

    def run(self):
        while self.on:
            exchange(self.a, self.b)
            self.times += 1

    def stop(self):
        self.on = False
        self.join()


def race_never_wins(rig):
    """Directory and link exchanged all the time: no file outside is ever read, changed or removed"""
    state, outside = rig.state, rig.base / "outside"
    rig.owner_file("images/a/disk", b"inside")
    outside.mkdir()
    secret = outside / "disk"
    secret.write_bytes(b"secret")
    secret.chmod(0o600)
    os.chown(secret, rigs.OWNER, rigs.OWNER)  # the worst case: its owner would pass
    before = os.stat(secret)
    (state / "images/b").symlink_to(outside)
    racer = Exchanger(state / "images/a", state / "images/b")
    racer.start()
    asked = refused = 0
    end = time.monotonic() + SECONDS
    with rigs.Client(rig.socket) as client:
        while time.monotonic() < end:
            asked += 1
            try:
                client.ask("priv.launch_vmm", vm_id="race", driver="qemu",
                           binary="/usr/bin/absent", vcpus=1, mem_mib=64,
                           kernel_path=str(state / "images/a/disk"))
            except rigs.Refused as error:
                refused += error.field in ("kernel_path", "binary")
            for path in (state / "images/a/disk", secret):
                try:
                    client.ask("priv.launch_vmm", vm_id="race", driver="qemu",
                               binary="/usr/bin/env", vcpus=1, mem_mib=64,
                               kernel_path=str(path))
                    client.ask("priv.cleanup_jailer_chroot",
                               chroot_path=str(rig.jails / "qemu/race"))
                except rigs.Refused:
                    refused += 1
    racer.stop()
    after = os.stat(secret)
    assert secret.read_bytes() == b"secret"
    assert (before.st_mode, before.st_uid, before.st_ctime_ns) == (
        after.st_mode, after.st_uid, after.st_ctime_ns), "something was done to the file outside"
    print(f"# {asked} rounds, {racer.times} exchanges, {refused} refusals")


rigs.main([both_forms, wrong_depths, links_are_refused, mounts_go_first, deep_and_wide,
           race_never_wins])
