#!/usr/bin/env python3
"""A Debian with systemd, from its own image: the slowest boot of all."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import live  # noqa: E402


def systemd(house):
    """a Debian with systemd boots unedited, its modules load, and poweroff is a clean end"""
    house.create("m", image="systemd")
    live.takes_all(house, "m")
    assert house.json("vm", "health", "m")["init"] == "systemd"
    done = house.run("vm", "exec", "m", "--", "systemctl", "is-system-running", "--wait",
                     timeout=150)
    failed = house.sh("m", "systemctl --failed --no-legend --plain")
    assert done.out in (b"running\n", b"degraded\n"), done.out
    assert (done.out == b"degraded\n") == bool(failed), (done.out, failed)
    print(f"# {done.out.decode().strip()} {failed.strip()}")
    assert house.ok("vm", "exec", "m", "--", "cat", "/proc/1/comm") == b"systemd\n"
    house.sh("m", "modprobe overlay && modprobe nf_tables && grep -q ^overlay /proc/modules && "
                  "grep -q ^nf_tables /proc/modules")
    house.sh("m", "mkdir /run/u /run/w /run/o && mount -t overlay overlay -o "
                  "lowerdir=/etc,upperdir=/run/u,workdir=/run/w /run/o && test -f /run/o/passwd")
    events = house.events()
    house.run("vm", "exec", "m", "--", "systemctl", "poweroff")
    events.await_event(kind="vm.stopped", name="m")
    assert house.vm("m")["reason"] == "guest_shutdown", house.vm("m")


systemd.deadline = 240


if __name__ == "__main__":
    live.main([systemd], images=("systemd",))
