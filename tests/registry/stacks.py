#!/usr/bin/env python3
"""Generated stacks of layers: a pulled image holds exactly what `umoci unpack` makes of the same."""
import hashlib
import os
import random
import shutil
import stat
import sys
import tarfile
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
# pylint: disable=wrong-import-position
import ext4  # noqa: E402
import oci  # noqa: E402
import station  # noqa: E402
from rogue import Rogue  # noqa: E402
from station import live  # noqa: E402

STACKS = int(os.environ.get("REGISTRY_STACKS", "200"))
WORDS = ["a", "b", "c", "d", "usr", "etc", "x.y", "ä", "long-" + "n" * 90]


class Stack:
    """Layers from a seed. `there` is what they leave: path -> kind."""

    def __init__(self, seed):
        self.dice = random.Random(seed)
        self.there, self.layers = {"": "dir"}, []
        deep = self.dice.random() < 0.03
        for _ in range(60 if deep else self.dice.randint(1, 7)):
            self.layer(self.dice.randint(1, 3) if deep else self.dice.randint(2, 14))

    def gone(self, path):
        for p in [p for p in self.there if p == path or p.startswith(path + "/")]:
            del self.there[p]

    def directory(self):
        return self.dice.choice([p for p, kind in self.there.items() if kind == "dir"])

    def meta(self, **more):
        d = self.dice
        times = {"mtime": d.randint(1, 2**31 - 2) + d.choice([0, 0.25, 0.5])}
        owners = {"uid": d.choice([0, 0, 1000, 65534, 100000]),
                  "gid": d.choice([0, 5, 1000, 3000000])}
        return {**times, **owners, **more}

    def attributes(self, info, kind):
        d = self.dice
        if kind not in ("file", "dir") or d.random() > 0.25:
            return
        sets = [("user.note", "x" * d.choice([1, 30, 2500])), ("user.two", "y"),
                ("trusted.mark", "z")]
        if kind == "file":
            cap = bytes.fromhex("0100000200200000000000000000000000000000")
            sets.append(("security.capability", cap.decode("latin-1")))
        for name, value in d.sample(sets, d.randint(1, len(sets))):
            info.pax_headers["SCHILY.xattr." + name] = value

    def layer(self, changes):
        d, out, fresh = self.dice, [], set()
        for _ in range(changes):
            if d.random() < 0.2 and self.layers:
                self.white(out, fresh)
                continue
            where = self.directory()
            path = (where + "/" if where else "") + d.choice(WORDS)
            self.put(out, path, fresh)
        self.layers.append(out)

    def white(self, out, fresh):
        """A whiteout of what an older layer left (or of nothing), or an opaque directory."""
        d = self.dice
        old = [p for p in self.there if p and not any(
            f == p or f.startswith(p + "/") or p.startswith(f + "/") for f in fresh)]
        if d.random() < 0.3:
            old = [p for p in old if self.there[p] == "dir"]
            if old:
                path = d.choice(old)
                out.append(oci.entry(path + "/.wh..wh..opq", data=b""))
                for p in [p for p in self.there if p.startswith(path + "/")]:
                    del self.there[p]
                fresh.add(path + "/.wh..wh..opq")
            return
        path = d.choice(old) if old and d.random() < 0.9 else "nothing-here"
        where, _, name = path.rpartition("/")
        out.append(oci.entry((where + "/" if where else "") + ".wh." + name, data=b""))
        self.gone(path)
        fresh.add(path)

    def put(self, out, path, fresh):
        d = self.dice
        kind = d.choice(["dir", "dir", "file", "file", "file", "link", "hard", "dev", "fifo"])
        if any(p == path or p.startswith(path + "/") for p in fresh):
            return  # one entry a name and layer: what two mean is every tool's own
        mode = d.choice([0o644, 0o755, 0o4755, 0o2750, 0o1777, 0o600, 0o000])
        info = tarfile.TarInfo(path)
        for key, value in self.meta(mode=mode).items():
            setattr(info, key, value)
        data = None
        if kind == "dir":
            info.type = tarfile.DIRTYPE
        elif kind == "link":
            info.type = tarfile.SYMTYPE
            info.linkname = d.choice(["a", "../b", "/etc/x", "no/where", "t" * 70, "t" * 300])
        elif kind == "hard":
            files = [p for p, k in self.there.items() if k == "file" and p != path and
                     not p.startswith(path + "/")]
            if not files:
                return
            info.type, info.linkname = tarfile.LNKTYPE, d.choice(files)
        elif kind == "dev":
            info.type = d.choice([tarfile.CHRTYPE, tarfile.BLKTYPE])
            info.devmajor, info.devminor = d.choice([(1, 3), (8, 17), (259, 4000)])
        elif kind == "fifo":
            info.type = tarfile.FIFOTYPE
        else:
            data = d.randbytes(d.choice([0, 1, 100, 4096, 4097, 20000]))
            info.size = len(data)
        if kind == "hard":
            self.like_target(out, info)
        else:
            self.attributes(info, kind)
        if not (kind == "dir" and self.there.get(path) == "dir"):
            self.gone(path)
        self.there[path] = "file" if kind == "hard" else kind
        fresh.add(path)
        out.append((info, data))

    def like_target(self, out, info):
        """A hard link's header says what its target's says, as tars are written."""
        for layer in [*self.layers, out]:
            for old, _ in layer:
                if old.name == info.linkname and old.type == tarfile.REGTYPE:
                    info.mode, info.uid, info.gid, info.mtime = old.mode, old.uid, old.gid, old.mtime
                    info.pax_headers = dict(old.pax_headers)

    def images(self):
        """For us, packed in every way; and for umoci, which knows no zstd."""
        self.layers[0].insert(0, oci.entry("./", tarfile.DIRTYPE, mode=0o755))
        tars = [oci.tar_of(x) for x in self.layers]
        ways = ["gzip", "gzip", "zstd", "plain"]
        return oci.Image(tars, [self.dice.choice(ways) for _ in tars]), oci.Image(tars)


def tree_of(top):
    """The same facts as ext4.describe, of a directory."""
    out, first, top = {}, {}, os.fsencode(top)
    paths = [b""]
    for where, dirs, files in os.walk(top):
        inside = os.path.relpath(where, top)
        paths += [name if inside == b"." else inside + b"/" + name for name in dirs + files]
    for name in sorted(paths):
        full = os.path.join(top, name) if name else top
        st = os.lstat(full)
        kind = stat.S_IFMT(st.st_mode)
        facts = {"mode": oct(st.st_mode), "uid": st.st_uid, "gid": st.st_gid,
                 "mtime": st.st_mtime_ns,
                 "xattrs": {x: os.getxattr(full, x, follow_symlinks=False)
                            for x in os.listxattr(full, follow_symlinks=False)}}
        if kind in (stat.S_IFCHR, stat.S_IFBLK):
            facts["device"] = (os.major(st.st_rdev), os.minor(st.st_rdev))
        elif kind == stat.S_IFLNK:
            facts["target"] = os.readlink(full)
        elif kind == stat.S_IFREG:
            facts["size"] = st.st_size
            facts["data"] = hashlib.sha256(Path(os.fsdecode(full)).read_bytes()).hexdigest()
        if kind != stat.S_IFDIR:
            facts["links"] = st.st_nlink
            facts["same as"] = first.setdefault(st.st_ino, name)
        out[name] = facts
    return out


def by_group(tree):
    """Names of one inode as a set: which of them comes first is the walk's own."""
    groups = {}
    for name, facts in tree.items():
        if "same as" in facts:
            groups.setdefault(facts["same as"], set()).add(name)
    return {name: {**facts, "same as": sorted(groups[facts["same as"]])} if "same as" in facts
            else facts for name, facts in tree.items()}


def differences(ours, theirs):
    out = []
    for name in sorted(set(ours) | set(theirs)):
        a, b = ours.get(name), theirs.get(name)
        if a is None or b is None:
            out.append(f"{name!r}: only {'umoci' if a is None else 'banger'} has it")
        else:
            out += [f"{name!r}: {key}: banger {a.get(key)!r}, umoci {b.get(key)!r}"
                    for key in sorted(set(a) | set(b)) if a.get(key) != b.get(key)]
    return out


def compare(house, rogue, seed):
    image, plain = Stack(seed).images()
    ref = rogue.put(image, tag=f"s{seed}")
    layout = plain.save(house.dir / f"l{seed}")
    station.run("umoci", "--log=error", "unpack", "--image", f"{layout}:latest",
                house.dir / f"u{seed}")
    house.ok("image", "pull", "--insecure", "--size", "64M", "--name", "s", ref)
    disk = station.root_of(house, "s")
    station.check_disk(disk)
    found = differences(by_group(ext4.describe(disk)),
                        by_group(tree_of(house.dir / f"u{seed}/rootfs")))
    assert not found, f"seed {seed}: " + "\n".join(found[:20])
    house.ok("image", "delete", "s")
    shutil.rmtree(layout)
    shutil.rmtree(house.dir / f"u{seed}")
    return len(image.layers)


def generated_stacks(house):
    """generated stacks hold exactly the tree that umoci unpacks"""
    station.need("umoci", "e2fsck", "zstd")
    if os.geteuid():
        raise live.Skip("umoci needs root to make owners and devices")
    rogue = Rogue()
    try:
        sizes = [compare(house, rogue, seed) for seed in range(1, STACKS + 1)]
    finally:
        rogue.close()
    print(f"# {len(sizes)} stacks of {min(sizes)} to {max(sizes)} layers")


generated_stacks.deadline = 240

if __name__ == "__main__":
    live.main([generated_stacks], images=None)
