#!/usr/bin/env python3
"""banger doctor: findings, --fix, --explain; and the truth after things that no daemon saw."""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import live  # noqa: E402


def findings(house, *flags, code=0):
    done = house.run("doctor", "--json", *flags)
    assert done.code == code, (done.code, done.out, done.err)
    report = json.loads(done.out)
    by_name = {}
    for check in report["checks"]:
        by_name.setdefault(check["name"], []).append(check)
        assert check["health"] in ("ok", "note", "warn", "fail"), check
    worst = max(report["checks"], key=lambda c: ["ok", "note", "warn", "fail"].index(c["health"]))
    assert report["worst"] == worst["health"], report["worst"]
    return by_name, report


def healthy(house):
    """a host that is as it should be: each thing looked at, QEMU's abilities told, exit 0"""
    checks, report = findings(house)
    for name in ("kernel", "user", "configuration", "kvm", "qemu", "room", "permissions", "subnet",
                 "network", "names", "resolver", "daemon", "kvm-trial", "layer", "leftovers", "image",
                 "guest-kernel"):
        assert name in checks, (name, sorted(checks))
    assert "fail" != report["worst"], report
    chosen = [c for c in checks["layer"] if c["found"].startswith("machines get")]
    house.create("m", "--no-start")
    assert len(chosen) == 1 and f" {house.vm('m')['layer']} " in chosen[0]["found"], chosen
    qemu = next(v for v in report["vmms"] if v["name"].startswith("qemu"))
    said = subprocess.run([qemu["path"], "--version"], capture_output=True, text=True, check=True)
    assert f"version {qemu['version']}" in said.stdout, (qemu, said.stdout)
    abilities = {a["name"]: a["can"] for a in qemu["abilities"]}
    assert abilities["microvm"] and abilities["emulation"], abilities
    text = house.ok("doctor").decode()
    assert "leftovers" in text and qemu["version"] in text, text


def no_daemon(house):
    """a daemon that cannot start costs its own part: exit 1, and the reason"""
    (house.dir / "c/config.yaml").write_text("vcpuz: 3\n")
    checks, report = findings(house, code=1)
    assert report["worst"] == "fail"
    assert "vcpus" in json.dumps(checks["configuration"]), checks["configuration"]
    assert checks["daemon"][0]["health"] == "fail" and checks["kernel"][0]["health"] == "ok"
    assert next(v for v in report["vmms"] if v["name"].startswith("qemu"))["version"]
    (house.dir / "c/config.yaml").unlink()


def hung_daemon(house):
    """a daemon that does not answer costs its part its deadline, and no other"""
    house.ok("daemon", "start")
    pid = house.daemon()
    os.kill(pid, signal.SIGSTOP)
    try:
        checks, _ = findings(house, code=1)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert "did not end in time" in checks["daemon"][0]["found"], checks["daemon"]
    assert checks["kernel"][0]["health"] == "ok" and checks["room"], checks


def hung_qemu(house):
    """a VMM that hangs when it is asked is ended, with all that it started"""
    script = house.dir / "qemu"
    script.write_text("#!/bin/sh\nsleep 1000 & wait\n")
    script.chmod(0o755)
    (house.dir / "c/config.yaml").write_text(f"qemu_bin: {script}\n")
    checks, _ = findings(house, code=1)
    assert "did not end in time" in checks["vmm"][0]["found"], checks["vmm"]
    found = [pid for pid, _ in live.processes_of(house.dir).items() if pid != house.daemon()]
    assert not found, found


def port_taken(house):
    """the port of the responder is another's: told, with how to find out whose"""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        (house.dir / "c/config.yaml").write_text(f"dns_listen: 127.0.0.1:{port}\n")
        checks, _ = findings(house)
        assert checks["names"][0]["health"] == "warn" and "taken" in checks["names"][0]["found"]
        assert any("not answered" in c["found"] for c in checks["daemon"]), checks["daemon"]


def fix(house):
    """--fix takes back rights and removes what is nobody's; without it nothing is touched"""
    house.create("m", "--no-start")
    stray = house.state / "vm/zzstray"
    stray.mkdir()
    (stray / "root.qcow2").write_bytes(b"x" * 8192)
    house.runtime.chmod(0o755)
    checks, _ = findings(house)
    assert any(str(stray) in c["found"] for c in checks["leftovers"]), checks["leftovers"]
    assert checks["permissions"][0]["health"] == "warn", checks["permissions"]
    assert stray.exists() and house.runtime.stat().st_mode & 0o777 == 0o755
    checks, _ = findings(house, "--fix")
    assert checks["leftovers"][0]["did"] and checks["permissions"][0]["did"], checks
    assert not stray.exists() and house.runtime.stat().st_mode & 0o777 == 0o700
    checks, _ = findings(house, "--fix")
    assert checks["leftovers"][0]["health"] == "ok" and "did" not in checks["permissions"][0]
    assert list(house.vms()) == ["m"] and (house.state / "vm" / house.vm("m")["id"]).is_dir()


def explained(house, name):
    told = house.json("doctor", "--explain", name)
    return told["vm"], [(r["kind"], r["name"], r["there"]) for r in told["resources"]], told


def explain(house):
    """every file, socket, process, address and name of a machine is told, and nothing else"""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    house.create("m", "-p", f"{port}:7000")
    house.create("other", "--no-start")
    vm, told, whole = explained(house, "m")
    for area in (house.state, house.runtime):
        base = area / "vm" / vm["id"]
        there = {str(base)} | {str(p) for p in base.iterdir()}
        listed = {n for k, n, _ in told if k in ("directory", "disk", "socket", "log", "file")
                  and n.startswith(str(area))}
        assert listed == there, (sorted(listed), sorted(there))
    assert ("process", str(vm["pid"]), True) in told, told
    assert ("forward", f"127.0.0.1:{port}", True) in told, told
    assert ("name", "m.vm", True) in told and any(k == "address" for k, _, _ in told), told
    assert any(k in ("cgroup", "scope") for k, _, _ in told) or not os.path.exists(
        "/sys/fs/cgroup/cgroup.controllers"), told
    process = next(r for r in whole["resources"] if r["kind"] == "process")
    start = Path(f"/proc/{vm['pid']}/stat").read_text().rsplit(")", 1)[1].split()[19]
    assert f"start time {start}" in process["detail"], (process, start)
    disk = next(r for r in whole["resources"] if r["name"].endswith("work.qcow2"))
    assert disk["bytes"] == os.stat(disk["name"]).st_blocks * 512, disk
    assert all(r["maker"] and r["why"] for r in whole["resources"])
    assert not any("other" in n for _, n, _ in told), told
    house.ok("vm", "stop", "m")
    _, told, _ = explained(house, "m")
    assert not any(k in ("process", "socket") and there for k, _, there in told), told
    assert ("name", "m.vm", False) in told, told
    assert house.fails("doctor", "--explain", "nosuch")["code"] == "not_found"


def forget_machines(house, act):
    """What the store knows goes back to how it was before `act`."""
    house.ok("daemon", "stop")
    store = house.state / "store.mdb"
    kept = store.read_bytes()
    act()
    pid = house.daemon()
    live.end_process(pid)
    store.write_bytes(kept)


def orphan(house):
    """a VMM that no record names is ended, known by its open files, though its sockets are gone"""
    house.ok("vm", "list")
    made = []
    forget_machines(house, lambda: made.append(house.vm(house.create("m"))))
    shutil.rmtree(house.runtime / "vm")
    # one that bears the same words, but has none of the files, is somebody else's
    other = subprocess.Popen(["bash", "-c", "read -r", f"banger-{made[0]['id']}"],
                             stdin=subprocess.PIPE)
    try:
        assert house.vms() == {}
        live.await_exit(made[0]["pid"])
        assert other.poll() is None, "a process of somebody else was ended"
        assert not (house.state / "vm" / made[0]["id"]).exists()
    finally:
        other.kill()
        other.wait()


def twice(house):
    """of a known machine only the process that it has may run: a second one is a leftover"""
    house.create("m", "--no-start")
    made = []

    def start():
        house.ok("vm", "start", "m")
        made.append(house.vm("m"))
    forget_machines(house, start)
    house.ok("daemon", "start")
    live.await_exit(made[0]["pid"])
    assert house.vm("m")["state"] == "stopped"
    house.ok("vm", "start", "m")
    assert house.sh("m", "echo works") == "works\n"


def reboot(house):
    """after a reboot of the host a machine is stopped, and its half resources are gone"""
    if os.geteuid() != 0:
        raise live.Skip("needs root to show the daemon another boot id")
    house.create("m")
    vm = house.vm("m")
    house.kill_daemon()
    live.end_process(vm["pid"])
    shutil.rmtree(house.runtime)
    # a pid means nothing any more: this one is another's now
    stranger = subprocess.Popen(["bash", "-c", "read -r", f"banger-{vm['id']}"],
                                stdin=subprocess.PIPE)
    boot = house.dir / "boot_id"
    boot.write_text("11111111-2222-3333-4444-555555555555\n")
    script = ('mount --bind "$1" /proc/sys/kernel/random/boot_id && exec "$2" daemon start')
    try:
        subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", str(boot), house.banger],
                       env=house.env, check=True, capture_output=True, timeout=live.PATIENCE)
        after = house.vm("m")
        assert (after["state"], after.get("reason")) == ("stopped", "host_reboot"), after
        assert "pid" not in after and stranger.poll() is None
        assert not any((house.runtime / "vm").iterdir())
        _, told, _ = explained(house, "m")
        assert not any(k == "process" for k, _, _ in told), told
        house.ok("vm", "start", "m")
        assert house.sh("m", "echo works") == "works\n"
    finally:
        stranger.kill()
        stranger.wait()


if __name__ == "__main__":
    live.main([healthy, no_daemon, hung_daemon, hung_qemu, port_taken, fix, explain, orphan, twice,
               reboot])
