#!/usr/bin/env python3
"""Images and kernels: use, replacement, garbage, imports that end early."""
import os
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import live  # noqa: E402


def files(house):
    return sorted(str(p.relative_to(house.state)) for leaf in ("image", "kernel")
                  for p in (house.state / leaf).rglob("*"))


def small_tree(house, word):
    """A tree with busybox that says a word."""
    tree = house.dir / f"tree-{word}"
    live.busybox_tree(tree)
    (tree / "word").write_text(word)
    return str(tree)


def in_use(house):
    """an image or kernel that a machine stands on is not deleted"""
    house.create("m", "--no-start")
    assert house.fails("image", "delete", "debian")["code"] == "conflict"
    assert house.fails("kernel", "delete", "debian")["code"] == "conflict"
    assert house.json("image", "show", "debian")["machines"] == 1
    house.ok("vm", "delete", "m")
    house.ok("image", "delete", "debian")
    assert house.json("image", "list") == []
    assert not [f for f in files(house) if f.startswith("image/")], files(house)
    assert house.fails("image", "show", "debian")["code"] == "not_found"


def replace(house):
    """--replace gives new machines the new image; old ones keep theirs until they go"""
    house.ok("image", "import", "app", small_tree(house, "old"))
    house.create("before", image="app")
    assert house.fails("image", "import", "app", small_tree(house, "new"))["code"] == "exists"
    house.ok("image", "import", "--replace", "app", str(house.dir / "tree-new"))
    house.create("after", image="app")
    assert house.sh("before", "cat /word") == "old"
    house.ok("vm", "restart", "before")
    assert (house.sh("before", "cat /word"), house.sh("after", "cat /word")) == ("old", "new")
    house.ok("vm", "delete", "before", "after")
    house.ok("image", "delete", "app")
    left = [f for f in files(house) if f.startswith("image/")]
    assert len({f.split("/")[1] for f in left}) == 1, left


def garbage(house):
    """what is no image or kernel is refused clearly and leaves nothing"""
    before = files(house)
    (house.dir / "random").write_bytes(os.urandom(100000))
    (house.dir / "empty").write_bytes(b"")
    tar = live.the_input("debian")
    with open(tar, "rb") as f:
        (house.dir / "cut").write_bytes(f.read(3000000))
    for kind in ("image", "kernel"):
        for name in ("random", "empty", "cut"):
            error = house.fails(kind, "import", "bad", str(house.dir / name))
            assert error["message"] and error["code"] != "internal", (kind, name, error)
        assert house.fails(kind, "import", "bad", str(house.dir / "nosuch"))
        assert house.run(kind, "import", "Bad Name", str(house.dir / "random")).code in (1, 2)
    assert files(house) == before, set(files(house)) ^ set(before)
    assert [i["name"] for i in house.json("image", "list")] == ["debian"]


def interrupted(house):
    """Ctrl-C and SIGKILL in the middle of an import leave nothing"""
    before = files(house)
    for kind in ("image", "kernel"):
        for number in (signal.SIGINT, signal.SIGKILL):
            events = house.events()
            read, write = os.pipe()
            child = house.popen(kind, "import", "new", "-", stdin=read)
            os.close(read)
            with open(live.the_input("debian" if kind == "image" else "kernel"), "rb") as f:
                os.write(write, f.read(60000))
            events.await_event(state="begun")
            child.send_signal(number)
            child.communicate(timeout=live.PATIENCE)
            os.close(write)
            assert child.returncode in (130, -signal.SIGKILL), (kind, child.returncode)
            next(e for e in events if "stage" not in e and e["state"] in ("failed", "cancelled"))
            assert files(house) == before, (kind, number, set(files(house)) ^ set(before))
            assert not [n for n in live.processes_of(house.dir).values() if n != "bangerd"]


def daemon_killed(house):
    """kill -9 of the daemon in the middle of an import leaves nothing after its next start"""
    before = files(house)
    for kind in ("image", "kernel"):
        events = house.events()
        read, write = os.pipe()
        child = house.popen(kind, "import", "new", "-", stdin=read)
        os.close(read)
        os.write(write, b"\x1f\x8b" + bytes(1000))
        events.await_event(state="begun")
        house.kill_daemon()
        os.close(write)
        child.communicate(timeout=live.PATIENCE)
        assert child.returncode != 0
        house.ok("daemon", "start")
        house.ok(kind, "list")  # answered when what was open is settled
        assert files(house) == before, (kind, set(files(house)) ^ set(before))


def from_a_pipe(house):
    """a compressed tar from a pipe, with its own user and size"""
    tar = subprocess.run(["tar", "-C", small_tree(house, "piped"), "-c", "."], check=True,
                         capture_output=True, timeout=live.PATIENCE).stdout
    packed = subprocess.run(["gzip", "-1"], input=tar, check=True, capture_output=True,
                            timeout=live.PATIENCE).stdout
    house.ok("image", "import", "--size", "200M", "piped", "-", input=packed)
    info = house.json("image", "show", "piped")
    assert info["facts"]["size"] == 200 * 1024 * 1024, info
    house.create("m", image="piped")
    assert house.sh("m", "cat /word") == "piped"


def kernels(house):
    """kernels: list, show, import of an ELF, default; one that is not there is named"""
    assert [k["name"] for k in house.json("kernel", "list")] == ["debian"]
    facts = house.json("kernel", "show", "debian")["facts"]
    assert facts["modules"] > 0 and facts["pvh"], facts
    error = house.fails("vm", "create", "--image", "debian", "--kernel", "nosuch")
    assert error["code"] == "not_found" and "nosuch" in error["message"], error
    assert house.vms() == {} and not house.leftovers()
    elf = next((house.state / "kernel").glob("*/vmlinux"))
    house.ok("kernel", "import", "plain", str(elf))
    assert house.json("kernel", "show", "plain")["facts"]["modules"] == 0
    house.ok("kernel", "default", "plain")
    assert b"plain" in house.ok("kernel", "default")
    house.ok("kernel", "delete", "plain")
    assert [k["name"] for k in house.json("kernel", "list")] == ["debian"]


if __name__ == "__main__":
    live.main([in_use, replace, garbage, interrupted, daemon_killed, from_a_pipe, kernels])
