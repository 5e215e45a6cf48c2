#!/usr/bin/env python3
"""A disk that fails under the store: what was acknowledged holds, and nothing else is claimed."""
import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import live  # noqa: E402

LIBRARY = live.TOP / "build/tests/flush_fails.so"


class Disk:
    """The daemon of a house, on a disk that can be told to fail."""

    def __init__(self, house):
        if not LIBRARY.exists():
            raise live.Skip(f"{LIBRARY.relative_to(live.TOP)} was not built")
        self.house, self.switch = house, house.dir / "fails"
        self.env = {**house.env, "LD_PRELOAD": str(LIBRARY), "FLUSH_FAILS": str(self.switch)}

    def start(self):
        """A daemon that listens."""
        here, there = os.pipe()
        self.child = subprocess.Popen(
            [str(self.house.bin / "bangerd"), "--ready-fd", str(there)], env=self.env,
            pass_fds=[there], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=open(self.house.dir / "bangerd.err", "ab"))
        os.close(there)
        assert os.read(here, 400) == b"+"
        os.close(here)

    def fails(self, error):
        part = self.switch.with_suffix(".part")
        part.write_text(str(error))
        part.rename(self.switch)

    def is_well(self):
        self.switch.unlink()


def ask(house, requests):
    """Sends requests at once; answers what came, by msgid, until the connection ends."""
    c = socket.socket(socket.AF_UNIX)
    c.settimeout(live.PATIENCE)
    c.connect(str(house.runtime / "bangerd.sock"))
    pack = live.msgpack.packb
    c.sendall(b"".join(pack([0, i, *request]) for i, request in enumerate(requests)))
    reader, answers = live.msgpack.Unpacker(raw=False), {}
    try:
        while data := c.recv(65536):
            reader.feed(data)
            for frame in reader:
                if frame[0] == 1:
                    assert frame[1] not in answers, "answered twice"
                    answers[frame[1]] = frame[2:]
    except ConnectionResetError:
        pass
    c.close()
    return answers


def flush_fails(house):
    """EIO from a flush: open requests get an error, the daemon ends, the next one tells the truth"""
    disk = Disk(house)
    disk.start()
    house.create("kept")
    house.create("stays", "--no-start")
    before = house.vm("kept")
    disk.fails(errno.EIO)
    answers = ask(house, [["vm.wait", [{"vm": "kept", "until": "stopped"}]],
                          ["vm.delete", [{"vm": "stays"}]]])
    assert disk.child.wait(timeout=live.PATIENCE) == 1
    assert sorted(answers) == [0, 1], answers
    for error, result in answers.values():
        assert result is None and error["code"] == "unavailable", answers
        assert "Input/output error" in error["message"] and error["hint"], answers
    disk.is_well()
    # what ended is restarted by the next command; nothing that was acknowledged is lost
    after = house.vm("kept")
    assert (after["state"], after["pid"]) == ("running", before["pid"]), after
    assert house.sh("kept", "echo works") == "works\n"
    assert set(house.vms()) - {"stays"} == {"kept"}, house.vms()


def create_meets_it(house):
    """the same in the middle of a create: it is not acknowledged, and leaves all or nothing"""
    disk = Disk(house)
    for step in (("image", "begun"), ("machine", "done"), ("boot", "begun")):
        disk.start()
        watcher = live.Events(str(house.runtime / "bangerd.sock"))
        child = house.popen("vm", "create", "--name", "m", "--image", "debian")
        for event in watcher:
            if event["kind"] == "op.stage" and (event["stage"], event["state"]) == step:
                break
        disk.fails(errno.EIO)
        assert disk.child.wait(timeout=live.PATIENCE) == 1, step
        _, err = child.communicate(timeout=live.PATIENCE)
        assert child.returncode not in (0, None) and err, (step, child.returncode, err)
        watcher.close()
        disk.is_well()
        events = house.events()
        for name, vm in house.settled(events).items():
            assert vm["state"] == "running" and house.sh(name, "echo works") == "works\n", vm
            house.ok("vm", "delete", name)
        assert not house.leftovers(), (step, house.leftovers())
        house.ok("daemon", "stop")


def no_space(house):
    """ENOSPC: a clean error, and the daemon stays up, reads, and goes on when there is room"""
    disk = Disk(house)
    disk.start()
    house.create("m")
    disk.fails(errno.ENOSPC)
    error = house.fails("vm", "create", "--name", "n", "--image", "debian")
    assert error["code"] == "no_space", error
    assert house.sh("m", "echo works") == "works\n"
    assert set(house.vms()) == {"m"}
    disk.is_well()
    house.create("n")
    assert disk.child.poll() is None, "the daemon ended for lack of space"


def too_small(house):
    """--disk below the image's work-seed is refused with field, least size and a hint"""
    events = house.events()
    error = house.fails("vm", "create", "--name", "m", "--image", "debian", "--disk", "64M")
    assert (error["code"], error["field"]) == ("invalid_value", "disk"), error
    assert "64M" in error["message"] and "8G" in error["message"], error
    assert "--disk 8G" in error["hint"], error
    assert house.vms() == {}
    (house.dir / "c/config.yaml").write_text("disk: 64M\n")
    house.ok("daemon", "restart")
    error = house.fails("vm", "create", "--name", "m", "--image", "debian")
    assert error["field"] == "disk" and "config.yaml" in error["hint"], error
    (house.dir / "c/config.yaml").unlink()
    house.ok("daemon", "restart")
    house.create("m", "--disk", "8G", "--no-start")
    events.close()


if __name__ == "__main__":
    live.main([flush_fails, create_meets_it, no_space, too_small])
