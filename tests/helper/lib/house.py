"""The owner's daemon of an installed system beside a rig's helper, and what its machines leave."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "live/lib"))
import rig as rigs  # noqa: E402  pylint: disable=wrong-import-position
import live  # noqa: E402  pylint: disable=wrong-import-position
from wire import sh  # noqa: E402  pylint: disable=wrong-import-position

BIN = rigs.TOP / "build/bin"
KERNEL = rigs.TOP / "build/live/inputs/kernel"
BRIDGE, GATEWAY = "br-bngr", "10.87.48.1"
MADE = Path("/run/made")  # kernel and image, once for all tests of this run


class House:
    """The owner's daemon beside a rig's helper."""

    def __init__(self, rig):
        self.rig, self.daemon = rig, None
        self.conf, self.log = rig.base / "conf", rig.base / "bangerd.log"
        self.conf.mkdir(mode=0o700)
        os.chown(self.conf, rigs.OWNER, rigs.OWNER)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("BANGER_", "XDG_"))}
        self.env.update(BANGER_STATE_DIR=str(rig.state), BANGER_RUNTIME_DIR=str(rig.runtime),
                        BANGER_CONFIG_DIR=str(self.conf), BANGER_DATA_DIR=str(self.conf / "d"),
                        BANGER_HELPER_SOCKET=str(rig.socket), BANGER_JAIL_BASE=str(rig.jails),
                        HOME=str(self.conf))

    def as_owner(self, argv, **kw):
        return subprocess.Popen(argv, env=self.env, user=rigs.OWNER, group=rigs.OWNER,
                                extra_groups=[], stdin=subprocess.DEVNULL, **kw)

    def start(self):
        ready, ours = os.pipe()
        with open(self.log, "ab") as log:
            self.daemon = self.as_owner([str(BIN / "bangerd"), "--system", "--ready-fd", str(ours)],
                                        stdout=log, stderr=log, pass_fds=[ours])
        os.close(ours)
        with os.fdopen(ready, "rb") as pipe:
            said = pipe.read()
        assert said == b"+", f"the daemon says {said!r}: {self.log.read_text()[-2000:]}"

    def kill(self):
        self.daemon.send_signal(signal.SIGKILL)
        self.daemon.wait()

    def run(self, *args, timeout=60):
        child = self.as_owner([str(BIN / "banger"), *args], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)
        out, err = child.communicate(timeout=timeout)
        return child.returncode, out.decode(), err.decode()

    def ok(self, *args, timeout=60):
        code, out, err = self.run(*args, timeout=timeout)
        assert code == 0, f"{args}: exit {code}: {out}{err}\n{self.log.read_text()[-3000:]}"
        return out

    def events(self):
        """Every event from now on."""
        with rigs.as_uid(rigs.OWNER):
            return live.Events(str(self.rig.runtime / "bangerd.sock"))

    def vms(self):
        return {vm["name"]: vm for vm in json.loads(self.ok("vm", "list", "--json"))}

    def settled(self):
        """The machines, when none of them is on its way to another state."""
        events = self.events()
        try:
            while any(vm["state"] not in ("running", "stopped") for vm in self.vms().values()):
                next(iter(events))
            return self.vms()
        finally:
            events.close()

    def show(self, name):
        return json.loads(self.ok("vm", "show", "--json", name))

    def inside(self, name, script):
        return self.ok("vm", "exec", name, "--", "/bin/busybox", "sh", "-c", script)

    def fails(self, *args, timeout=60):
        """A command that must be refused; its typed error."""
        code, out, err = self.run("--json", *args, timeout=timeout)
        assert code == 1, (args, code, out, err)
        text = out + err
        return json.JSONDecoder().raw_decode(text[text.index("{"):])[0]["error"]

    def close(self):
        """Whatever the test left ends: the daemon, and all that the helper made."""
        if self.daemon and self.daemon.poll() is None:
            self.daemon.send_signal(signal.SIGKILL)
            self.daemon.wait(30)
        self.rig.teardown()


def make_once():
    """A small image and Debian's kernel, by a daemon of user mode."""
    if MADE.exists():
        return
    tree, base = Path("/run/tree"), Path("/run/making")
    live.busybox_tree(tree)
    for directory in (MADE, base):
        directory.mkdir(mode=0o700)
    env = {**os.environ, "BANGER_STATE_DIR": str(MADE), "BANGER_RUNTIME_DIR": str(base),
           "BANGER_CONFIG_DIR": str(base), "HOME": str(base)}
    for args in (("kernel", "import", "debian", str(KERNEL.resolve())),
                 ("image", "import", "debian", str(tree)), ("daemon", "stop")):
        subprocess.run([str(BIN / "banger"), *args], env=env, check=True, timeout=rigs.DEADLINE,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def housed(test):
    """A test of a House, with an image and a kernel in it."""
    def inner(rig):
        if not KERNEL.exists():
            raise rigs.Skip("build/live/inputs/kernel is not there; `make live-inputs` makes it")
        if not shutil.which("qemu-system-x86_64"):
            raise rigs.Skip("qemu-system-x86_64 is not installed")
        make_once()
        subprocess.run(["cp", "-a", "--sparse=always", f"{MADE}/.", str(rig.state)], check=True)
        subprocess.run(["chown", "-R", f"{rigs.OWNER}:{rigs.OWNER}", str(rig.state)], check=True)
        house = House(rig)
        try:
            house.start()
            test(house)
        except Exception:
            said = [house.log, *sorted(rig.state.glob("vm/*/console*"))]
            for path in said:
                print(f"# {path}:\n# " + "\n# ".join(
                    path.read_text(errors="replace").splitlines()[-40:]))
            raise
        finally:
            house.close()
    inner.__name__, inner.__doc__ = test.__name__, test.__doc__
    return inner


def links():
    return {row["ifname"]: row for row in json.loads(sh("ip -j -d link"))}


def taps():
    return sorted(name for name in links() if name.startswith("bngr-"))


def await_that(what, condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def jails(house):
    return sorted(p.name for d in house.rig.jails.iterdir() if not d.name.startswith(".") and d.is_dir()
                  for p in d.iterdir())


def nothing_left(house):
    await_that(f"taps stay: {taps()}", lambda: not taps())
    await_that(f"jails stay: {jails(house)}", lambda: not jails(house))
    await_that("rules of taps stay", lambda: not re.search(r'(?<!r-)\bbngr-[a-z0-9]',
                                                           sh("nft list ruleset")))
    assert not os.listdir(house.rig.state / "vm")


def address_of(name):
    """What the daemon's responder says of NAME.vm; None: there is no such name."""
    query = b"\0\7\1\0\0\1\0\0\0\0\0\0" + bytes([len(name)]) + name.encode() + b"\2vm\0\0\1\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.sendto(query, ("127.0.0.1", 42069))
        answer = sock.recv(512)
    assert answer[:2] == query[:2], answer
    return socket.inet_ntoa(answer[-4:]) if answer[7] else None
