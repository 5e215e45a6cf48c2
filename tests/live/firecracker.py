#!/usr/bin/env python3
"""The Firecracker driver against its double: life, refusals, faults, restarts of the daemon."""
import os
import shutil
import stat
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import live  # noqa: E402

DOUBLE = live.TOP / "build/tests/tools/firecracker_double"
FLAGS = ("--driver", "firecracker", "--net", "none")


def arm(house, *faults):
    """The house's Firecracker is the double, which plays these faults."""
    if not DOUBLE.exists():
        raise live.Skip("build/tests/tools/firecracker_double is not built")
    house.dir.chmod(0o711)
    program = house.dir / "fc" / "firecracker"
    program.parent.mkdir(exist_ok=True)
    program.parent.chmod(0o755)
    if not program.exists():
        shutil.copy2(DOUBLE, program)
    (program.parent / "faults").write_text("".join(f"{f}\n" for f in faults))
    (house.dir / "c/config.yaml").write_text(f"firecracker_bin: {program}\naccel: kvm\n")


def create(house, name, *flags):
    return house.create(name, *FLAGS, *flags)


def fails(house, *flags):
    return house.fails("vm", "create", "--image", "debian", *FLAGS, *flags)


def life(house):
    """create, look, stop, start, restart and delete; nothing is left"""
    arm(house)
    create(house, "m")
    shown = house.json("vm", "show", "m")
    assert shown["link"] == "vsock", shown
    vm = shown["vm"]
    assert (vm["driver"], vm["accel"], vm["net"]) == ("firecracker", "kvm", "none"), vm
    assert vm["layer"] in ("reflink", "copy"), vm
    uid = os.stat(f"/proc/{vm['pid']}").st_uid
    assert uid != 0, "the process is root's"
    assert house.json("vm", "health", "m")["hostname"] == "double"
    assert b"Linux version 6.1.0-double" in house.ok("vm", "logs", "m")
    for path in (house.state / "vm" / vm["id"]).iterdir():
        assert not path.is_socket(), path
    house.ok("vm", "stop", "m")
    vm = house.vm("m")
    assert (vm["state"], vm["reason"]) == ("stopped", "stopped"), vm
    house.ok("vm", "start", "m")
    first = house.vm("m")["pid"]
    house.ok("vm", "restart", "m")
    assert house.vm("m")["pid"] != first
    house.ok("vm", "kill", "m")
    house.ok("vm", "delete", "m")


def refusals(house):
    """what the driver cannot do is refused before anything is touched"""
    arm(house)
    for flags, field in ((("--layer", "qcow2"), "layer"), (("--accel", "tcg"), "accel"),
                         (("--vcpus", "33"), "vcpus")):
        error = fails(house, *flags)
        assert error.get("field") == field and error["message"], (flags, error)
    error = house.fails("vm", "create", "--image", "debian", "--driver", "firecracker")
    assert error["field"] == "net" and "--net none" in error["hint"], error
    (house.dir / "c/config.yaml").write_text("firecracker_bin: /nonexistent/firecracker\n")
    house.ok("daemon", "restart")
    error = fails(house, "--accel", "kvm")
    assert error["code"] == "unavailable" and "/nonexistent" in error["message"], error
    assert house.vms() == {}
    # a choice that is left to banger is qemu's, without a system install
    arm(house)
    house.ok("daemon", "restart")
    house.ok("vm", "create", "--name", "q", "--image", "debian", "--accel", "auto", "--no-start",
             "--net", "none")
    assert house.vm("q")["driver"] == "qemu"


def faults(house):
    """a Firecracker that refuses, hangs up, talks nonsense, is silent or ends: a clear error"""
    for fault, code, words in (
            ("/drives/root refuse the disk is bad", "vmm_failed", ("the disk is bad", "/drives/root")),
            ("/version close", "vmm_failed", ("/version",)),
            ("/machine-config garbage", "vmm_failed", ("/machine-config",)),
            ("/version big", "vmm_failed", ("longer than",)),
            ("/actions exit 1", "vmm_failed", ()),
            ("start exit 153", "vmm_failed", ("vmm_died",)),
            ("version is 1.4.0", "unsupported", ("1.4.0", "too old")),
            ("version is x", "vmm_failed", ("version",)),
            ("guest panics", "vmm_failed", ("guest_panic",)),
    ):
        arm(house, fault)
        error = fails(house, "--name", "m")
        assert error["code"] == code, (fault, error)
        for word in words:
            assert word in error["message"], (fault, error)
        assert house.vms() == {}, fault
        assert not house.leftovers(), (fault, house.leftovers())


def late(house):
    """one that never answers is given up in time"""
    for fault, flags in (("/boot-source hang", ()), ("start silent", ()),
                         ("guest absent", ("--timeout", "3s"))):
        arm(house, fault)
        begun = time.monotonic()
        error = fails(house, "--name", "m", *flags)
        assert error["code"] == "timeout", (fault, error)
        assert time.monotonic() - begun < 15, fault
        assert house.vms() == {} and not house.leftovers(), fault


def ends(house):
    """a guest that powers itself off is stopped, one whose process dies is told so"""
    arm(house, "guest halts")
    create(house, "m")
    begun = time.monotonic()
    house.ok("vm", "stop", "m")  # the process stays when its guest halts: banger ends it
    assert time.monotonic() - begun < 5
    house.ok("vm", "start", "m")
    live.end_process(house.vm("m")["pid"])
    house.ok("vm", "wait", "--for", "stopped", "m")
    assert house.vm("m")["reason"] == "vmm_died", house.vm("m")


def old(house):
    """an older Firecracker is not sent what it does not know"""
    arm(house, "version is 1.7.0")
    create(house, "m")
    assert house.vm("m")["state"] == "running"


def adopted(house):
    """machines survive the daemon; their console and agent are there again"""
    arm(house)
    create(house, "a")
    create(house, "b")
    pids = {n: vm["pid"] for n, vm in house.vms().items()}
    house.kill_daemon()
    house.ok("vm", "wait", "a")
    house.ok("vm", "wait", "b")
    assert {n: vm["pid"] for n, vm in house.vms().items()} == pids
    assert house.json("vm", "health", "a")["ok"]
    house.ok("vm", "stop", "a")
    assert house.vm("a")["reason"] == "stopped"


def floods(house):
    """a guest that floods its console fills no disk and stops nobody"""
    arm(house, "guest floods")
    create(house, "m")
    assert house.json("vm", "health", "m")["ok"]
    directory = house.state / "vm" / house.vm("m")["id"]
    logs = [p for p in directory.iterdir() if p.suffix not in (".raw",) and
            stat.S_ISREG(p.stat().st_mode)]
    assert sum(p.stat().st_size for p in logs) < 3 * 2**20, logs


def long_paths(house):
    """directories as long as the daemon's own socket allows"""
    runtime = house.dir / ("d" * (107 - len(f"{house.dir}/r//bangerd.sock"))) / "r"
    runtime.parent.mkdir()
    runtime.parent.chmod(0o711)
    arm(house)
    house.env["BANGER_RUNTIME_DIR"] = str(runtime)
    house.runtime = runtime
    create(house, "m")
    assert house.json("vm", "health", "m")["ok"]


if __name__ == "__main__":
    live.main([life, refusals, faults, late, ends, old, adopted, floods, long_paths])
