#!/usr/bin/env python3
"""`vm set`: CPUs and memory from the next start on, a work disk at once, never a smaller one."""
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import live  # noqa: E402

GIB = 2**30


def work_disk(house, name):
    """Size of the filesystem of the guest's work disk, as the guest sees it."""
    disks = house.json("vm", "stats", name)["guest"]["disks"]
    return next(d["size"] for d in disks if d["path"] != "/")


def of_a_running_one(house):
    """a work disk grows at once, filesystem and all; CPUs and memory at the next start"""
    house.create("m", "--disk", "8G", "--vcpus", "1")
    house.sh("m", "echo kept > /root/kept")
    assert work_disk(house, "m") < 8 * GIB
    done = house.run("vm", "set", "m", "--disk", "12G", "--memory", "640M", "--vcpus", "3")
    assert done.code == 0 and done.out == b"m\n", (done.code, done.out, done.err)
    assert b"next start" in done.err and b"640" in done.err and b"disk" not in done.err, done.err
    assert 11 * GIB < work_disk(house, "m") < 12 * GIB, work_disk(house, "m")
    vm = house.vm("m")
    assert (vm["disk"], vm["vcpus"], vm["next_vcpus"], vm["next_memory"]) == \
        (12 * GIB, 1, 3, 640 * 2**20), vm
    house.ok("daemon", "restart")
    assert house.vm("m")["next_memory"] == 640 * 2**20
    house.ok("vm", "restart", "m")
    vm = house.vm("m")
    assert "next_vcpus" not in vm and (vm["vcpus"], vm["memory"]) == (3, 640 * 2**20), vm
    assert house.sh("m", "nproc; cat /root/kept") == "3\nkept\n"
    memory = house.json("vm", "stats", "m")["guest"]["memory"]
    assert 540 * 2**20 < memory < 640 * 2**20, memory


def of_stopped_ones(house):
    """several at once; a disk of each layer grows, and its guest fills it when it boots"""
    house.create("q", "--no-start", "--disk", "8G")
    house.create("c", "--no-start", "--disk", "8G", "--layer", "copy")
    done = house.run("--json", "vm", "set", "q", "nosuch", "c", "--disk", "10G")
    assert done.code == 1, (done.code, done.out)
    said = json.loads(done.out)
    assert [x["error"]["code"] if "error" in x else x["disk"] for x in said] == \
        [10 * GIB, "not_found", 10 * GIB], said
    house.ok("vm", "start", "q", "c")
    for name in ("q", "c"):
        assert 9 * GIB < work_disk(house, name) < 10 * GIB, (name, work_disk(house, name))


def refused(house):
    """shrinking, nothing to set, values out of range, a machine that is busy"""
    house.create("m", "--no-start", "--disk", "8G")
    error = house.fails("vm", "set", "m", "--disk", "4G")
    assert (error["code"], error["field"]) == ("invalid_value", "disk"), error
    assert "shrink" in error["message"] and error["hint"], error
    assert house.fails("vm", "set", "m", "--disk", "9000G")["code"] == "too_large"
    assert house.fails("vm", "set", "m", code=2)["code"] == "missing_field"
    assert house.fails("vm", "set", "m", "--vcpus", "65")["field"] == "vcpus"
    assert house.vm("m")["disk"] == 8 * GIB
    events = house.events()
    child = house.popen("vm", "start", "m")
    events.await_event(kind="op.stage", stage="boot", state="begun")
    assert house.fails("vm", "set", "m", "--vcpus", "2")["code"] == "conflict"
    assert child.wait(timeout=live.PATIENCE) == 0
    child.communicate()
    events.close()


if __name__ == "__main__":
    live.main([of_a_running_one, of_stopped_ones, refused])
