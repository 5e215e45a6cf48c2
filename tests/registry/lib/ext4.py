"""Reads an ext4 file system from its image: what the kernel would show, without kernel or root."""
import hashlib
import stat
import struct

PREFIXES = {1: "user.", 2: "system.posix_acl_access", 3: "system.posix_acl_default", 4: "trusted.",
            6: "security.", 7: "system."}
EXTENTS = 0x80000


class Node:
    """An inode."""

    def __init__(self, fs, number):
        self.number, raw = number, fs.inode(number)
        (self.mode, uid, size, _, _, _, _, gid, self.links) = struct.unpack_from("<HHIIIIIHH", raw)
        self.flags, = struct.unpack_from("<I", raw, 32)
        self.block = raw[40:100]
        acl, high = struct.unpack_from("<II", raw, 104)
        acl_high, uid_high, gid_high = struct.unpack_from("<HHH", raw, 118)
        self.acl = acl | acl_high << 32
        self.uid, self.gid, self.size = uid | uid_high << 16, gid | gid_high << 16, size | high << 32
        self.extra, = struct.unpack_from("<H", raw, 128)
        seconds, = struct.unpack_from("<i", raw, 16)
        extra, = struct.unpack_from("<I", raw, 136)
        self.mtime_ns = (seconds + ((extra & 3) << 32)) * 10**9 + (extra >> 2)
        self.raw = raw

    def device(self):
        old, new = struct.unpack_from("<II", self.block)
        if old:
            return old >> 8 & 0xff, old & 0xff
        return new >> 8 & 0xfff, new & 0xff | new >> 12 & 0xfff00


class Ext4:
    def __init__(self, path):
        self.file = open(path, "rb")
        sb = self.at(1024, 1024)
        assert struct.unpack_from("<H", sb, 56)[0] == 0xef53
        self.block = 1024 << struct.unpack_from("<I", sb, 24)[0]
        self.per_group, = struct.unpack_from("<I", sb, 40)
        self.inode_size, = struct.unpack_from("<H", sb, 88)
        wide = struct.unpack_from("<I", sb, 96)[0] & 0x80
        self.desc = struct.unpack_from("<H", sb, 254)[0] if wide else 32

    def at(self, offset, n):
        self.file.seek(offset)
        return self.file.read(n)

    def inode(self, number):
        group, index = divmod(number - 1, self.per_group)
        desc = self.at(self.block + group * self.desc, self.desc)
        table, = struct.unpack_from("<I", desc, 8)
        if self.desc >= 64:
            table |= struct.unpack_from("<I", desc, 40)[0] << 32
        return self.at(table * self.block + index * self.inode_size, self.inode_size)

    def runs(self, tree):
        """(logical block, count, physical block) of an extent tree."""
        magic, count, _, depth = struct.unpack_from("<HHHH", tree)
        assert magic == 0xf30a
        for i in range(count):
            entry = tree[12 + 12 * i:24 + 12 * i]
            if depth:
                low, high = struct.unpack_from("<IH", entry, 4)
                yield from self.runs(self.at((low | high << 32) * self.block, self.block))
            else:
                first, n, high, low = struct.unpack("<IHHI", entry)
                yield first, n if n <= 32768 else 0, low | high << 32

    def data(self, node):
        if not node.flags & EXTENTS:
            return node.block[:node.size]
        out = bytearray(node.size)
        for first, n, where in self.runs(node.block):
            part = self.at(where * self.block, n * self.block)
            out[first * self.block:first * self.block + len(part)] = part
        return bytes(out[:node.size])

    def names(self, node):
        data, at = self.data(node), 0
        while at < len(data):
            number, length, n = struct.unpack_from("<IHB", data, at)
            name = data[at + 8:at + 8 + n]
            if number and name not in (b".", b".."):
                yield name, number
            at += length

    def some_attributes(self, data, first, base):
        """Entries at `first`; their values are counted from `base`."""
        at = first
        while data[at:at + 4] != b"\0\0\0\0":
            n, index, where, inode, size = struct.unpack_from("<BBHII", data, at)
            name = PREFIXES[index] + data[at + 16:at + 16 + n].decode()
            value = self.data(Node(self, inode))[:size] if inode else \
                data[base + where:base + where + size]
            yield name, value
            at += 16 + (n + 3 & ~3)

    def attributes(self, node):
        found, at = {}, 128 + node.extra
        if node.raw[at:at + 4] == b"\0\0\2\xea":
            found.update(self.some_attributes(node.raw + bytes(16), at + 4, at + 4))
        if node.acl:
            found.update(self.some_attributes(self.at(node.acl * self.block, self.block) +
                                              bytes(16), 32, 0))
        return found

    def walk(self, path=b"", number=2):
        """Every (path, Node), parents first; the root is b""."""
        node = Node(self, number)
        yield path, node
        if stat.S_ISDIR(node.mode):
            for name, inside in sorted(self.names(node)):
                yield from self.walk(path + b"/" + name if path else name, inside)

    def close(self):
        self.file.close()


def describe(path):
    """What the image at `path` holds, one line of facts an entry; links are named by their first."""
    fs, out, first = Ext4(path), {}, {}
    for name, node in fs.walk():
        kind = stat.S_IFMT(node.mode)
        facts = {"mode": oct(node.mode), "uid": node.uid, "gid": node.gid, "mtime": node.mtime_ns,
                 "xattrs": fs.attributes(node)}
        if kind in (stat.S_IFCHR, stat.S_IFBLK):
            facts["device"] = node.device()
        elif kind == stat.S_IFLNK:
            facts["target"] = fs.data(node)
        elif kind == stat.S_IFREG:
            facts["size"], facts["data"] = node.size, hashlib.sha256(fs.data(node)).hexdigest()
        if kind != stat.S_IFDIR:
            facts["links"] = node.links
            facts["same as"] = first.setdefault(node.number, name)
        out[name] = facts
    fs.close()
    out.pop(b"lost+found", None)
    return out
