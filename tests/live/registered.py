#!/usr/bin/env python3
"""Images whose files the user keeps: registered, replaced in place, promoted, pruned (C1, C7)."""
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import live  # noqa: E402


def ext4(house, name, word, *flags):
    """A root filesystem with busybox that says a word, made by mke2fs as its user would."""
    tree = house.dir / f"tree-{name}"
    live.busybox_tree(tree)
    (tree / "word").write_text(word)
    (tree / "root").mkdir()
    (tree / "root/.profile").write_text("seed\n")
    (tree / "root/big").write_bytes(b"x" * 300000)
    path = house.dir / f"{name}.ext4"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", *flags, "-d", str(tree), str(path), "128M"],
                   check=True, timeout=live.PATIENCE, env={"PATH": "/usr/sbin:/sbin:/usr/bin"})
    return path


def registered(house):
    """register, start, replace in place: machines go on with what they have, new ones do not"""
    # small blocks, maps instead of extents, no checksums: whatever a user's mke2fs makes
    one = ext4(house, "one", "one", "-b", "1024", "-O", "^extents,^metadata_csum,^64bit")
    two = ext4(house, "two", "two")
    assert house.ok("image", "register", "mine", str(one)) == b"mine\n"
    info = house.json("image", "show", "mine")
    assert (info["managed"], info["root"]) == (False, str(one)), info
    assert info["facts"]["init"] == "none" and info["facts"]["home"] == "/root", info
    assert house.fails("image", "register", "mine", str(two))["code"] == "exists"
    house.create("before", image="mine")
    assert house.sh("before", "cat /word; cat ~/.profile; wc -c <~/big") == "oneseed\n300000\n"
    house.sh("before", "echo kept >/kept; echo kept >~/kept")
    house.ok("image", "register", "--replace", "--service", "web:80", "mine", str(two))
    again = house.json("image", "show", "mine")
    assert (again["id"], again["root"]) == (info["id"], str(two)), again
    assert again["facts"]["config"]["services"] == ["web:80"]
    house.create("after", "--no-services", image="mine")
    assert house.sh("after", "cat /word") == "two"
    house.ok("vm", "stop", "before")
    house.ok("vm", "start", "--no-services", "before")
    assert house.sh("before", "cat /word; cat /kept ~/kept") == "onekept\nkept\n"
    house.ok("vm", "delete", "before", "after")
    house.ok("image", "delete", "mine")
    assert one.exists() and two.exists()
    # what is managed is left alone
    error = house.fails("image", "register", "--replace", "debian", str(one))
    assert error["code"] == "conflict" and "managed" in error["message"], error


def own_kernel(house):
    """an image's own kernel is what its machines boot, unless they name another"""
    one = ext4(house, "one", "one")
    house.ok("kernel", "import", "plain", str(next((house.state / "kernel").glob("*/vmlinux"))))
    house.ok("image", "register", "--kernel", "plain", "mine", str(one))
    house.ok("image", "import", "--kernel", "nosuch", "other", str(house.dir / "tree-one"))
    house.create("a", "--no-start", image="mine")
    house.create("b", "--no-start", "--kernel", "debian", image="mine")
    house.create("c", "--no-start")
    assert [house.vm(m)["kernel"] for m in "abc"] == ["plain", "debian", "debian"]
    error = house.fails("vm", "create", "--image", "other")
    assert error["code"] == "not_found" and "nosuch" in error["message"], error
    house.ok("image", "promote", "mine")
    assert house.json("image", "show", "mine")["kernel"] == "plain"
    house.create("d", "--kernel", "debian", image="other")
    house.ok("vm", "restart", "d")
    assert house.vm("d")["kernel"] == "debian"


def missing(house):
    """a registered file that is not there is told of, and back again all goes on"""
    one = ext4(house, "one", "one")
    house.ok("image", "register", "mine", str(one))
    house.create("m", image="mine")
    house.ok("vm", "stop", "m")
    away = one.rename(house.dir / "away")
    house.ok("daemon", "stop")
    house.ok("daemon", "start")
    assert house.json("image", "show", "mine")["missing"] == [str(one)]
    assert b"not there" in house.ok("image", "list")
    for words in (("vm", "create", "--image", "mine"), ("vm", "start", "m"),
                  ("image", "promote", "mine")):
        error = house.fails(*words)
        assert error["code"] == "not_found" and str(one) in error["message"], error
    assert [i["name"] for i in house.json("image", "list")] == ["debian", "mine"]
    away.rename(one)
    assert "missing" not in house.json("image", "show", "mine") or \
        house.json("image", "show", "mine")["missing"] == []
    house.ok("vm", "start", "m")
    assert house.sh("m", "cat /word") == "one"


def refused(house):
    """what is no root filesystem is refused clearly, and leaves nothing"""
    before = sorted((house.state / "image").rglob("*"))
    (house.dir / "noise").write_bytes(os.urandom(1 << 20))
    (house.dir / "empty").write_bytes(b"")
    good = ext4(house, "good", "x")
    cut = house.dir / "cut"
    cut.write_bytes(good.read_bytes()[:2 << 20])
    dirty = house.dir / "dirty"
    data = bytearray(good.read_bytes())
    data[1024 + 58:1024 + 60] = b"\0\0"  # s_state: mounted
    dirty.write_bytes(data)
    for path, code in (("noise", "invalid_value"), ("empty", "invalid_value"), ("cut", None),
                       ("dirty", None), ("nosuch", "not_found")):
        error = house.fails("image", "register", "bad", str(house.dir / path))
        assert error["code"] == code or (code is None and error["code"] != "internal"), error
    error = house.fails("image", "register", "bad", str(house.dir))
    assert error["code"] == "invalid_value", error
    assert house.run("image", "register", "--user", "nobody-here", "bad", str(good)).code == 1
    assert sorted((house.state / "image").rglob("*")) == before
    # a file system that is broken in any place never breaks more than its own registration
    pid = house.daemon()
    for i in range(40):
        bad = bytearray(data)
        bad[1024 + 58:1024 + 60] = b"\1\0"
        for _ in range(200):
            at = int.from_bytes(os.urandom(4), "big") % (3 << 20)
            bad[at] = os.urandom(1)[0]
        dirty.write_bytes(bad)
        done = house.run("--json", "image", "register", f"bad{i}", str(dirty))
        assert done.code in (0, 1), done.err
    assert house.daemon() == pid
    names = [i["name"] for i in house.json("image", "list") if i["name"].startswith("bad")]
    if names:
        house.ok("image", "delete", *names)
    assert sorted((house.state / "image").rglob("*")) == before


def promoted(house):
    """promote: banger owns a copy, under the same id; machines before and after go on"""
    one = ext4(house, "one", "one")
    house.ok("image", "register", "mine", str(one))
    info = house.json("image", "show", "mine")
    house.create("before", image="mine")
    house.ok("image", "promote", "mine")
    now = house.json("image", "show", "mine")
    assert now["managed"] and now["id"] == info["id"] and not now.get("root"), now
    assert now["facts"]["digest"] == info["facts"]["digest"], (now, info)
    assert house.fails("image", "promote", "mine")["code"] == "conflict"
    assert house.sh("before", "cat /word") == "one"
    house.ok("vm", "delete", "before")
    one.unlink()
    house.create("after", image="mine")
    assert house.sh("after", "cat /word; cat ~/.profile") == "oneseed\n"
    for disk in (house.state / "image" / info["id"]).iterdir():
        subprocess.run(["/usr/sbin/e2fsck", "-fn", str(disk)], check=True, capture_output=True,
                       timeout=live.PATIENCE)


def pruned(house):
    """prune: dry run and real with bytes; what is used, default or the user's stays"""
    (house.dir / "c/config.yaml").write_text("default_image: debian\n")
    house.ok("daemon", "stop")
    one = ext4(house, "one", "one")
    house.ok("image", "register", "mine", str(one))
    for name in ("used", "unused"):
        house.ok("image", "import", name, str(house.dir / "tree-one"))
    house.create("m", "--no-start", image="used")
    lost = house.state / "image/lost1234"
    lost.mkdir()
    (lost / "root.ext4").write_bytes(b"x" * 1000000)
    dry = house.json("image", "prune", "--dry-run")
    assert dry["dry_run"] and [(i["kind"], i["name"]) for i in dry["items"]] == \
        [("leftover", "lost1234")], dry
    assert 1000000 <= dry["bytes"] <= 1100000, dry
    dry = house.json("image", "prune", "--all", "--dry-run")
    assert [i["name"] for i in dry["items"]] == ["lost1234", "unused"], dry
    assert lost.exists() and b"would free" in house.ok("image", "prune", "-n", "--all")
    took = sum(f.stat().st_blocks * 512 for f in
               (house.state / "image" / house.json("image", "show", "unused")["id"]).iterdir())
    real = house.json("image", "prune", "--all")
    assert not real["dry_run"] and real["bytes"] == dry["bytes"], (real, dry)
    assert real["items"][1]["bytes"] == took, (real, took)
    assert [i["name"] for i in house.json("image", "list")] == ["debian", "mine", "used"]
    assert not lost.exists() and one.exists()
    assert house.json("image", "prune", "--all")["items"] == []


def window(house):
    """nothing is visible before it is whole, whenever the daemon is killed (row C6)"""
    one = ext4(house, "one", "one")
    events = house.events()
    read, write = os.pipe()
    child = house.popen("image", "import", "slow", "-", stdin=read)
    os.close(read)
    with open(live.the_input("debian"), "rb") as f:
        os.write(write, f.read(60000))
    events.await_event(state="begun", stage="unpack")
    assert [i["name"] for i in house.json("image", "list")] == ["debian"]
    assert house.fails("image", "show", "slow")["code"] == "not_found"
    assert house.fails("vm", "create", "--image", "slow")["code"] == "not_found"
    error = house.fails("image", "register", "slow", str(one))
    assert error["code"] == "busy" and "slow" in error["message"], error
    child.kill()
    child.communicate()
    os.close(write)
    for stage in ("prepare", "inspect", "publish", "record"):
        killed(house, stage, "image", "register", "mine", str(one))
        names = [i["name"] for i in house.json("image", "list")]
        assert names in (["debian"], ["debian", "mine"]), names
        if "mine" in names:
            house.ok("image", "delete", "mine")
    house.ok("image", "register", "mine", str(one))
    before = house.json("image", "show", "mine")
    for stage in ("prepare", "copy", "inspect", "swap", "record"):
        killed(house, stage, "image", "promote", "mine")
        now = house.json("image", "show", "mine")
        assert now["id"] == before["id"], now
        house.create(f"m-{stage}", "--no-start", image="mine")
        if now["managed"]:
            break
    left = [p.name for p in (house.state / "image").iterdir()]
    assert not [n for n in left if n.startswith(".")] and len(left) == 2, left
    house.ok("vm", "start", "m-prepare")
    assert house.sh("m-prepare", "cat /word") == "one"


def killed(house, stage, *words):
    """kill -9 of the daemon when a stage begins."""
    events = house.events()
    child = house.popen(*words)
    events.await_event(state="begun", stage=stage)
    house.kill_daemon()
    child.communicate(timeout=live.PATIENCE)
    house.ok("daemon", "start")


if __name__ == "__main__":
    live.main([registered, own_kernel, missing, refused, promoted, pruned, window])
