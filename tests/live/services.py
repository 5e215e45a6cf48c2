#!/usr/bin/env python3
"""Required services (row B4): a start ends when they are up, or says which one is not."""
import io
import shutil
import sys
import tarfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import live  # noqa: E402
from guests import docker_archive, layer  # noqa: E402

USERS = (("etc", None), ("etc/passwd", b"root:x:0:0::/root:/bin/sh\n"
                         b"app:x:1000:1000::/" b"home/app:/bin/sh\n"),
         ("etc/group", b"root:x:0:\napp:x:1000:\n"), ("home", None), ("home/app", None))


def archive(house, name, config, *entries):
    """A container's image with busybox, which has httpd, and a user who is not root."""
    box = Path(live.busybox()).read_bytes()
    links = [(f"bin/{a}", "busybox", 0) for a in (*live.APPLETS, "httpd", "mount")]
    path = house.dir / f"{name}.tar"
    docker_archive(path, [layer(("bin", None), ("bin/busybox", box), *links, *USERS, *entries)],
                   {"Env": ["PATH=/bin", "WORD=served"], "WorkingDir": "/home/" "app", **config})
    house.ok("image", "import", name, str(path))


def listens(house, vm):
    return {p["port"] for p in house.json("vm", "ports", vm) if p["proto"] == "tcp"}


def own_command(house):
    """without an init the image's command serves, as its user, in its directory and environment"""
    archive(house, "web", {
        "User": "app", "Labels": {"banger.services": "web:8080, admin:8081"},
        "Entrypoint": ["sh", "-c"],
        "Cmd": ["echo $WORD; id -u >>who; httpd -p 8081; sleep 1; httpd -p 8080; sleep 9999"]})
    assert house.json("image", "show", "web")["facts"]["config"]["services"] == \
        ["web:8080", "admin:8081"]
    assert b"web:8080" in house.ok("image", "show", "web")
    house.create("m", image="web")
    assert {8080, 8081} <= listens(house, "m")
    assert house.sh("m", "cat who") == "1000\n"
    assert b"served" in house.ok("vm", "logs", "m")
    house.ok("vm", "stop", "m")
    house.ok("vm", "start", "m")
    assert {8080, 8081} <= listens(house, "m")
    # another daemon does not begin it a second time
    house.kill_daemon()
    house.ok("daemon", "start")
    assert house.sh("m", "cat who") == "1000\n1000\n"


def never_up(house):
    """a service that does not come is named, in the time that was given, and nothing is left"""
    archive(house, "slow", {"Labels": {"banger.services": "web:8080"}, "Cmd": ["sleep", "1000"]})
    begun = time.monotonic()
    error = house.fails("vm", "create", "--name", "m", "--image", "slow", "--timeout", "20s")
    assert time.monotonic() - begun < 30
    assert error["code"] == "timeout", error
    assert "service web (port 8080) of m is not up" in error["message"], error
    assert "--no-services" in error["hint"], error
    assert house.vms() == {} and not house.leftovers()
    house.create("m", "--no-services", image="slow")
    house.ok("vm", "stop", "m")
    error = house.fails("vm", "start", "--timeout", "15s", "m")
    assert "web (port 8080)" in error["message"], error
    assert house.vm("m")["state"] == "stopped"
    house.ok("vm", "start", "--no-services", "m")
    archive(house, "broken", {"Labels": {"banger.services": "web:8080"}, "Cmd": ["sh", "-c", "exit 3"]})
    begun = time.monotonic()
    error = house.fails("vm", "create", "--image", "broken")
    assert time.monotonic() - begun < 30
    assert error["code"] == "guest_failed" and "exit code 3" in error["message"], error
    # given by hand: over what the archive says; refused when it is none
    house.ok("image", "import", "--replace", "--service", "admin:8081", "slow",
             str(house.dir / "slow.tar"))
    assert house.json("image", "show", "slow")["facts"]["config"]["services"] == ["admin:8081"]
    done = house.run("image", "import", "--service", "web", "x", str(house.dir / "slow.tar"))
    assert done.code == 2 and b"NAME:PORT" in done.err, done.err
    docker_archive(house.dir / "bad.tar", [layer(*USERS)],
                   {"Labels": {"banger.services": "web:8080,Bad Name:1"}})
    error = house.fails("image", "import", "x", str(house.dir / "bad.tar"))
    assert error["code"] == "invalid_value" and error["field"] == "banger.services", error


def other_init(house):
    """busybox's init starts them; its image's command is not begun beside it"""
    archive(house, "other", {"Labels": {"banger.services": "web:80"}, "Cmd": ["sh", "-c", "exit 3"]},
            ("sbin", None), ("sbin/init", "/bin/busybox", 0), ("proc", None), ("sys", None),
            ("etc/inittab", b"::sysinit:/etc/rc\n::respawn:/bin/httpd -f -p 80\n"),
            ("etc/rc", b"#!/bin/sh\nmount -o remount,rw /\nsleep 1\n"))
    house.create("m", image="other")
    assert house.json("vm", "health", "m")["init"] == "other"
    assert 80 in listens(house, "m")


SOCKET = b"[Socket]\nListenStream=8022\nAccept=yes\n[Install]\nWantedBy=sockets.target\n"
SERVICE = b"[Service]\nExecStart=/bin/cat\nStandardInput=socket\n"


def systemd(house):
    """systemd's socket is waited for, in an image that a tar and --service make"""
    path = house.dir / "systemd.tar"
    shutil.copyfile(live.the_input("systemd"), path)
    units = "./etc/systemd/system"
    with tarfile.open(path, "a") as tar:
        for name, data in (("late.socket", SOCKET), ("late@.service", SERVICE)):
            info = tarfile.TarInfo(f"{units}/{name}")
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
        info = tarfile.TarInfo(f"{units}/sockets.target.wants/late.socket")
        info.type, info.linkname = tarfile.SYMTYPE, "../late.socket"
        tar.addfile(info)
    house.ok("image", "import", "--service", "late:8022", "served", str(path))
    house.create("m", image="served")
    assert 8022 in listens(house, "m")
    assert house.json("vm", "health", "m")["init"] == "systemd"


systemd.deadline = 240


def runit(house):
    """runit starts its sshd, which is required; ssh gets in at once"""
    house.ok("image", "import", "--service", "sshd:22", "runit", str(live.the_input("runit")))
    house.create("m", image="runit")
    assert 22 in listens(house, "m")
    assert house.json("vm", "health", "m")["init"] == "other"
    if shutil.which("ssh"):
        assert house.ok("vm", "ssh", "m", "--", "cat /proc/1/comm") == b"runit\n"


runit.deadline = 240


if __name__ == "__main__":
    live.main([own_command, never_up, other_init, systemd, runit])
