#!/usr/bin/env python3
"""The daemon of an installed system with the real helper: machines on bridge and taps, in jails.

A daemon of the owner's (no root) and a root helper, in a network of their own, and real guests under
TCG. What either of them leaves behind when it is killed, the next start takes up or removes.
"""
import json
import os
import re
import signal
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "lib"), str(HERE.parent / "live/lib")]
import rig as rigs  # noqa: E402  pylint: disable=wrong-import-position
import live  # noqa: E402  pylint: disable=wrong-import-position
from house import (BRIDGE, GATEWAY, address_of, await_that, housed, jails, links,  # noqa: E402
                   nothing_left, taps)  # pylint: disable=wrong-import-position
from wire import sh  # noqa: E402  pylint: disable=wrong-import-position


def uid_of(pid):
    return int(re.search(r"^Uid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M)[1])


@housed
def a_life(house):
    """A machine on bridge and tap, in a jail; it keeps its address; nothing is left of it"""
    house.ok("vm", "create", "--vcpus", "1", "--name", "one")
    shown = house.show("one")
    vm, address = shown["vm"]["id"], shown["address"]
    assert address.endswith("/20") and address.startswith("10.87.48."), shown
    assert taps() == [f"bngr-{vm}"] and links()[f"bngr-{vm}"]["master"] == BRIDGE
    assert uid_of(shown["vm"]["pid"]) not in (0, rigs.OWNER)
    assert address in house.inside("one", "ip addr")
    house.inside("one", f"ping -c 1 -W 5 {GATEWAY}")
    sh(f"{live.busybox()} ping -c 1 -W 5 {address.split('/')[0]}")
    assert address_of("one") == address.split("/")[0]
    house.ok("vm", "stop", "one")
    house.ok("vm", "start", "one")
    assert house.show("one")["address"] == address
    house.inside("one", f"ping -c 1 -W 5 {GATEWAY}")
    house.ok("vm", "create", "--vcpus", "1", "--name", "two")
    second = house.show("two")["address"]
    assert second != address
    house.ok("vm", "delete", "one", "two")
    assert address_of("one") is None
    nothing_left(house)


@housed
def a_killed_daemon(house):
    """A daemon that is killed finds its machine again, in its jail and on its tap"""
    house.ok("vm", "create", "--vcpus", "1", "--name", "one")
    before = house.show("one")
    house.kill()
    house.start()
    await_that("the agent does not answer", lambda: "agent" in house.show("one"))
    after = house.show("one")
    assert after["vm"]["pid"] == before["vm"]["pid"] and after["address"] == before["address"]
    house.inside("one", f"ping -c 1 -W 5 {GATEWAY}")
    house.ok("vm", "delete", "one")
    nothing_left(house)


@housed
def a_killed_helper(house):
    """A helper that is killed: machines go on, and the next one serves"""
    house.ok("vm", "create", "--vcpus", "1", "--name", "one")
    pid = house.show("one")["vm"]["pid"]
    house.rig.restart()
    house.inside("one", f"ping -c 1 -W 5 {GATEWAY}")
    house.ok("vm", "create", "--vcpus", "1", "--name", "two")
    assert house.show("one")["vm"]["pid"] == pid
    house.ok("vm", "delete", "one", "two")
    nothing_left(house)


@housed
def both_killed(house):
    """Daemon, helper and VMM killed together: the next start removes what is left"""
    house.ok("vm", "create", "--vcpus", "1", "--name", "one")
    pid = house.show("one")["vm"]["pid"]
    house.kill()
    house.rig.stop(signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    house.rig.start()
    house.start()
    assert house.show("one")["vm"]["state"] == "stopped"
    await_that("its jail stays", lambda: not jails(house))
    house.ok("vm", "start", "one")
    house.inside("one", f"ping -c 1 -W 5 {GATEWAY}")
    house.ok("vm", "delete", "one")
    nothing_left(house)


@housed
def a_stolen_bridge(house):
    """A bridge that somebody deletes is there again, with the machine's tap on it"""
    house.ok("vm", "create", "--vcpus", "1", "--name", "one")
    tap = taps()[0]
    sh(f"ip link del {BRIDGE}")
    await_that("the bridge is not mended",
               lambda: BRIDGE in links() and links()[tap].get("master") == BRIDGE)
    house.inside("one", f"ping -c 3 -W 5 {GATEWAY}")
    house.ok("vm", "delete", "one")
    nothing_left(house)


@housed
def a_stopped_helper(house):
    """A helper that hangs: the daemon serves on, says so in time, and nothing is done twice"""
    house.ok("vm", "create", "--vcpus", "1", "--name", "one")
    house.rig.child.send_signal(signal.SIGSTOP)
    begun = time.monotonic()
    assert len(json.loads(house.ok("vm", "list", "--json"))) == 1
    house.inside("one", "true")
    assert time.monotonic() - begun < 5
    try:
        error = house.fails("vm", "create", "--vcpus", "1", "--name", "two", timeout=90)
    finally:
        house.rig.child.send_signal(signal.SIGCONT)
    assert error["code"] == "timeout" and "does not answer" in error["message"], error
    await_that("two is still there",
               lambda: [v["name"] for v in json.loads(house.ok("vm", "list", "--json"))] == ["one"])
    await_that(f"a tap too many: {taps()}", lambda: len(taps()) == 1)
    house.ok("vm", "create", "--vcpus", "1", "--name", "two")
    house.ok("vm", "delete", "one", "two")
    nothing_left(house)


@housed
def no_helper(house):
    """Without a helper a machine is refused with the reason, and the daemon lives"""
    house.rig.stop()
    error = house.fails("vm", "create", "--vcpus", "1", "--name", "one")
    assert error["code"] == "unavailable" and "banger-helper" in error["hint"], error
    assert json.loads(house.ok("vm", "list", "--json")) == []
    house.rig.start()
    house.ok("vm", "create", "--vcpus", "1", "--name", "one")
    house.ok("vm", "delete", "one")
    nothing_left(house)


if __name__ == "__main__":
    rigs.main([a_life, a_killed_daemon, a_killed_helper, both_killed, a_stolen_bridge, a_stopped_helper,
               no_helper])
