#!/usr/bin/env python3
"""kill -9 of daemon and VMM at every step, and how guests end."""
import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import live  # noqa: E402

STEPS = [(stage, state) for stage in ("image", "disk", "machine", "boot", "agent", "name")
         for state in ("begun", "done")]


def whole_or_gone(house, label):
    """After a restart each machine works or is gone, and a second restart changes nothing."""
    events = house.events()
    vms = house.settled(events)
    for name, vm in vms.items():
        assert vm["state"] in ("running", "stopped"), (label, vm)
        if vm["state"] == "stopped":
            house.ok("vm", "start", name)
        assert house.sh(name, "echo works") == "works\n", label
        house.ok("vm", "delete", name)
    found = house.leftovers()
    assert not found, (label, found)
    house.ok("daemon", "restart")
    assert house.vms() == {}, label


def killed_at(house, args, when, label):
    """Kills the daemon when an event comes that `when` likes, and judges what is left."""
    events = house.events()
    pid = house.daemon()
    child = house.popen(*args)
    for event in events:
        if when(event):
            os.kill(pid, signal.SIGKILL)
            break
    live.await_exit(pid)
    child.communicate(timeout=live.PATIENCE)
    whole_or_gone(house, label)


def at_step(stage, state):
    return lambda e: e["kind"] == "op.stage" and (e["stage"], e["state"]) == (stage, state)


def create(house):
    """kill -9 of the daemon at every step of vm create: a working machine or no trace"""
    for step in STEPS:
        killed_at(house, ("vm", "create", "--name", "m", "--image", "debian"), at_step(*step),
                  step)


def create_detached(house):
    """the same for a create that was told to go on by itself"""
    for step in (("image", "begun"), ("disk", "done"), ("machine", "done"), ("boot", "done"),
                 ("agent", "done")):
        killed_at(house, ("vm", "create", "-d", "--name", "m", "--image", "debian"),
                  at_step(*step), step)


def create_between(house):
    """the same in the middle of steps that are too short to be seen"""
    for i in range(12):
        house.events()
        pid = house.daemon()
        child = house.popen("vm", "create", "--name", "m", "--image", "debian")
        end = time.monotonic() + 0.002 * i  # the moment is what is tried, nothing is awaited
        while time.monotonic() < end:
            pass
        live.end_process(pid)
        child.communicate(timeout=live.PATIENCE)
        whole_or_gone(house, f"{2 * i} ms")


def run_rm(house):
    """a --rm machine goes with the daemon that it was made by, whatever the step"""
    for step in STEPS:
        killed_at(house, ("vm", "run", "--rm", "--image", "debian", "--", "sleep", "1000"),
                  at_step(*step), step)


def stop_and_delete(house):
    """kill -9 of the daemon in every step of stop, start and delete"""
    for args, steps in ((("stop", "m"), ("shutdown", "end", "note")),
                        (("start", "m"), ("image", "machine", "boot", "agent", "name")),
                        (("delete", "m"), ("end", "disk", "image"))):
        for stage in steps:
            house.create("m", *(["--no-start"] if args[0] == "start" else []))
            killed_at(house, ("vm", *args), at_step(stage, "begun"), (args[0], stage))


def running_survives(house):
    """a running machine survives the daemon's kill -9, keeps its process and takes exec"""
    house.create("m")
    house.sh("m", "echo kept >/run/note")
    before = house.vm("m")
    for _ in range(3):
        house.kill_daemon()
        after = house.vm("m")
        assert (after["state"], after["pid"]) == ("running", before["pid"]), after
        assert house.sh("m", "cat /run/note") == "kept\n"
    house.ok("daemon", "restart")
    assert house.sh("m", "cat /run/note") == "kept\n"
    assert house.vm("m")["pid"] == before["pid"]
    assert house.vm("m")["uptime_ms"] >= before["uptime_ms"]


def exec_ends_clearly(house):
    """an exec under way ends with banger's code when the daemon is killed"""
    house.create("m")
    child = house.popen("vm", "exec", "m", "--", "sh", "-c", "echo ready; exec sleep 1000")
    assert child.stdout.readline() == b"ready\n"
    house.kill_daemon()
    _, err = child.communicate(timeout=live.PATIENCE)
    assert child.returncode == 125 and err, (child.returncode, err)
    house.sh("m", "while pgrep -fx 'sleep 1000'; do sleep 0.1; done >/dev/null")


def ended(house, events, name):
    events.await_event(kind="vm.stopped", name=name)
    vm = house.vm(name)
    assert vm["state"] == "stopped" and "pid" not in vm, vm
    return vm["reason"]


def vmm_killed(house):
    """kill -9 of the VMM: stopped, with its reason, and it starts again with its files"""
    house.create("m")
    house.sh("m", "echo kept >/note; sync")
    events = house.events()
    os.kill(house.vm("m")["pid"], signal.SIGKILL)
    assert ended(house, events, "m") == "vmm_died"
    assert not [f for f in house.leftovers() if f.startswith((str(house.runtime), "qemu"))]
    house.ok("vm", "start", "m")
    assert house.sh("m", "cat /note") == "kept\n"


def vmm_killed_in_boot(house):
    """kill -9 of the VMM during a create fails it clearly and leaves nothing"""
    events = house.events()
    child = house.popen("vm", "create", "--name", "m", "--image", "debian")
    events.await_event(kind="op.stage", stage="boot", state="begun")
    os.kill(house.vm("m")["pid"], signal.SIGKILL)
    _, err = child.communicate(timeout=live.PATIENCE)
    assert child.returncode == 1 and b"boot" in err, (child.returncode, err)
    assert house.vms() == {}
    assert not house.leftovers(), house.leftovers()


def vmm_and_daemon_killed(house):
    """both killed: the next daemon says that the VMM died"""
    house.create("m")
    pid = house.vm("m")["pid"]
    house.kill_daemon()
    live.end_process(pid)
    vm = house.vm("m")
    assert (vm["state"], vm["reason"]) == ("stopped", "vmm_died"), vm


def power_off(house):
    """a guest that powers off is stopped by its own will"""
    house.create("m")
    events = house.events()
    house.run("vm", "exec", "m", "--", "sh", "-c", "echo o >/proc/sysrq-trigger; sleep 1000")
    assert ended(house, events, "m") == "guest_shutdown"


def panic(house):
    """a guest that panics is stopped with that reason"""
    house.create("m")
    events = house.events()
    house.run("vm", "exec", "m", "--", "sh", "-c", "echo c >/proc/sysrq-trigger; sleep 1000")
    assert ended(house, events, "m") == "guest_panic"


def reboot(house):
    """a guest that reboots comes up again as a new process with its files"""
    house.create("m")
    house.sh("m", "echo kept >/note; sync")
    before = house.vm("m")["pid"]
    events = house.events()
    house.run("vm", "exec", "m", "--", "sh", "-c", "echo b >/proc/sysrq-trigger; sleep 1000")
    events.await_event(kind="vm.running", name="m")
    assert house.sh("m", "cat /note") == "kept\n"
    assert house.vm("m")["pid"] != before


if __name__ == "__main__":
    live.main([create, create_detached, create_between, run_rm, stop_and_delete,
               running_survives, exec_ends_clearly, vmm_killed, vmm_killed_in_boot,
               vmm_and_daemon_killed, power_off, panic, reboot])
