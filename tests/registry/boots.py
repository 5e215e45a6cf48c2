#!/usr/bin/env python3
"""Pulled images boot: Debian, busybox in 60 layers, systemd, runit; with users and services."""
import gzip
import os
import sys
import tarfile
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
# pylint: disable=wrong-import-position
import oci  # noqa: E402
import station  # noqa: E402
from rogue import Rogue  # noqa: E402
from station import live  # noqa: E402


def busybox_layers(count):
    """The program first, then a layer for each file; each takes away what the one before left."""
    program = Path(live.busybox()).read_bytes()
    entries = [oci.entry(d, tarfile.DIRTYPE) for d in
               ("bin", "etc", "dev", "proc", "sys", "tmp", "srv")]
    entries += [station.file_of("bin/busybox", program, mode=0o755),
                station.file_of("etc/passwd", "root:x:0:0::/root:/bin/sh\nme:x:7:8::/srv:/bin/sh\n"),
                station.file_of("etc/group", "root:x:0:\nus:x:8:\n")]
    entries += [oci.entry("bin/" + a, tarfile.SYMTYPE, linkname="busybox") for a in live.APPLETS]
    layers = [oci.tar_of(entries)]
    for i in range(1, count):
        layers.append(oci.tar_of([station.file_of(f"srv/f{i}", str(i), uid=7, gid=8),
                                  oci.entry(f"srv/.wh.f{i - 1}", data=b"")]))
    return layers


def busybox(house):
    """busybox in 60 layers, with no init, as its user, in its place, with its environment"""
    rogue = Rogue()
    try:
        ref = rogue.put(oci.Image(busybox_layers(60), config={
            "User": "me:us", "WorkingDir": "/srv", "Env": ["WORD=kept", "PATH=/bin"]}))
        house.ok("image", "pull", "--insecure", "--name", "box", ref)
        station.check_disk(station.root_of(house, "box"))
        out = house.ok("vm", "run", "--rm", "--image", "box", "--", "sh", "-c",
                       "id -u; id -g; pwd; echo $WORD; ls /srv; cat /srv/f59")
        assert out.split() == [b"7", b"8", b"/srv", b"kept", b"f59", b"59"], out
    finally:
        rogue.close()


def debian(house):
    """Debian from Debian's registry, under its own reference as a name"""
    registry = station.Debians(house.dir / "reg")
    try:
        data = Path(live.the_input("debian")).read_bytes()
        tar = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        layout = oci.Image([tar]).save(house.dir / "l")
        ref = registry.push(f"oci:{layout}:latest", "debian:12")
        house.ok("image", "pull", "--insecure", ref, timeout=120)
        out = house.ok("vm", "run", "--rm", "--image", ref, "--", "sh", "-c",
                       ". /etc/os-release; echo $ID; id -u")
        assert out.split() == [b"debian", b"0"], out
    finally:
        registry.stop()


def inits(house):
    """systemd and runit, of which each starts what is required; commands run as the image's user"""
    rogue = Rogue()
    unit = ("[Unit]\nDescription=late\n[Service]\nExecStart=/bin/cat\nStandardInput=socket\n",
            "[Socket]\nListenStream=8022\nAccept=yes\n[Install]\nWantedBy=sockets.target\n")
    units = "etc/systemd/system/"
    late = oci.tar_of([station.file_of(units + "late@.service", unit[0]),
                       station.file_of(units + "late.socket", unit[1]),
                       oci.entry(units + "sockets.target.wants/late.socket", tarfile.SYMTYPE,
                                 linkname="../late.socket")])
    try:
        for name, more, port, init in (("systemd", [late], "late:8022", "systemd"),
                                       ("runit", [], "sshd:22", "other")):
            tar = Path(live.the_input(name)).read_bytes()
            ref = rogue.put(oci.Image([tar, *more], "plain", config={
                "User": "games", "WorkingDir": "/tmp", "Labels": {"banger.services": port}}), name)
            house.ok("image", "pull", "--insecure", "--name", name, ref, timeout=120)
            station.check_disk(station.root_of(house, name))
            house.create(name, image=name)
            ports = {p["port"] for p in house.json("vm", "ports", name) if p["proto"] == "tcp"}
            assert int(port.partition(":")[2]) in ports, ports
            assert house.sh(name, "id -un; pwd").split() == ["games", "/tmp"]
            assert house.json("vm", "health", name)["init"] == init  # exec waited until it is well
            house.ok("vm", "delete", name)
    finally:
        rogue.close()


inits.deadline = 300


if __name__ == "__main__":
    os.umask(0o022)
    live.main([busybox, debian, inits])
