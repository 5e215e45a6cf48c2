#!/usr/bin/env python3
"""priv.ensure_socket_access: which paths it takes, and that nobody swaps them under it (F7, H12, H13)."""
import ctypes
import os
import signal
import socket
import stat
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import rig as rigs  # noqa: E402  pylint: disable=wrong-import-position
from wire import sh  # noqa: E402  pylint: disable=wrong-import-position

METHOD = "priv.ensure_socket_access"
RACE_SECONDS = float(os.environ.get("RACE_SECONDS", "6"))
RENAME_EXCHANGE = 2


def listen(path):
    """A socket of root's that nobody else may use."""
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    os.chmod(path, 0o700)
    return sock


def owned(path):
    st = os.lstat(path)
    return st.st_uid == rigs.OWNER and stat.S_IMODE(st.st_mode) == 0o600


def rights_are_given(rig):
    """A socket beneath the runtime directory becomes the owner's, mode 0600; twice is fine"""
    (rig.runtime / "a" / "b").mkdir(parents=True)
    for path in (rig.runtime / "s", rig.runtime / "a/b/api.sock"):
        listen(path)
        for _ in range(2):
            assert rig.ask(METHOD, socket_path=str(path)) is not None
            assert owned(path) and os.lstat(path).st_gid == rigs.OWNER
        with rigs.as_uid(rigs.THIRD), socket.socket(socket.AF_UNIX) as other:
            try:
                other.connect(str(path))
                raise AssertionError("a third uid got in")
            except PermissionError:
                pass


def others_are_refused(rig):
    """All that is no socket of its own beneath the runtime directory is refused, and stays as it was"""
    run, away = rig.runtime, rig.base / "away"
    (run / "d").mkdir()
    away.mkdir()
    listen(run / "good"), listen(away / "sock"), listen(run / "two"), listen(run / "d" / "in")
    os.link(run / "two", run / "hard")
    (run / "file").write_text("x")
    os.mkfifo(run / "fifo")
    os.mknod(run / "null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(run / "loop", 0o600 | stat.S_IFBLK, os.makedev(7, 0))
    os.symlink(away / "sock", run / "leaf")
    os.symlink("good", run / "near")
    os.symlink(away, run / "parent")
    os.symlink("d", run / "d2")
    os.symlink("/proc/self/fd", run / "magic")
    (run / "mounted").mkdir()
    sh(f"mount --bind {away} {run}/mounted")
    before = {p: os.lstat(p)[:6] for p in [*run.rglob("*"), *away.rglob("*")]}
    for name, codes in {
            "hard": "denied", "two": "denied", "file": "denied", "fifo": "denied", "d": "denied",
            "null": "denied", "loop": "denied", "leaf": "denied", "near": "denied",
            "parent/sock": "denied", "d2/in": "denied", "magic/0": "denied",
            "mounted/sock": "denied", "nothing": "not_found", "good/x": "not_found",
            "file/": "invalid_value", "./good": "invalid_value", "d/../good": "invalid_value",
            "../away/sock": "invalid_value", "d//in": "invalid_value", "": "invalid_value",
            "good\0": "invalid_value", "good\0x": "invalid_value", "good\n": "not_found",
            "%d": "not_found", "x" * 300: ("invalid_value", "too_large", "denied"),
            "x/" * 2100: ("invalid_value", "too_large")}.items():
        rig.refused(codes, "socket_path", METHOD, socket_path=f"{run}/{name}")
    for path in ("", "/", ".", "good", "run/good", str(run), f"{run}x/good", str(away / "sock"),
                 f"{rig.state}/x", "/etc/passwd", "/proc/self/cwd/good", f"/{run}/good"):
        rig.refused(("invalid_value", "denied"), "socket_path", METHOD, socket_path=path)
    rig.refused("invalid_type", "socket_path", METHOD, socket_path=7)
    rig.refused("missing_field", "socket_path", METHOD)
    assert before == {p: os.lstat(p)[:6] for p in before}
    rig.ask(METHOD, socket_path=f"{run}/good")
    assert owned(run / "good")
    sh(f"umount {run}/mounted")


def exchanger(one, two):
    """A child that swaps two names until it is killed."""
    pid = os.fork()
    if pid:
        return pid
    call = ctypes.CDLL(None).renameat2
    a, b = str(one).encode(), str(two).encode()
    while True:
        call(-100, a, -100, b, RENAME_EXCHANGE)


def race(rig, one, two, ask, victim):
    """Asks while the names are swapped; how often it was granted."""
    before, granted, asked = os.lstat(victim)[:6], 0, 0
    swapper = exchanger(one, two)
    end = time.monotonic() + RACE_SECONDS
    try:
        with rigs.Client(rig.socket) as client:
            while time.monotonic() < end:
                asked += 1
                try:
                    client.ask(METHOD, socket_path=str(ask))
                    granted += 1
                except rigs.Refused as error:
                    assert error.field == "socket_path", error
                assert os.lstat(victim)[:6] == before, f"swapped after {asked}"
    finally:
        os.kill(swapper, signal.SIGKILL)
        os.waitpid(swapper, 0)
    print(f"# {asked} asked, {granted} granted, none of them the victim")
    assert 0 < granted < asked


def swapped_directory(rig):
    """A directory swapped for a symlink the whole time never leads to the victim (H13)"""
    away = rig.base / "away"
    away.mkdir()
    (rig.runtime / "d").mkdir()
    listen(away / "sock"), listen(rig.runtime / "d" / "sock")
    os.symlink(away, rig.runtime / "link")
    race(rig, rig.runtime / "d", rig.runtime / "link", rig.runtime / "d" / "sock", away / "sock")


def swapped_leaf(rig):
    """A socket swapped for a symlink, or for a hard link, never gives the victim away"""
    away = rig.base / "away"
    away.mkdir()
    listen(away / "sock"), listen(rig.runtime / "s")
    os.symlink(away / "sock", rig.runtime / "t")
    race(rig, rig.runtime / "s", rig.runtime / "t", rig.runtime / "s", away / "sock")
    for name in ("s", "t"):
        os.unlink(rig.runtime / name)
    listen(rig.runtime / "s")
    os.link(away / "sock", rig.runtime / "t")
    race(rig, rig.runtime / "s", rig.runtime / "t", rig.runtime / "s", away / "sock")


rigs.main([rights_are_given, others_are_refused, swapped_directory, swapped_leaf])
