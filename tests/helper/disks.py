#!/usr/bin/env python3
"""Files of disk images, read and written through the helper (row F3; H12, H13, H15-H18)."""
import ctypes
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import rig as rigs  # noqa: E402  pylint: disable=wrong-import-position
import disk  # noqa: E402  pylint: disable=wrong-import-position

KIB = 1024
RACE_SECONDS = float(os.environ.get("BANGER_RACE_SECONDS", "5"))
HOSTILE = int(os.environ.get("BANGER_HOSTILE_IMAGES", "1000"))
READ, WRITE = "priv.read_ext4_file", "priv.write_ext4_files"


def one_file(path="/x", data=b"x", mode=0o644, uid=0, gid=0):
    return {"path": path, "data": data, "mode": mode, "uid": uid, "gid": gid}


def read(rig, image, path):
    return rig.ask(READ, image_path=str(image), guest_path=path)["data"]


def write(rig, image, *files):
    return rig.ask(WRITE, image_path=str(image), files=list(files))


def refused_path(rig, code, path):
    """Both verbs refuse the image."""
    rig.refused(code, "image_path", READ, image_path=path, guest_path="/hello")
    rig.refused(code, "image_path", WRITE, image_path=path, files=[one_file()])


def images_are_judged(rig):
    """An image is a file of the owner's beneath the state directory, or it is refused"""
    image = disk.make(rig, "a/disk.ext4")
    state = str(rig.state)
    for path in ("/etc/passwd", "/proc/self/mem", "/dev/zero", "/", state, state + "x/disk.ext4",
                 str(rig.runtime / "disk"), "/dev/mapper/control", "/dev/mapper/other",
                 "/dev/mapper/fc-rootfs-", "/dev/mapper/fc-rootfs-A", "/dev/mapper/fc-rootfs-a/b",
                 f"{state}/a/../a/disk.ext4", f"{state}/./a/disk.ext4", f"{state}//a/disk.ext4",
                 f"{state}/a/disk.ext4/", "a/disk.ext4", f"{state}/a/disk.ext4\0", ""):
        refused_path(rig, "invalid_value", path)
    for kind, path in disk.strange_files(rig, image).items():
        code = {"foreign": "not_owned", "root's": "not_owned", "absent": "not_found",
                "below a file": "not_found"}.get(kind, "denied")
        refused_path(rig, code, path)
    refused_path(rig, ("not_found", "unsupported"), "/dev/mapper/fc-rootfs-nobody")
    assert read(rig, image, "/hello") == b"hello"
    write(rig, image, one_file("/x", b"y"))
    assert read(rig, image, "/x") == b"y"


def sockets_are_refused(rig):
    """A socket, a device and a FIFO are refused without being opened, at once (H15)"""
    s = socket.socket(socket.AF_UNIX)
    s.bind(str(rig.state / "socket"))
    os.mkfifo(rig.state / "fifo")
    os.mknod(rig.state / "zero", 0o600 | 0o020000, os.makedev(1, 5))
    os.mknod(rig.state / "disk", 0o600 | 0o060000, os.makedev(7, 0))
    for name in ("socket", "fifo", "zero", "disk"):
        os.chown(rig.state / name, rigs.OWNER, rigs.OWNER)
        begun = time.monotonic()
        refused_path(rig, "denied", str(rig.state / name))
        assert time.monotonic() - begun < 5
    s.close()


def guest_paths_are_judged(rig):
    """A guest path is absolute and clean, and no link is followed on it"""
    image = disk.make(rig, "disk.ext4")
    deep = "/" + "/".join(["d"] * 65)
    for path in ("hello", "", "/", "/a/../hello", "/./hello", "//hello", "/hello/", "/..",
                 "/hello\0", "/" + "n" * 256, deep, "/" + "p" * 4096):
        rig.refused("invalid_value", "guest_path", READ, image_path=str(image), guest_path=path) \
            if len(path) < 4096 else rig.refused(("invalid_value", "too_large"), "guest_path", READ,
                                                 image_path=str(image), guest_path=path)
        code = ("invalid_value", "too_large")
        rig.refused(code, "path", WRITE, image_path=str(image), files=[one_file(path)])
    for path, code in (("/nothing", "not_found"), ("/no/thing", "not_found"),
                       ("/directory", "conflict"), ("/link", "denied"), ("/up/hello", "denied"),
                       ("/hello/x", "conflict"), ("/large", "too_large"), ("/fifo", "conflict")):
        rig.refused(code, "guest_path", READ, image_path=str(image), guest_path=path)
        if not code.startswith(("not", "too")):
            rig.refused(code, "path", WRITE, image_path=str(image), files=[one_file(path)])
    assert read(rig, image, "/directory/inner") == b"inner"
    assert read(rig, image, "/hello") == b"hello"
    assert read(rig, image, "/full") == b"f" * 48 * KIB
    disk.check(image)


def sizes_are_judged(rig):
    """At most 48 KiB a request, 64 files, modes and ids in range"""
    image = disk.make(rig, "disk.ext4")
    before = disk.hash_of(image)

    def no(code, field, *files):
        rig.refused(code, field, WRITE, image_path=str(image), files=list(files))

    no("too_large", "data", one_file(data=b"x" * (48 * KIB + 1)))
    no("too_large", "data", one_file("/a", b"x" * 24 * KIB), one_file("/b", b"x" * (24 * KIB + 1)))
    no(("invalid_value", "too_large"), "files", *[one_file(f"/{n}", b"") for n in range(65)])
    no(("invalid_value", "too_large"), "files")
    no("invalid_value", "mode", one_file(mode=0o10000))
    no("invalid_value", "mode", one_file(mode=-1))
    no("invalid_value", "uid", one_file(uid=2 ** 32 - 1))
    no("invalid_value", "gid", one_file(gid=2 ** 32 - 1))
    no("unknown_field", "device", {**one_file(), "device": 1})
    assert disk.hash_of(image) == before
    write(rig, image, one_file("/a", b"x" * 24 * KIB), one_file("/b", b"y" * 24 * KIB))
    write(rig, image, *[one_file(f"/many/{n}", b"") for n in range(64)])
    assert read(rig, image, "/b") == b"y" * 24 * KIB and read(rig, image, "/many/63") == b""
    disk.check(image)


def writes_are_sound(rig):
    """What is written is there, with mode and owner, and the filesystem is sound, of every make"""
    for number, options in enumerate(disk.MAKES):
        image = disk.make(rig, f"make-{number}.ext4", options)
        big, now = random.Random(number).randbytes(40 * KIB), time.time()
        write(rig, image, one_file("/new/deep/er/file", big, 0o640, 1000, 100000),
              one_file("/hello", b"replaced", 0o4755, 70000, 7), one_file("/directory/none", b""))
        for count in range(3):
            write(rig, image, *[one_file(f"/many/{count}-{n:03}-{'n' * 100}", b"%d" % n)
                                for n in range(60)])
        write(rig, image, one_file("/twin-a", b"only a's now"))
        disk.check(image)
        assert read(rig, image, "/new/deep/er/file") == big, options
        assert read(rig, image, "/hello") == b"replaced"
        assert read(rig, image, "/twin-a") == b"only a's now"
        assert read(rig, image, "/twin-b") == b"twins"
        assert read(rig, image, f"/many/2-059-{'n' * 100}") == b"59"
        stat = disk.stat(image, "/new/deep/er/file")
        assert (stat["mode"], stat["uid"], stat["gid"]) == (0o640, 1000, 100000), stat
        assert abs(stat["mtime"] - now) < 60, stat
        stat = disk.stat(image, "/hello")
        assert (stat["mode"], stat["uid"], stat["gid"]) == (0o4755, 70000, 7), stat
        stat = disk.stat(image, "/new/deep")
        assert (stat["mode"], stat["uid"], stat["gid"]) == (0o755, 0, 0), stat


def full_disks_stay_sound(rig):
    """A filesystem without room answers no_space and stays sound"""
    image = disk.make(rig, "small.ext4", size=2 * 1024 * KIB)
    for number in range(100):
        try:
            write(rig, image, one_file(f"/fill/{number}", b"x" * 48 * KIB))
        except rigs.Refused as error:
            assert (error.code, error.field) == ("no_space", "image_path"), error
            break
    else:
        raise AssertionError("it never was full")
    disk.check(image)
    size = image.stat().st_size
    write(rig, image, one_file("/hello", b""))
    assert image.stat().st_size == size


def busy_images_are_refused(rig):
    """An image that somebody has open is refused, and served once it is let go"""
    image = disk.make(rig, "disk.ext4")
    with open(image, "r+b"):
        refused_path(rig, "busy", str(image))
    with open(image, "rb"):
        rig.refused("busy", "image_path", WRITE, image_path=str(image), files=[one_file()])
        assert read(rig, image, "/hello") == b"hello"
    with disk.Loop(image):
        refused_path(rig, "busy", str(image))
    rig.wait_for(lambda: not disk.loops_of(image), "the loop device stays")
    write(rig, image, one_file("/x", b"free"))
    assert read(rig, image, "/x") == b"free"


def unclean_images_are_refused(rig):
    """A filesystem with a journal to replay, or marked unclean, is refused with what to do"""
    image = disk.make(rig, "disk.ext4")
    disk.debugfs(image, "feature needs_recovery", writable=True)
    refused_path(rig, "conflict", str(image))
    disk.debugfs(image, "feature -needs_recovery", writable=True)
    assert read(rig, image, "/hello") == b"hello"
    disk.debugfs(image, "set_super_value state 0", writable=True)
    refused_path(rig, "conflict", str(image))
    for junk in (b"", b"\0" * 4096, os.urandom(256 * KIB)):
        refused_path(rig, "invalid_value", str(rig.owner_file("junk", junk)))


def requests_for_one_image_queue(rig):
    """Requests for one image at once are served one after the other"""
    image = disk.make(rig, "disk.ext4")
    clients = [rig.client() for _ in range(12)]
    for number, client in enumerate(clients):
        client.begin(WRITE, image_path=str(image), files=[one_file(f"/q/{number}", b"%d" % number)])
    for client in clients:
        assert client.receive()[2] is None
    assert [read(rig, image, f"/q/{n}") for n in range(12)] == [b"%d" % n for n in range(12)]
    disk.check(image)


def hostile_images_end_children_only(rig):
    """A thousand mutated images get an answer or a typed error; the helper lives on (I18)"""
    image = disk.make(rig, "seed.ext4", size=1024 * KIB)
    good, chance = image.read_bytes(), random.Random(4)
    target, answers = rig.state / "seed.ext4", {}
    client = rig.client()
    client.ask("priv.ping")  # it has been accepted, and counts
    fds = rig.fds()
    for _ in range(HOSTILE):
        bad = disk.mutate(good, chance)
        with open(target, "r+b") as f:
            f.write(bad)
        for method, rest in ((READ, {"guest_path": chance.choice(disk.PATHS)}),
                             (WRITE, {"files": [one_file("/directory/a/b", b"z" * 3000),
                                                one_file("/hello", b"new")]})):
            try:
                client.ask(method, image_path=str(target), **rest)
                code = "ok"
            except rigs.Refused as error:
                code = error.code
            answers[code] = answers.get(code, 0) + 1
        assert target.stat().st_size == len(good), "the file grew"
    print(f"# {answers}")
    assert "internal" not in answers, answers
    assert rig.fds() <= fds, (rig.fds(), fds)
    assert answers.get("ok") and answers.get("invalid_value")


class Swapper(threading.Thread):
    """Exchanges two names as fast as it can (H13)."""

    def __init__(self, one, other):
        super().__init__(daemon=True)
        self.one, self.other = os.fsencode(one), os.fsencode(other)
        self.go, self.count = True, 0
        self.start()

    def run(self):
        libc = ctypes.CDLL(None, use_errno=True)
        while self.go:
            if libc.renameat2(-100, self.one, -100, self.other, 2) == 0:
                self.count += 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.go = False
        self.join()


def races_never_win(rig):
    """RENAME_EXCHANGE of a directory with a link, and of a file with one, never leads outside (H13)"""
    inside = disk.make(rig, "real/disk.ext4", hello=b"inside")
    outside = rig.base / "outside"
    outside.mkdir(mode=0o755)
    secret = outside / "disk.ext4"
    secret.write_bytes(disk.make(rig, "tmp.ext4", hello=b"secret").read_bytes())
    os.chown(secret, rigs.OWNER, rigs.OWNER)  # so that the path is all that keeps it
    os.symlink(outside, rig.state / "link")
    os.symlink(secret, rig.state / "real/link.ext4")
    before, client, seen = disk.hash_of(secret), rig.client(), {"won": 0, "served": 0, "refused": 0}

    def attempt(method, **rest):
        try:
            answer = client.ask(method, **rest)
            seen["won" if answer.get("data") == b"secret" else "served"] += 1
        except rigs.Refused as error:
            assert error.code in ("denied", "not_found", "conflict", "busy"), error
            assert error.field in ("image_path", "base_path", "cow_path", "guest_path"), error
            seen["refused"] += 1

    for one, other, path in ((rig.state / "real", rig.state / "link", "real/disk.ext4"),
                             (inside, rig.state / "real/link.ext4", "real/disk.ext4")):
        with Swapper(one, other) as swapper:
            end = time.monotonic() + RACE_SECONDS / 2
            while time.monotonic() < end:
                image = str(rig.state / path)
                attempt(READ, image_path=image, guest_path="/hello")
                attempt(WRITE, image_path=image, files=[one_file("/x", b"y")])
                try:
                    rig.ask("priv.create_dm_snapshot", vm_id="race", base_path=image,
                            cow_path=image)
                    raise AssertionError("a snapshot of one file over itself")
                except rigs.Refused:
                    pass
        assert swapper.count > 100, swapper.count
        if swapper.count % 2:  # back to how it was
            os.rename(one, str(one) + ".t")
            os.rename(other, one)
            os.rename(str(one) + ".t", other)
    print(f"# {seen}, the exchange ran {swapper.count} times in the last half")
    assert seen["won"] == 0 and disk.hash_of(secret) == before
    assert seen["served"] > 0 and seen["refused"] > 0, seen


def swaps_after_the_check_change_nothing(rig):
    """The file that was checked is the one that is written, whatever its name stands for now (H17)"""
    libc = ctypes.CDLL(None, use_errno=True)
    for _ in range(20):
        image = disk.make(rig, "disk.ext4", hello=b"first")
        other = disk.make(rig, "other.ext4", hello=b"other")
        kept, before = rig.state / "kept.ext4", disk.hash_of(other)
        watch = libc.inotify_init1(0)
        libc.inotify_add_watch(watch, os.fsencode(image), 0x20)  # IN_OPEN
        client = rig.client()
        client.begin(WRITE, image_path=str(image), files=[one_file("/x", b"checked")])
        os.read(watch, 4096)
        os.rename(image, kept)
        os.rename(other, image)
        assert client.receive()[2] is None
        os.close(watch)
        assert disk.hash_of(image) == before, "the other file was written"
        assert read(rig, kept, "/x") == b"checked"


class Fuse:
    """A FUSE filesystem that takes every request and answers none but the first (H16)."""

    def __init__(self, where):
        self.where, self.fd = str(where), os.open("/dev/fuse", os.O_RDWR)
        libc = ctypes.CDLL(None, use_errno=True)
        options = f"fd={self.fd},rootmode=40000,user_id=0,group_id=0,allow_other"
        if libc.mount(b"hang", os.fsencode(where), b"fuse", 0, options.encode()):
            raise rigs.Skip(f"cannot mount FUSE: {os.strerror(ctypes.get_errno())}")
        unique = struct.unpack_from("<IIQ", os.read(self.fd, 1 << 20))[2]
        os.write(self.fd, struct.pack("<IiQ", 80, 0, unique) +
                 struct.pack("<IIIIHHI", 7, 31, 65536, 0, 12, 10, 65536) + bytes(40))
        self.thread = threading.Thread(target=self.swallow, daemon=True)
        self.thread.start()

    def swallow(self):
        try:
            while os.read(self.fd, 1 << 20):
                pass
        except OSError:
            pass

    def end(self):
        for conn in Path("/sys/fs/fuse/connections").glob("*/abort"):
            conn.write_text("1")
        ctypes.CDLL(None).umount2(os.fsencode(self.where), 2)
        os.close(self.fd)


def hung_filesystems_hold_up_nobody(rig):
    """A file system that never answers costs one request its deadline; others are served (H16)"""
    if not os.path.exists("/dev/fuse"):
        raise rigs.Skip("no /dev/fuse")
    image = disk.make(rig, "disk.ext4")
    hang = rig.state / "hang"
    hang.mkdir()
    os.chown(hang, rigs.OWNER, rigs.OWNER)
    subprocess.run(["mount", "-t", "fusectl", "none", "/sys/fs/fuse/connections"],
                   check=False, capture_output=True)
    fuse = Fuse(hang)
    try:
        client, begun = rig.client(), time.monotonic()
        client.begin(READ, image_path=str(hang / "x"), guest_path="/hello")
        while time.monotonic() - begun < 3:
            asked = time.monotonic()
            assert read(rig, image, "/hello") == b"hello"
            assert time.monotonic() - asked < 2
        error = client.receive()[2]
        assert error and error["code"] == "timeout", error
        assert read(rig, image, "/hello") == b"hello"
    finally:
        fuse.end()
    rig.wait_for(lambda: not disk.children_of(rig.child.pid), "its child stays")


rigs.main([images_are_judged, sockets_are_refused, guest_paths_are_judged, sizes_are_judged,
           writes_are_sound, full_disks_stay_sound, busy_images_are_refused,
           unclean_images_are_refused, requests_for_one_image_queue,
           hostile_images_end_children_only, races_never_win,
           swaps_after_the_check_change_nothing, hung_filesystems_hold_up_nobody])
