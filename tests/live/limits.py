#!/usr/bin/env python3
"""No descriptors left, no room left: a clear error for who asked, and nothing else (row H4)."""
import ctypes
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import live  # noqa: E402

NEWNS, PRIVATE = 0x20000, 0x4000 | 0x40000
CLEAR = ("no_space", "no_memory", "unavailable", "busy", "internal", "io")


def cpu_ticks(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def few_descriptors(house):
    """with 64 descriptors: refusals say so, the daemon lives, turns no loop, and loses nothing"""
    subprocess.run(["prlimit", "--nofile=64:64", house.banger, "daemon", "start"], env=house.env,
                   check=True, timeout=live.PATIENCE, capture_output=True)
    pid = house.daemon()
    limit = next(x for x in Path(f"/proc/{pid}/limits").read_text().splitlines() if "open files" in x)
    assert limit.split()[3:5] == ["64", "64"], limit
    house.create("m")
    refused, made = 0, []
    for i in range(12):
        done = house.run("--json", "vm", "create", "--no-start", "--name", f"n{i}", "--image", "debian")
        if done.code == 0:
            made.append(f"n{i}")
    # as many connections as there is room for, and more: who waits is served when others go
    held = []
    try:
        for _ in range(90):
            one = socket.socket(socket.AF_UNIX)
            one.connect(str(house.runtime / "bangerd.sock"))
            held.append(one)
        time.sleep(0.5)  # what is measured is a while in which nothing is to be done
        before = cpu_ticks(pid)
        time.sleep(1.5)
        assert cpu_ticks(pid) - before < 50, "the daemon turns on a socket that it cannot accept from"
    finally:
        for one in held:
            one.close()
    assert house.sh("m", "echo works") == "works\n"
    size = 200000
    children = [house.popen("--json", "vm", "exec", "m", "--", "head", "-c", str(size), "/dev/zero")
                for _ in range(40)]
    for child in children:
        out, err = child.communicate(timeout=live.PATIENCE)
        if child.returncode == 0:
            assert len(out) == size, len(out)
        else:
            refused += 1
            text = (out + err).decode(errors="replace")
            assert '"error"' in text or "banger:" in text, (child.returncode, text[:300])
    assert house.daemon() == pid, "the daemon ended"
    assert set(house.vms()) == {"m", *made}
    done = house.run("--json", "image", "export", "debian", str(house.dir / "x.tar.zst"))
    if done.code:
        assert json.loads(done.out + done.err)["error"]["message"]
    assert house.sh("m", "echo works") == "works\n" and house.daemon() == pid
    house.check_empty()


class Small:
    """The house's state on a file system of its own, `room` bytes larger than what it holds."""

    def __init__(self, house, room):
        if os.geteuid() != 0:
            raise live.Skip("needs root to mount")
        self.path, libc = str(house.state), ctypes.CDLL(None, use_errno=True)
        if libc.unshare(NEWNS) or libc.mount(b"none", b"/", None, PRIVATE, None):
            raise live.Skip("no mount namespace")
        used = int(subprocess.run(["du", "-s", "-B1", self.path], check=True, capture_output=True,
                                  text=True).stdout.split()[0])
        kept = str(house.dir / "kept")
        os.rename(self.path, kept)
        os.mkdir(self.path, 0o700)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={used + room},mode=700", "small",
                        self.path], check=True)
        subprocess.run(["cp", "-a", "--sparse=always", f"{kept}/.", self.path], check=True)
        self.filler = Path(self.path) / "filler"

    def leave(self, free):
        """Fills it but for so many bytes."""
        self.filler.unlink(missing_ok=True)
        vfs = os.statvfs(self.path)
        n, block = vfs.f_bavail * vfs.f_frsize - free, 64 << 20
        with open(self.filler, "wb") as f:
            at = 0
            while n - at > 0 and block >= 4096:  # somebody else may take the last ones meanwhile
                try:
                    os.posix_fallocate(f.fileno(), at, min(block, n - at))
                    at += block
                except OSError:
                    block //= 2

    def used(self):
        return sum(p.lstat().st_blocks * 512 for p in Path(self.path).rglob("*")
                   if p != self.filler and "/log" not in str(p) and "store.mdb" not in p.name)

    def close(self):
        subprocess.run(["umount", "-l", self.path], check=False)


def starved(house, small, args, frees, undo):
    """The command with ever more room: refused clearly and without a trace, or done."""
    done_with = []
    before = small.used()
    for free in frees:
        small.leave(free)
        done = house.run("--json", *args)
        if done.code == 0:
            done_with.append(free)
            house.ok(*undo)
        else:
            error = json.loads(done.out[done.out.index(b"{"):] or done.err)["error"]
            assert error["code"] in CLEAR and error["message"], (args, free, error)
            assert error["code"] == "no_space" or "space" in error["message"], (args, free, error)
        house.ok("vm", "list")
        left = small.used() - before
        assert left <= 65536, (args, free, left)
    small.leave(1 << 40)
    house.ok(*args)
    house.ok(*undo)
    return done_with


def full_disk(house):
    """the disk filled to the last block in create, import and pull: a clear error and no trace"""
    small = Small(house, 1600 << 20)
    try:
        house.ok("daemon", "start")
        pid = house.daemon()
        frees = [0, 4096, 65536, 262144, 1 << 20, 4 << 20, 16 << 20, 64 << 20]
        done = starved(house, small, ("vm", "create", "--no-start", "--name", "q", "--image", "debian"),
                       frees, ("vm", "delete", "q"))
        assert done, "a machine of layer qcow2 takes hardly any room"
        starved(house, small, ("vm", "create", "--no-start", "--layer", "copy", "--name", "c", "--image",
                               "debian"), frees, ("vm", "delete", "c"))
        tree, bundle = house.dir / "tree", house.dir / "b.tar.zst"
        live.busybox_tree(tree)
        (tree / "big").write_bytes(os.urandom(24 << 20))
        before = small.used()
        for part in (1 << 16, 1 << 20, 12 << 20):  # of the archive, before the disk is full
            small.leave(1 << 40)
            tar = subprocess.run(["tar", "-C", str(tree), "-c", "."], check=True,
                                 capture_output=True).stdout
            child = house.popen("--json", "image", "import", "i", "-", stdin=subprocess.PIPE)
            child.stdin.write(tar[:part])
            child.stdin.flush()
            small.leave(0)
            try:
                child.stdin.write(tar[part:])
                child.stdin.close()
            except BrokenPipeError:
                pass
            child.stdin = None
            out, err = child.communicate(timeout=live.PATIENCE)
            error = json.loads(out[out.index(b"{"):] or err)["error"]
            assert child.returncode == 1 and "space" in error["message"], (part, error)
            house.ok("vm", "list")
            assert small.used() - before <= 65536, (part, small.used() - before)
        small.leave(1 << 40)
        house.ok("image", "export", "debian", str(bundle))
        before = small.used()
        small.leave(0)
        error = house.fails("image", "pull", "--name", "p", f"file:{bundle}")
        assert error["code"] == "no_space", error
        assert small.used() - before <= 65536
        small.leave(1 << 40)
        house.ok("image", "pull", "--name", "p", f"file:{bundle}")
        assert house.daemon() == pid, "the daemon ended"
        house.check_empty()
    finally:
        house.ok("daemon", "stop")
        small.close()


if __name__ == "__main__":
    live.main([few_descriptors, full_disk])
