#!/usr/bin/env python3
"""Ctrl-C and SIGKILL of the CLI in every stage of `vm run --rm`: nothing is left."""
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import live  # noqa: E402

STAGES = ("image", "disk", "machine", "boot", "agent", "name")


def at_stage(house, stage, number, *flags):
    """Runs, sends the signal when the stage begins, and waits until the machine is gone."""
    events = house.events()  # new ones: an earlier run's may still come
    child = house.popen("vm", "run", "--rm", *flags, "--image", "debian", "--", "sleep", "1000")
    event = events.await_event(kind="op.stage", stage=stage, state="begun")
    child.send_signal(number)
    child.communicate(timeout=live.PATIENCE)
    if house.vms():
        assert number == signal.SIGKILL, f"{stage}: the CLI left before the machine was gone"
        events.await_event(kind="vm.deleted", vm=event["vm"])
    assert house.vms() == {}, stage
    assert not house.leftovers(), (stage, house.leftovers())
    return child.returncode


def interrupt_while_making(house):
    """Ctrl-C in each stage of a boot undoes it all"""
    for stage in STAGES:
        code = at_stage(house, stage, signal.SIGINT)
        assert code == 130, (stage, code)


def terminate_while_making(house):
    """SIGTERM and SIGHUP during the boot do so too"""
    for number in (signal.SIGTERM, signal.SIGHUP):
        code = at_stage(house, "boot", number, "--progress")
        assert code == 128 + number, (number, code)


def kill_while_making(house):
    """SIGKILL of the CLI in each stage leaves nothing: the daemon undoes it"""
    for stage in STAGES:
        code = at_stage(house, stage, signal.SIGKILL)
        assert code == -signal.SIGKILL, (stage, code)


def interrupt_the_program(house):
    """Ctrl-C while the program runs is the program's; --rm follows its end"""
    child = house.popen("vm", "run", "--rm", "--image", "debian", "--", "sh", "-c",
                        "echo ready; exec sleep 1000")
    assert child.stdout.readline() == b"ready\n"
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=live.PATIENCE)
    assert (child.returncode, out) == (130, b""), (child.returncode, out, err)
    assert house.vms() == {}
    assert not house.leftovers(), house.leftovers()


def kill_the_running(house):
    """SIGKILL of the CLI while the program runs deletes a --rm machine, and no other"""
    house.create("other", "--no-start")
    events = house.events()
    child = house.popen("vm", "run", "--rm", "--image", "debian", "--", "sh", "-c",
                        "echo ready; exec sleep 1000")
    assert child.stdout.readline() == b"ready\n"
    child.kill()
    child.wait()
    events.await_event(kind="vm.deleted")
    assert list(house.vms()) == ["other"]
    house.ok("vm", "delete", "other")
    assert not house.leftovers(), house.leftovers()


def impatience(house):
    """three times Ctrl-C leaves a program that does not listen; --rm still holds"""
    events = house.events()
    child = house.popen("vm", "run", "--rm", "--image", "debian", "--", "sh", "-c",
                        "trap 'echo again' INT; echo ready; while :; do sleep 0.05; done")
    assert child.stdout.readline() == b"ready\n"
    for _ in range(2):
        child.send_signal(signal.SIGINT)
        assert child.stdout.readline() == b"again\n"
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=live.PATIENCE)
    assert child.returncode == 130, child.returncode
    if house.vms():
        events.await_event(kind="vm.deleted")
    assert house.vms() == {}


def interrupted_create(house):
    """Ctrl-C in `vm create` undoes it; with -d it goes on by itself"""
    events = house.events()
    child = house.popen("vm", "create", "--name", "m", "--image", "debian")
    events.await_event(kind="op.stage", stage="boot", state="begun")
    child.send_signal(signal.SIGINT)
    assert child.wait(live.PATIENCE) == 130
    assert house.vms() == {}
    assert not house.leftovers(), house.leftovers()
    assert house.ok("vm", "create", "-d", "--name", "d", "--image", "debian") == b"d\n"
    house.ok("vm", "wait", "d")
    assert house.sh("d", "echo here") == "here\n"


def late_boot(house):
    """a boot that takes longer than --timeout is undone and says which stage it was"""
    done = house.run("vm", "run", "--rm", "--timeout", "1s", "--image", "debian", "--", "true")
    assert done.code == 125 and b"boot" in done.err, done.err
    assert house.vms() == {}
    assert not house.leftovers(), house.leftovers()


if __name__ == "__main__":
    live.main([interrupt_while_making, terminate_while_making, kill_while_making,
               interrupt_the_program, kill_the_running, impatience, interrupted_create,
               late_boot])
