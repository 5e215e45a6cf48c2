#!/usr/bin/env python3
"""Commands that act on machines: several at once, --json, states, console, ports, disks."""
import fcntl
import json
import os
import re
import select
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import live  # noqa: E402

FICLONE = 0x40049409


def several_names(house):
    """good names proceed when others fail; output in the order given; exit 1"""
    house.create("a", "--no-start")
    house.create("b")
    done = house.run("vm", "stop", "b", "nosuch", "a")
    assert done.code == 1 and b"nosuch" in done.err, (done.code, done.out, done.err)
    assert {n: vm["state"] for n, vm in house.vms().items()} == {"a": "stopped", "b": "stopped"}
    done = house.run("--json", "vm", "show", "b", "nosuch", "a")
    assert done.code == 1, done.code
    shown = json.loads(done.out)
    assert [x["error"]["code"] if "error" in x else x["vm"]["name"] for x in shown] == \
        ["b", "not_found", "a"], shown
    done = house.run("vm", "delete", "a", "nosuch", "b")
    assert done.code == 1 and house.vms() == {}


def shapes(house):
    """--json gives one document with the schema's keys; errors are documents too"""
    made = house.json("vm", "create", "--name", "m", "--image", "debian")
    assert made["name"] == "m", made
    vm = house.vm("m")
    for key, kind in (("id", str), ("name", str), ("state", str), ("image", str), ("vcpus", int),
                      ("memory", int), ("disk", int), ("uptime_ms", int), ("pid", int),
                      ("rss", int), ("rm", bool)):
        assert isinstance(vm[key], kind), (key, vm)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", vm["created"]), vm
    assert re.fullmatch(r"[a-z0-9]{2,10}", vm["id"]), vm
    assert isinstance(house.json("vm", "list"), list)
    assert house.ok("vm", "list", "-q") == b"m\n"
    assert house.json("vm", "health", "m")["ok"] is True
    stats = house.json("vm", "stats", "m")
    assert stats["guest"]["memory"] > 2**28 and stats["vm"]["name"] == "m", stats
    assert {d["path"] for d in stats["guest"]["disks"]} >= {"/"}, stats
    error = house.fails("vm", "create", "--name", "m", "--image", "debian")
    assert error["code"] == "exists" and error["message"], error
    assert house.fails("vm", "create", "--image", "nosuch")["code"] == "not_found"
    for name in ("UPPER", "a.b", "123", "localhost", "xn--a", "-a", "x" * 64):
        done = house.run("--json", "vm", "create", f"--name={name}", "--image", "debian")
        assert done.code in (1, 2), (name, done.code)
    vm = house.vms()["m"]
    assert 0 < vm["guest_memory_used"] < vm["guest_memory"] < vm["memory"], vm
    assert 0 < vm["root_used"] < vm["root_size"] and 0 < vm["work_used"] < vm["work_size"], vm
    assert b"%" in house.ok("vm", "list") and b"COW" in house.ok("vm", "stats")
    assert list(house.vms()) == ["m"]


def states(house):
    """create, start, stop, restart, kill and wait lead to their states"""
    house.create("m", "--no-start")
    assert house.vm("m")["state"] == "stopped"
    assert house.fails("vm", "exec", "m", "--", "true", code=125)["code"] in ("conflict",
                                                                             "unavailable")
    house.ok("vm", "start", "m")
    first = house.vm("m")["pid"]
    house.ok("vm", "restart", "m")
    assert house.vm("m")["state"] == "running" and house.vm("m")["pid"] != first
    waiter = house.popen("vm", "wait", "--for", "stopped", "m")
    house.ok("vm", "kill", "m")
    assert waiter.wait(live.PATIENCE) == 0
    vm = house.vm("m")
    assert (vm["state"], vm["reason"]) == ("stopped", "stopped"), vm
    house.ok("vm", "wait", "--for", "stopped", "m")
    assert house.fails("vm", "wait", "--timeout", "1s", "m")["code"] == "timeout"
    waiter = house.popen("vm", "wait", "--for", "deleted", "m")
    house.ok("vm", "delete", "m")
    assert waiter.wait(live.PATIENCE) == 0


def work_stays(house):
    """what was written is there after stop and start; a stop that the guest obeys is quick"""
    house.create("m")
    house.sh("m", "echo root >/note; echo home >$HOME/note")
    house.ok("vm", "stop", "m")
    assert house.vm("m")["reason"] == "stopped"
    house.ok("vm", "start", "m")
    assert house.sh("m", "cat /note $HOME/note") == "root\nhome\n"
    assert house.sh("m", "df --output=target | grep -c ^/root || true") == "1\n"


def console(house):
    """logs show what the kernel prints, -f also what comes later"""
    house.create("m")
    child = house.popen("vm", "logs", "-f", "m")
    fd = child.stdout.fileno()
    house.sh("m", "echo '<0>marker one' >/dev/kmsg")
    seen = b""
    while b"marker one" not in seen:
        assert select.select([fd], [], [], live.PATIENCE)[0], seen[-300:]
        seen += os.read(fd, 65536)
    child.terminate()
    child.wait(live.PATIENCE)
    assert b"marker one" in house.ok("vm", "logs", "m")
    house.ok("vm", "stop", "m")
    assert b"marker one" in house.ok("vm", "logs", "m")
    assert len(house.ok("vm", "logs", "--tail", "10", "m")) <= 10


def ports(house):
    """ports shows a guest's listeners, with process and a URL for HTTP"""
    house.create("m")
    house.ok("vm", "cp", live.busybox(), "m:/bin/busybox")
    house.sh("m", "mkdir /www && echo hello >/www/index.html; "
                  "setsid busybox httpd -f -p 8080 -h /www >/dev/null 2>&1 </dev/null & "
                  "setsid busybox nc -l -p 9999 -e cat >/dev/null 2>&1 </dev/null & "
                  "until grep -q ':270F ' /proc/net/tcp* && grep -q ':1F90 ' /proc/net/tcp*; do "
                  "sleep 0.1; done")
    found = {p["port"]: p for p in house.json("vm", "ports", "m")}
    assert found[8080]["proto"] == "tcp" and found[8080]["process"] == "busybox", found
    assert found[8080]["url"].startswith("http://"), found
    assert "url" not in found[9999], found


def network(house):
    """net nat has a way out and a name server; net none has nothing but loopback"""
    house.create("nat")
    house.create("none", "--net", "none")
    assert "10.0.2.15" in house.sh("nat", "ip -4 -br address")
    assert "nameserver" in house.sh("nat", "cat /etc/resolv.conf")
    assert house.sh("none", "ls /sys/class/net").split() == ["lo"]


def size(house):
    """vcpus, memory and disk are those that were asked for"""
    house.create("m", "--vcpus", "1", "--memory", "300M", "--disk", "12G")
    assert house.sh("m", "nproc") == "1\n"
    total = int(house.sh("m", "sed -n 's/MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo"))
    assert 200 * 1024 < total <= 300 * 1024, total
    blocks = int(house.sh("m", "df -B1 --output=size /root | tail -n 1"))
    assert 11.5e9 < blocks < 12.9e9, blocks


def reflinks(directory):
    """Whether the filesystem can share blocks between files."""
    one, two = directory / "one", directory / "two"
    one.write_bytes(b"x" * 65536)
    try:
        with open(one, "rb") as a, open(two, "wb") as b:
            fcntl.ioctl(b, FICLONE, a.fileno())
        return True
    except OSError:
        return False
    finally:
        one.unlink()
        two.unlink(missing_ok=True)


def layers(house):
    """every layer that this host can make boots; one that it cannot is a clear error"""
    able = {"qcow2": True, "copy": True, "reflink": reflinks(house.dir)}
    for name, can in able.items():
        if not can:
            error = house.fails("vm", "create", "--name", "m", "--image", "debian", "--layer", name)
            assert error["code"] == "unsupported", error
            assert house.vms() == {} and not house.leftovers()
            continue
        house.create("m", "--layer", name)
        assert house.vm("m")["layer"] == name
        house.sh("m", "echo kept >/note")
        house.ok("vm", "restart", "m")
        assert house.sh("m", "cat /note") == "kept\n", name
        house.ok("vm", "delete", "m")
    house.create("other")
    assert house.run("vm", "exec", "other", "--", "test", "-e", "/note").code == 1, \
        "a machine wrote into its image"


def prune(house):
    """prune: stopped machines, leftovers and layers of pulls, with their bytes; dry runs take none"""
    house.create("runs")
    house.create("stopped")
    house.ok("vm", "stop", "stopped", "--timeout", "0")
    house.create("never", "--no-start")
    said = house.json("vm", "prune", "--dry-run")
    assert {i["name"] for i in said["items"]} == {"stopped", "never"} and said["dry_run"], said
    assert said["bytes"] == sum(i["bytes"] for i in said["items"]) > 0, said
    assert len(house.vms()) == 3
    assert house.json("vm", "prune", "--older", "1h")["items"] == []
    out = house.ok("vm", "prune").decode()
    assert "machine stopped, " in out and "machine never, " in out and "freed" in out, out
    assert list(house.vms()) == ["runs"]
    layers = house.state / "layers/sha256"
    layers.mkdir(parents=True)
    (layers / ("0" * 64)).write_bytes(os.urandom(100000))
    leftover = house.state / "image/zzzzzzzz"
    leftover.mkdir()
    said = house.json("prune", "--dry-run", "--all")
    assert {i["kind"] for i in said["items"]} == {"layer", "leftover"} and said["bytes"] >= 100000
    assert (layers / ("0" * 64)).exists() and leftover.exists()
    said = house.json("image", "prune")
    assert {i["kind"] for i in said["items"]} == {"layer", "leftover"}, said
    assert not (layers / ("0" * 64)).exists() and not leftover.exists()
    assert house.ok("prune", "--all").decode() == "freed 0 B\n"
    assert house.sh("runs", "echo works") == "works\n"


def clock(house):
    """a guest's clock is the host's when its agent is met, and met again"""
    house.create("m")
    assert abs(int(house.sh("m", "date +%s")) - time.time()) < 5
    house.sh("m", "date -s @1000000000 >/dev/null")
    assert int(house.sh("m", "date +%s")) < 1000000100
    house.kill_daemon()
    house.ok("daemon", "start")
    assert abs(int(house.sh("m", "date +%s")) - time.time()) < 5


if __name__ == "__main__":
    live.main([several_names, shapes, states, work_stays, console, ports, network, size, layers, clock, prune])
