#!/usr/bin/env python3
"""vm cp both ways: what is there arrives as it is."""
import os
import stat
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import live  # noqa: E402

HOLE = 64 * 1024 * 1024
NAMES = (b"a b", b"new\nline", b"\xff\xfe not utf-8", b"-dash", b"ends with space ", b"'quote\"",
         b"\xc3\xa4", b"x" * 255)


def describe(path, seen):
    """What one entry is, for comparing: kind, mode, time, content or target, link group.

    Special bits are left out: what comes from a guest is never setuid on the host.
    """
    st = os.lstat(path)
    mode = stat.S_IMODE(st.st_mode)
    if stat.S_ISLNK(st.st_mode):
        return ("link", os.readlink(path))
    group = seen.setdefault((st.st_dev, st.st_ino), path) if st.st_nlink > 1 and \
        not stat.S_ISDIR(st.st_mode) else None
    if stat.S_ISDIR(st.st_mode):
        return ("dir", mode & 0o777, int(st.st_mtime))
    if stat.S_ISFIFO(st.st_mode):
        return ("fifo", mode)
    assert stat.S_ISREG(st.st_mode), (path, oct(st.st_mode))
    with open(path, "rb") as f:
        return ("file", mode & 0o777, st.st_mtime_ns, hash(f.read()), group)


def picture(top):
    """Every path beneath top, with what it is."""
    top = os.fsencode(top)
    seen, found = {}, {}
    here = os.getcwd()
    os.chdir(top)
    try:
        for directory, names, files in os.walk(b"."):
            names.sort()
            for name in sorted(names + files):
                path = os.path.join(directory, name)
                found[path] = describe(path, seen)
    finally:
        os.chdir(here)
    return found


def make_tree(top):
    (top / "dir/deep").mkdir(parents=True)
    (top / "plain").write_bytes(os.urandom(300000))
    (top / "empty").write_bytes(b"")
    for mode in (0o400, 0o755, 0o640, 0o4711, 0o2755):
        path = top / f"mode-{mode:o}"
        path.write_bytes(b"x")
        path.chmod(mode)
    (top / "sticky").mkdir()
    (top / "sticky").chmod(0o1777)
    (top / "dir/hard").write_bytes(b"shared")
    os.link(top / "dir/hard", top / "other-hard")
    os.link(top / "dir/hard", top / "dir/deep/third")
    for name, target in (("relative", "dir/hard"), ("absolute", "/etc/passwd"),
                         ("dangling", "nowhere"), ("up", "../.."), ("to-dir", "dir")):
        (top / name).symlink_to(target)
    os.mkfifo(top / "fifo", 0o600)
    for name in NAMES:
        with open(os.path.join(os.fsencode(top), name), "wb") as f:
            f.write(name)
    with open(top / "sparse", "wb") as f:
        f.write(b"begin")
        f.seek(HOLE)
        f.write(b"middle")
        f.truncate(2 * HOLE)
    os.utime(top / "plain", ns=(10**18, 10**18 + 123456789))
    os.utime(top / "dir", (10**9, 10**9))


def compare(a, b):
    one, two = picture(a), picture(b)
    assert one.keys() == two.keys(), (one.keys() ^ two.keys())
    for path, what in one.items():
        assert two[path] == what, (path, what, two[path])
    blocks = [os.stat(os.path.join(d, "sparse")).st_blocks * 512 for d in (a, b)]
    assert blocks[1] < 2 * 1024 * 1024, f"a file of {blocks[0]} bytes now takes {blocks[1]}"


def there_and_back(house):
    """a tree with all kinds of entries comes back from a guest as it went"""
    house.create("m")
    tree, back = house.dir / "tree", house.dir / "back"
    tree.mkdir()
    make_tree(tree)
    house.ok("vm", "cp", str(tree), "m:/root/tree")
    assert house.sh("m", "stat -c '%a %F' /root/tree/fifo; readlink /root/tree/absolute; "
                         "stat -c %h /root/tree/other-hard; cd /root/tree; "
                         "stat -c %a mode-4711 mode-2755 sticky") == \
        "600 fifo\n/etc/passwd\n3\n4711\n2755\n1777\n"
    used = int(house.sh("m", "stat -c %b /root/tree/sparse")) * 512
    assert used < 2 * 1024 * 1024, used
    house.ok("vm", "cp", "m:/root/tree", str(back))
    compare(tree, back)
    assert not [p for p in back.rglob("mode-*") if p.stat().st_mode & 0o6000]


def between_machines(house):
    """a tree goes from one guest to another as it is, into a directory or under a new name"""
    house.create("a")
    house.create("b")
    tree, back = house.dir / "tree", house.dir / "back"
    tree.mkdir()
    make_tree(tree)
    house.ok("vm", "cp", str(tree), "a:/root/tree")
    house.ok("vm", "cp", "a:/root/tree", "b:/root/copy")
    house.ok("vm", "cp", "b:/root/copy", str(back))
    compare(tree, back)
    used = int(house.sh("b", "stat -c %b /root/copy/sparse")) * 512
    assert used < 2 * 1024 * 1024, used
    house.sh("a", "mkdir -p /one && echo 1 >/one/f && head -c 3000000 /dev/urandom >/two")
    house.sh("b", "mkdir -p /in/one && echo old >/in/one/kept")
    house.ok("vm", "cp", "a:/one", "a:/two", "b:/in")
    house.ok("vm", "cp", "a:/one", "b:/in/")
    assert house.sh("b", "cat /in/one/f /in/one/kept; ls /in/one") == "1\nold\nf\nkept\n"
    assert house.sh("a", "sha256sum </two") == house.sh("b", "sha256sum </in/two")
    assert house.fails("vm", "cp", "a:/nosuch", "b:/in")["code"] == "not_found"
    assert house.fails("vm", "cp", "a:/one", "b:/no/such/dir")
    assert house.fails("vm", "cp", "x", "y", code=2)["code"] == "unsupported"
    assert house.sh("b", "ls /in") == "one\ntwo\n"


def fetched(house):
    """run --fetch: here before --rm deletes, also when the command failed or ran out of time"""
    run = ("vm", "run", "--rm", "--image", "debian")
    script = "mkdir /out && echo hi >/out/x && ln -s x /out/l && echo b >/b; exit 7"
    began = time.monotonic()
    done = house.run(*run, "--fetch", "/out:there", "--fetch", "/b", "--", "sh", "-c", script,
                     cwd=house.dir)
    assert done.code == 7, (done.code, done.err)
    limit = f"{2 + int(2 * (time.monotonic() - began))}s"  # a boot fits in it
    assert (house.dir / "there/l").read_text() == "hi\n" and (house.dir / "b").read_text() == "b\n"
    done = house.run(*run, "--fetch", "/nosuch", "--", "true", cwd=house.dir)
    assert done.code == 125 and b"nosuch" in done.err, (done.code, done.err)
    done = house.run("--json", *run, "--timeout", limit, "--fetch", "/b:late", "--", "sh", "-c",
                     "echo late >/b; sleep 1000", cwd=house.dir)
    assert done.code == 125 and b'"timeout"' in done.out + done.err, (done.code, done.out, done.err)
    assert (house.dir / "late").read_text() == "late\n"
    assert house.fails(*run, "--fetch", "b", "--", "true", code=125)["field"] == "fetch"
    assert house.vms() == {}


def many_files(house):
    """2,000 small files both ways"""
    house.create("m")
    tree, back = house.dir / "many", house.dir / "back"
    for i in range(2000):
        path = tree / f"d{i % 20}" / f"f{i}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d\n" % i * (i % 50))
    house.ok("vm", "cp", str(tree), "m:/tmp/many")
    assert house.sh("m", "find /tmp/many -type f | wc -l").strip() == "2000"
    house.ok("vm", "cp", "m:/tmp/many", str(back))
    assert picture(tree) == picture(back)


def where_to(house):
    """into a directory that is there, else as the new name; several sources; --parents"""
    house.create("m")
    for name in ("one", "two"):
        (house.dir / name).write_text(name)
    house.ok("vm", "cp", str(house.dir / "one"), "m:/tmp/")
    house.ok("vm", "cp", str(house.dir / "one"), "m:/tmp/new")
    house.ok("vm", "cp", str(house.dir / "one"), str(house.dir / "two"), "m:/srv")
    house.ok("vm", "cp", "--parents", str(house.dir / "one"), "m:/a/b/c")
    house.ok("vm", "cp", "--user", "nobody", str(house.dir / "one"), "m:/tmp/theirs")
    assert house.sh("m", "cat /tmp/one /tmp/new /srv/one /srv/two /a/b/c; "
                         "stat -c %U /tmp/theirs /tmp/new") == "oneoneonetwoonenobody\nroot\n"
    (house.dir / "to").mkdir()
    house.ok("vm", "cp", "m:/srv/one", "m:/srv/two", str(house.dir / "to"))
    assert sorted(p.name for p in (house.dir / "to").iterdir()) == ["one", "two"]
    house.sh("m", "ln -s /srv/one /tmp/link")
    house.ok("vm", "cp", "m:/tmp/link", str(house.dir / "as-link"))
    house.ok("vm", "cp", "-L", "m:/tmp/link", str(house.dir / "as-file"))
    assert os.readlink(house.dir / "as-link") == "/srv/one"
    assert (house.dir / "as-file").read_text() == "one"


def refusals(house):
    """what cannot be copied is a clear error, and leaves nothing half done"""
    house.create("m")
    (house.dir / "one").write_text("one")
    assert house.fails("vm", "cp", "m:/nosuch", str(house.dir / "x"))["code"] == "not_found"
    assert not (house.dir / "x").exists()
    assert house.fails("vm", "cp", str(house.dir / "one"), "m:/no/such/dir")
    assert house.fails("vm", "cp", str(house.dir / "nosuch"), "m:/tmp")
    assert house.fails("vm", "cp", str(house.dir / "one"), "nosuch:/tmp")["code"] == "not_found"
    assert house.fails("vm", "cp", str(house.dir / "one"), "m:/proc/version/x")
    house.sh("m", "mkdir /tmp/t && cd /tmp/t && ln -s /etc evil")
    (house.dir / "t/evil").mkdir(parents=True)
    (house.dir / "t/evil/banger-was-here").write_text("x")
    house.run("vm", "cp", str(house.dir / "t"), "m:/tmp/")
    assert house.sh("m", "ls /etc | grep -c banger-was-here || true") == "0\n", \
        "a link in the guest was followed"


def full_guest(house):
    """a guest whose disk is full says so"""
    house.create("m")
    house.sh("m", "mkdir /small && mount -t tmpfs -o size=1m none /small")
    (house.dir / "big").write_bytes(os.urandom(4000000))
    error = house.fails("vm", "cp", str(house.dir / "big"), "m:/small/")
    assert error["code"] == "no_space", error
    assert house.sh("m", "echo well") == "well\n"


if __name__ == "__main__":
    live.main([there_and_back, between_machines, fetched, many_files, where_to, refusals, full_guest])
