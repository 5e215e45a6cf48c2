"""Disk images for the tests of the helper: made, looked at, broken, attached."""
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import rig as rigs

KIB = 1024
PATHS = ["/hello", "/directory/inner", "/large", "/link", "/up/hello", "/full", "/nothing/at/all"]
# what mke2fs is told beyond the size: the makes of ext2 to ext4 that are about
MAKES = [[], ["-t", "ext2"], ["-t", "ext3"], ["-t", "ext4"], ["-t", "ext4", "-b", "1024"],
         ["-t", "ext4", "-O", "^metadata_csum,^64bit"], ["-t", "ext4", "-O", "^has_journal"],
         ["-t", "ext4", "-O", "inline_data"], ["-t", "ext4", "-I", "128"],
         ["-t", "ext4", "-O", "bigalloc", "-C", "16384"], ["-t", "ext4", "-O", "^dir_index"]]
_made = {}


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def _tree(root, hello):
    """What is in every image; uid and gid of root."""
    (root / "directory").mkdir()
    (root / "hello").write_bytes(hello)
    (root / "directory/inner").write_bytes(b"inner")
    (root / "full").write_bytes(b"f" * 48 * KIB)
    (root / "large").write_bytes(b"l" * (48 * KIB + 1))
    (root / "twin-a").write_bytes(b"twins")
    os.link(root / "twin-a", root / "twin-b")
    os.symlink("/hello", root / "link")
    os.symlink("/directory/..", root / "up")
    os.mkfifo(root / "fifo")


def content(options=(), size=8 * 1024 * KIB, hello=b"hello"):
    """The bytes of an ext4 filesystem; made once for each way of asking."""
    key = (tuple(options), size, hello)
    if key not in _made:
        with tempfile.TemporaryDirectory(dir="/run") as name:
            root, image = Path(name) / "root", Path(name) / "image"
            root.mkdir(mode=0o755)
            _tree(root, hello)
            run("mke2fs", "-q", "-F", *(options or ["-t", "ext4"]), "-d", str(root), str(image),
                f"{size // KIB}k")
            _made[key] = image.read_bytes()
    return _made[key]


def make(rig, name, options=(), size=8 * 1024 * KIB, hello=b"hello"):
    """An image of the owner's; its path."""
    return rig.owner_file(name, content(options, size, hello))


def check(image):
    run("e2fsck", "-fn", str(image))


def hash_of(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def debugfs(image, request, writable=False):
    return run("debugfs", *(["-w"] if writable else []), "-R", request, str(image))


def stat(image, path):
    text = debugfs(image, f"stat {path}")
    return {"mode": int(re.search(r"Mode:\s+(\d+)", text)[1], 8),
            "uid": int(re.search(r"User:\s+(\d+)", text)[1]),
            "gid": int(re.search(r"Group:\s+(\d+)", text)[1]),
            "mtime": int(re.search(r"mtime: 0x([0-9a-f]+)", text)[1], 16)}


def strange_files(rig, image):
    """What an image's path may lead to and must not: kind, path."""
    state = rig.state
    outside = rig.base / "elsewhere"
    shutil.rmtree(outside, ignore_errors=True)
    outside.mkdir(mode=0o755)
    shutil.copy(image, outside / "disk.ext4")
    os.chown(outside / "disk.ext4", rigs.OWNER, rigs.OWNER)

    def name(leaf):
        path = state / leaf
        if path.is_symlink() or path.exists():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        return path

    links = {"link": ("leaf", image), "link out": ("leaf-out", outside / "disk.ext4"),
             "link to /etc": ("etc", "/etc/passwd"), "parent link": ("parent", image.parent),
             "parent link out": ("parent-out", outside), "link to proc": ("fd", "/proc/self/fd")}
    found = {}
    for kind, (leaf, target) in links.items():
        os.symlink(target, name(leaf))
        found[kind] = str(state / leaf) + ("/disk.ext4" if kind.startswith("parent") else "")
    hard = state / "hard.ext4"
    shutil.copy(image, name("hard.ext4"))
    os.link(hard, name("hard-2.ext4"))
    os.chown(hard, rigs.OWNER, rigs.OWNER)
    name("dir.ext4").mkdir()
    os.chown(state / "dir.ext4", rigs.OWNER, rigs.OWNER)
    for leaf, uid in (("foreign", rigs.THIRD), ("root", 0)):
        shutil.copy(image, name(leaf))
        os.chown(state / leaf, uid, uid)
    found.update({"hard link": str(hard), "directory": str(state / "dir.ext4"),
                  "foreign": str(state / "foreign"), "root's": str(state / "root"),
                  "absent": str(state / "absent"), "below a file": f"{image}/x"})
    return found


def mutate(good, chance):
    """A few bytes changed, mostly where the filesystem's own structures are; or cut and zeroed."""
    bad = bytearray(good)
    kind = chance.randrange(10)
    if kind == 0:
        at = chance.randrange(len(bad)) // 1024 * 1024
        bad[at:at + 1024] = bytes(1024)
        return bytes(bad)
    where = {1: (1024, 2048), 2: (2048, 8192)}.get(kind, (1024, len(bad) // 3))
    for _ in range(chance.choice((1, 1, 2, 4, 16, 64))):
        at = chance.randrange(*where)
        bad[at] = chance.choice((0, 0xff, 0x80, bad[at] ^ 1 << chance.randrange(8),
                                 chance.randrange(256)))
    return bytes(bad[:len(good)])


def loops_of(path):
    """Loop devices over a file, or (None) all that are attached."""
    command = ["losetup", "-n", "-O", "NAME", *(["-j", str(path)] if path else ["-l"])]
    return [line.split(":")[0].strip() for line in run(*command).splitlines()]


class Loop:
    """Somebody else's loop device."""

    def __init__(self, path):
        self.dev = run("losetup", "-f", "--show", str(path)).strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        run("losetup", "-d", self.dev)


def children_of(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
