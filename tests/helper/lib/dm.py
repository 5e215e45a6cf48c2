"""The device-mapper, spoken to by ioctl from the tests' side: what is there, and other makers' devices."""
import contextlib
import fcntl
import os
import struct
import tempfile

import disk

CONTROL = os.makedev(10, 236)
LIST, CREATE, REMOVE, SUSPEND, STATUS, LOAD = 2, 3, 4, 6, 7, 9


@contextlib.contextmanager
def node(kind, number):
    """A node of our own for a device."""
    with tempfile.TemporaryDirectory(dir="/run") as where:
        path = os.path.join(where, "node")
        os.mknod(path, kind | 0o600, number)
        yield path


def ask(command, name="", uuid="", payload=b"", flags=0, targets=0):
    """One ioctl; the answer's bytes."""
    start = 312
    data = bytearray(16384)
    struct.pack_into("=3IIIIiIIIQ128s129s", data, 0, 4, 0, 0, len(data), start, targets, 0, flags,
                     0, 0, 0, name.encode(), uuid.encode())
    data[start:start + len(payload)] = payload
    with node(0o020000, CONTROL) as path:
        fd = os.open(path, os.O_RDWR)
        try:
            fcntl.ioctl(fd, 0xc138fd00 | command, data)
        finally:
            os.close(fd)
    return data


def missing():
    """Why there is no device-mapper with snapshots, or None."""
    try:
        ask(LIST)
    except OSError as error:
        return f"no device-mapper on this host ({error.strerror}); see devicemapper.py"
    return None


def names():
    data = ask(LIST)
    at, found = struct.unpack_from("=I", data, 16)[0], []
    while struct.unpack_from("=Q", data, at)[0]:
        step = struct.unpack_from("=I", data, at + 8)[0]
        found.append(bytes(data[at + 12:at + 140]).split(b"\0")[0].decode())
        if not step:
            break
        at += step
    return found


def number_of(name):
    return struct.unpack_from("=Q", ask(STATUS, name), 40)[0]


def make(name, uuid):
    """A device that somebody else made."""
    ask(CREATE, name, uuid)
    ask(LOAD, name, payload=struct.pack("=QQiI16s", 0, 2048, 0, 48, b"error") + bytes(8), targets=1)
    ask(SUSPEND, name)


def remove(name):
    ask(REMOVE, name)


def clear():
    """Removes the devices of snapshots that are still there."""
    for name in names():
        with contextlib.suppress(OSError):
            remove(name)


@contextlib.contextmanager
def opened(name, patient=False):
    """The device, for reading and writing past no cache; patient: failed writes are fine."""
    with node(0o060000, number_of(name)) as path:
        with open(path, "r+b", buffering=0) as device:
            try:
                yield device
                os.fsync(device.fileno())
            except OSError:
                if not patient:
                    raise


def debugfs(name, request):
    with node(0o060000, number_of(name)) as path:
        disk.debugfs(path, request, writable=True)
