#!/usr/bin/env python3
"""kill -9 of daemon, helper and both in every step of every flow of a machine in system mode.

Afterwards a machine works or is gone, whatever root holds for machines is in the helper's ledger, and
when the last machine is deleted nothing is left of any.
"""
import signal
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "lib"), str(HERE.parent / "live/lib")]
import rig as rigs  # noqa: E402  pylint: disable=wrong-import-position
from house import housed, jails, nothing_left, taps  # noqa: E402  pylint: disable=wrong-import-position

CREATE = ("vm", "create", "--vcpus", "1", "--name", "m")
START = ("image", "network", "machine", "boot", "agent", "name")


def kill_daemon(house):
    house.kill()
    house.start()


def kill_helper(house):
    house.rig.restart()


def kill_both(house):
    house.daemon.send_signal(signal.SIGKILL)
    house.rig.stop(signal.SIGKILL)
    house.daemon.wait()
    house.rig.start()
    house.start()


def explained(house):
    """Taps and jails that are there are those of machines that the daemon knows."""
    known = {vm["id"] for vm in house.vms().values()}
    assert {tap.split("-")[1] for tap in taps()} <= known, (taps(), known)
    assert set(jails(house)) <= known, (jails(house), known)


def judge(house):
    """Each machine works or is gone; when it is deleted, nothing is left."""
    for name, vm in house.settled().items():
        if vm["state"] == "stopped":
            house.ok("vm", "start", name)
        assert house.inside(name, "echo works") == "works\n"
        explained(house)
        house.ok("vm", "delete", name)
    nothing_left(house)


def killed_in(house, kill, args, step):
    """Kills when the step begins, and judges what is left."""
    if args != CREATE:
        house.ok(*CREATE)
        if args[1] == "start":
            house.ok("vm", "stop", "m")
    events = house.events()
    child = house.as_owner([str(rigs.TOP / "build/bin/banger"), *args], stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
    events.await_event(kind="op.stage", stage=step, state="begun")
    kill(house)
    child.wait(rigs.DEADLINE)
    events.close()
    try:
        judge(house)
    except Exception as error:
        raise AssertionError(f"{args[1]}, killed in {step}: {error}") from error


def kills(what, kill):
    @housed
    def inner(house):
        for args, steps in ((CREATE, ("image", "disk", *START[1:])),
                            (("vm", "start", "m"), START),
                            (("vm", "stop", "m"), ("shutdown", "end", "note")),
                            (("vm", "delete", "m"), ("end", "network", "disk", "image"))):
            for step in steps:
                killed_in(house, kill, args, step)
    inner.__doc__ = f"{what} killed in every step of create, start, stop and delete"
    inner.__name__, inner.deadline = kill.__name__, 900
    return inner


if __name__ == "__main__":
    rigs.main([kills("the daemon", kill_daemon), kills("the helper", kill_helper),
               kills("both", kill_both)])
