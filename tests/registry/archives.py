#!/usr/bin/env python3
"""Layers whose tar is made to hurt: each is refused in words, or stays inside a sound image."""
import struct
import sys
import tarfile
import zlib
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
# pylint: disable=wrong-import-position
import ext4  # noqa: E402
import oci  # noqa: E402
import station  # noqa: E402
from hostile import pulled, refused, with_rogue  # noqa: E402
from station import live  # noqa: E402

END = bytes(1024)


def header(name=b"x", size=b"00000000000", kind=b"0", checksum=None, link=b"", mode=b"0000644"):
    """One header as bytes, of fields that are taken as they are."""
    block = bytearray(512)
    for at, field in ((0, name), (100, mode), (108, b"0000000"), (116, b"0000000"), (124, size),
                      (136, b"14523740000"), (156, kind), (157, link), (257, b"ustar\x0000")):
        block[at:at + len(field)] = field
    block[148:156] = b" " * 8
    block[148:156] = checksum or b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data):
    return data + bytes(-len(data) % 512)


def extended(*records):
    """A pax header of (key, value), both bytes."""
    body = b""
    for key, value in records:
        rest = b" " + key + b"=" + value + b"\n"
        n = len(rest) + 1
        while len(b"%d" % n) + len(rest) != n:
            n = len(b"%d" % n) + len(rest)
        body += b"%d" % n + rest
    return header(b"pax", b"%011o" % len(body), b"x") + padded(body)


def layered(rogue, tar, how="plain"):
    return rogue.put(oci.Image([tar], how))


@with_rogue
def broken_headers(house, rogue):
    """sizes, numbers and checksums that are none"""
    data = padded(b"word")
    good = header(b"f", b"%011o" % 4) + data
    for tar in (
            header(size=b"\xff" * 12),                              # negative, in base 256
            extended((b"size", b"-1")) + header() + data,
            header(size=b"\x80" + b"\x7f" * 11),                    # more than any disk
            header(size=b"77777777777"),                            # 8 GiB that do not come
            header(b"f", b"%011o" % 4, checksum=b"000000\0 ") + data,
            header(b"L", b"17777777777", b"L"),                     # a name of 2 GiB
            header(b"K", b"17777777777", b"K"),
            header(b"pax", b"17777777777", b"x"),
            extended((b"size", b"9223372036854775807")) + header() + data,
            extended((b"path", b"a" * 70000)) + header(),
            extended((b"path", b"../../out")) + header(),
            header(b"L", b"%011o" % 5000, b"L") + padded(b"n" * 4999 + b"\0") + header(),
            extended((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"),
                     (b"GNU.sparse.realsize", b"100")) + header(size=b"00000001000") +
            padded(b"1\n9223372036854775807\n9223372036854775807\n") + END):
        refused(house, layered(rogue, good + tar + END))
    # what has a sense is taken by it: a record without one, a number with blanks, a hole's map that ends early
    disk = pulled(house, layered(rogue, good + extended((b"mtime", b"never")) +
                                 header(b"g", b"        4\0  ") + data +
                                 extended((b"GNU.sparse.map", b"9223372036854775807,1"),
                                          (b"GNU.sparse.size", b"1")) +
                                 header(b"s", b"00000000001") + data + END))
    assert station.read(disk, "f") == station.read(disk, "g") == b"word"


@with_rogue
def cut_short(house, rogue):
    """an archive that ends at any block is refused, or is whole up to there"""
    whole = oci.tar_of([station.file_of("a", "1" * 700), oci.entry("d", tarfile.DIRTYPE),
                        station.file_of("n" * 200, "2" * 600), station.file_of("z", "3")])
    seen = set()
    for n in range(512, len(whole.rstrip(b"\0")) + 512, 512):
        ref = layered(rogue, whole[:n])
        done = house.run("image", "pull", "--insecure", "--size", "64M", "--name", "cut", ref)
        station.nothing_partial(house)
        seen.add(done.code)
        if done.code:
            assert b"not a whole archive" in done.err, done.err
            continue
        disk = station.root_of(house, "cut")
        station.check_disk(disk)
        assert station.read(disk, "a") == b"1" * 700
        house.ok("image", "delete", "cut")
    assert seen == {0, 1}, seen


@with_rogue
def names(house, rogue):
    """names that are empty, the top, of bytes that are no text, with a NUL; all stay inside"""
    for one in (header(b"./", kind=b"5", mode=b"0000700"), header(b"/", kind=b"5"),
                header(b".//././f"), header(b"//f"), header(b"\xff\xfe\x80")):
        disk = pulled(house, layered(rogue, header(b"f") + one + END))
        house.ok("image", "delete", "good")
    assert disk
    for tar in (header(b""), extended((b"path", b"")) + header(b""), header(b"a/../../f"),
                header(b".."), header(b"../f"), header(b"d/..", kind=b"5")):
        house.run("image", "pull", "--insecure", "--size", "64M", "--name", "odd",
                  layered(rogue, header(b"f") + tar + END))
        for image in house.json("image", "list"):
            station.check_disk(station.root_of(house, image["name"]))
            house.ok("image", "delete", image["name"])
        station.nothing_partial(house)
    # a NUL ends a name: what stands behind it never takes part
    done = house.run("image", "pull", "--insecure", "--size", "64M", "--name", "nul", layered(
        rogue, extended((b"path", b"in\0/../../out")) + header() + END))
    if done.code == 0:
        tree = ext4.describe(station.root_of(house, "nul"))
        assert not any(b"out" in name for name in tree), tree


@with_rogue
def links(house, rogue):
    """hard links to what is not there yet, to symbolic links, to themselves, across them"""
    def link(name, to, kind=tarfile.LNKTYPE):
        return oci.entry(name, kind, linkname=to)

    first = station.file_of("f", "word")
    for entries in ([link("l", "later"), station.file_of("later", "x")], [link("l", "l")],
                    [link("l", "/etc/shadow")], [link("l", "../../etc/shadow")],
                    [oci.entry("d", tarfile.DIRTYPE), link("l", "d")]):
        refused(house, layered(rogue, oci.tar_of(entries)), code="invalid_value")
    disk = pulled(house, layered(rogue, oci.tar_of(
        [first, link("s", "/etc/shadow", tarfile.SYMTYPE), link("h", "s"), link("h2", "f"),
         link("up", "../../../..", tarfile.SYMTYPE), station.file_of("up/in", "inside")])))
    assert station.read(disk, "h2") == b"word" and station.read(disk, "in") == b"inside"
    out = station.run("debugfs", "-R", "stat h", disk)
    assert b"Type: symlink" in out and b"Links: 2" in out, out
    # a file put through a link that a layer below made does not leave the tree
    out = house.dir / "outside"
    out.mkdir()
    ref = rogue.put(oci.Image([oci.tar_of([link("d", str(out), tarfile.SYMTYPE)]),
                               oci.tar_of([station.file_of("d/f", "x")])]))
    house.run("image", "pull", "--insecure", "--size", "64M", "--name", "two", ref)
    assert not list(out.iterdir())


@with_rogue
def attributes(house, rogue):
    """attributes too long or too many are refused; those of overlays and capabilities are kept"""
    def with_attributes(*pairs):
        return extended(*[(b"SCHILY.xattr." + k, v) for k, v in pairs]) + header(b"f") + END

    for pairs in ([(b"user.big", b"x" * 65536)], [(b"user." + b"n" * 300, b"x")],
                  [(b"user.%d" % i, b"x") for i in range(65)],
                  [(b"user.%d" % i, b"x" * 900) for i in range(6)]):
        refused(house, layered(rogue, with_attributes(*pairs)))
    capability = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
    disk = pulled(house, layered(rogue, with_attributes(
        (b"security.capability", capability), (b"user.word", b"x"))))
    out = station.run("debugfs", "-R", "ea_list f", disk)
    assert b"security.capability (20)" in out and b"user.word (1)" in out, out


@with_rogue
def too_many(house, rogue):
    """more files than an image may have end at a cap, not in memory; the disk is as before"""
    chunk = b"".join(header(b"d/%07d" % i) for i in range(2000))
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    blob = b"".join(packer.compress(chunk) for _ in range(60)) + packer.compress(END) + \
        packer.flush()
    image = oci.Image([oci.tar_of([station.file_of("x", "x")])])
    image.manifest["layers"] = [image.add(blob, oci.LAYER + "+gzip")]
    refused(house, rogue.put(image), "--size", "1G", code="no_space", word="entries")
    refused(house, layered(rogue, header(b"/".join([b"d"] * 49)) + extended(
        (b"path", b"/".join([b"d"] * 100000))) + header() + END))
    assert not list(house.state.rglob("*.ext4"))


too_many.deadline = 200

if __name__ == "__main__":
    live.main([broken_headers, cut_short, names, links, attributes, too_many], images=None)
