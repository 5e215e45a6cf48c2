#!/usr/bin/env python3
"""The daemon itself: started on demand, by many at once; its exit codes; hostile clients."""
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import live  # noqa: E402

MIB = 1024 * 1024
CLIENTS = 8


def on_demand(house):
    """8 clients at once with no daemon: one daemon serves them all"""
    for _ in range(5):
        children = [house.popen("--json", "ping") for _ in range(CLIENTS)]
        pids = set()
        for child in children:
            out, err = child.communicate(timeout=live.PATIENCE)
            assert child.returncode == 0, (child.returncode, err)
            pids.add(re.search(rb'"pid": (\d+)', out)[1])
        assert len(pids) == 1, pids
        left = [p for p, name in live.processes_of(house.dir).items() if name == "bangerd"]
        for pid in set(left) - {int(p) for p in pids}:
            live.await_exit(pid)  # one that lost the race may be about to end
        house.kill_daemon()


def exit_codes(house):
    """daemon start, status, restart and stop answer as documented"""
    done = house.run("daemon", "status")
    assert done.code == 3, (done.code, done.err)
    assert house.fails("daemon", "status", code=3)["code"] == "unavailable"
    assert house.ok("daemon", "stop") == b"not running\n"
    assert not live.processes_of(house.dir), "a question started a daemon"
    house.ok("daemon", "start")
    first = house.daemon()
    assert first
    assert b"already running" in house.ok("daemon", "start")
    house.ok("daemon", "restart")
    second = house.daemon()
    assert second and second != first
    assert b"stopped" in house.ok("daemon", "stop")
    assert house.run("daemon", "status").code == 3
    for args in (("version",), ("help",), ("config", "show"), ("completion", "bash")):
        house.ok(*args)
    assert not live.processes_of(house.dir), "a question started a daemon"
    assert house.run("--socket", str(house.dir / "none"), "vm", "list").code == 3
    assert house.run("vm", "no-such-command").code == 2


def second_daemon(house):
    """a second daemon on the same state is refused"""
    house.ok("daemon", "start")
    first = house.daemon()
    other = {**house.env, "BANGER_RUNTIME_DIR": str(house.dir / "other")}
    done = house.run("ping", env=other)
    assert done.code in (1, 3), (done.code, done.out, done.err)
    assert house.daemon() == first
    done = subprocess.run([str(house.bin / "bangerd")], env=house.env, capture_output=True,
                          timeout=live.PATIENCE, check=False)
    assert done.returncode in (0, 1), done  # 0: it found that one serves already
    assert house.daemon() == first


def signals(house):
    """SIGTERM ends the daemon in order; machines go on"""
    house.create("m")
    pid = house.daemon()
    os.kill(pid, 15)
    live.await_exit(pid)
    assert house.sh("m", "echo on") == "on\n"


def hostile_clients(house):
    """hostile bytes on the socket close that connection, cost little memory and nobody else"""
    house.create("m")
    pid = house.daemon()
    rss, peak = live.memory(pid, "VmRSS"), live.memory(pid, "VmPeak")
    done = subprocess.run(
        [sys.executable, str(live.TOP / "tests/foreign/conformance.py"),
         str(house.runtime / "bangerd.sock"), str(pid)],
        env=house.env, capture_output=True, text=True, timeout=110, check=False)
    failed = re.findall(r"^not ok.*(?:\n#.*)*", done.stdout, re.M)
    assert not failed, "\n".join(failed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert house.daemon() == pid, "the daemon was replaced"
    assert house.sh("m", "echo well") == "well\n"
    grown = live.memory(pid, "VmRSS") - rss, live.memory(pid, "VmPeak") - peak
    assert grown[0] < 8 * MIB and grown[1] < 64 * MIB, grown
    print(f"# RSS grew by {grown[0] // 1024} KiB, VmPeak by {grown[1] // 1024} KiB")


def idle(house):
    """an idle daemon without machines is not woken once in 62 s, and is small (H1, H3)"""
    # a port of its own: one that another daemon has is tried again, which is a wake-up
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (house.dir / "c/config.yaml").write_text(f"dns_listen: 127.0.0.1:{port}\n")
    house.ok("daemon", "start")
    pid = house.daemon()
    own = live.memory(pid, "RssAnon") + live.memory(pid, "RssShmem")
    assert own < 8 * MIB, own
    tasks = [t / "status" for t in Path(f"/proc/{pid}/task").iterdir()]

    def switches():
        text = "".join(t.read_text() for t in tasks)
        return sum(int(n) for n in re.findall(r"ctxt_switches:\s*(\d+)", text))

    before = None
    while before != (now := switches()):  # until what its start left to do is over
        before = now
        time.sleep(0.2)
    time.sleep(62)  # that nothing happens is what is awaited; libev's own clock ticks at 59.7 s
    assert switches() == before, f"woken {switches() - before} times"


def private(house):
    """socket and directories are the owner's alone"""
    house.ok("daemon", "start")
    for path in (house.state, house.runtime):
        assert path.stat().st_mode & 0o077 == 0, (path, oct(path.stat().st_mode))
    assert (house.runtime / "bangerd.sock").stat().st_mode & 0o777 == 0o600


if __name__ == "__main__":
    live.main([on_demand, exit_codes, second_daemon, signals, hostile_clients, idle, private])
