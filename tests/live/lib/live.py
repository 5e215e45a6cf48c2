"""What the live tests share: private daemons in directories of their own, events, guests, TAP.

A test is a function of a House: a copy of the template (image `debian`, its kernel) with a daemon
that starts on demand. When a test ends, nothing that belongs to its house may be left; a test that
hangs is interrupted by an alarm and fails. Only processes of the test's own house are ever ended.
"""
import contextlib
import fcntl
import hashlib
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent.parent
BIN = TOP / "build/bin"
INPUTS = TOP / "build/live/inputs"
PATIENCE = 60  # seconds that one command may take
DEADLINE = 120  # seconds that one test may take

try:
    import msgpack
except ImportError:
    print("1..0 # SKIP python3-msgpack is not installed")
    sys.exit(0)


class Skip(Exception):
    """Why a test cannot run here."""


class Late(Exception):
    """A deadline passed."""


def the_input(name):
    """The path of an input that tests/live/inputs made: debian, systemd, ssh, kernel."""
    link = INPUTS / name
    if not link.exists():
        raise Skip(f"{link.relative_to(TOP)} is not there; `make live` makes it")
    return link.resolve()


def busybox():
    for path in ("/bin/busybox", "/usr/bin/busybox"):
        if os.path.exists(path) and subprocess.run(
                ["ldd", path], capture_output=True, timeout=PATIENCE, check=False).returncode:
            return path
    raise Skip("busybox-static is not installed")


# ---- processes ----

def belongs(pid, mark):
    """Whether a process names a directory in its arguments or environment."""
    for leaf in ("cmdline", "environ"):
        try:
            if mark in Path(f"/proc/{pid}/{leaf}").read_bytes():
                return True
        except OSError:
            pass
    return False


def processes_of(directory):
    mark = str(directory).encode() + b"/"
    return {int(p): name_of(p) for p in os.listdir("/proc")
            if p.isdigit() and int(p) != os.getpid() and belongs(p, mark)}


def name_of(pid):
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "?"


def await_exit(pid, seconds=PATIENCE):
    """Waits until a process is gone; that it is gone already is fine."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not select.select([fd], [], [], seconds)[0]:
            raise Late(f"process {pid} ({name_of(pid)}) is still there after {seconds} s")
    finally:
        os.close(fd)


def end_process(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    await_exit(pid)


def memory(pid, word):
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"{word}:\s*(\d+) kB", text)[1]) * 1024


# ---- what the daemon tells ----

class Events:
    """Every event of a daemon from now on: the request was answered before this returns."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.reader = msgpack.Unpacker(raw=False)
        self.socket.sendall(msgpack.packb([0, 1, "events.watch", [{}]]))
        frame = self.frame(time.monotonic() + PATIENCE)
        assert frame[:3] == [1, 1, None], frame

    def frame(self, until):
        while True:
            for frame in self.reader:
                return frame
            if not select.select([self.socket], [], [], max(0, until - time.monotonic()))[0]:
                raise Late("the event did not come")
            data = self.socket.recv(65536)
            if not data:
                raise EOFError("the daemon is gone")
            self.reader.feed(data)

    def __iter__(self):
        until = time.monotonic() + PATIENCE
        while True:
            yield self.frame(until)[2][0]

    def await_event(self, **wanted):
        for event in self:
            if all(event.get(k) == v for k, v in wanted.items()):
                return event
        raise AssertionError("unreachable")

    def close(self):
        self.socket.close()


# ---- a daemon of one's own ----

class House:
    def __init__(self, template=None):
        self.bin = template / "bin" if template else BIN
        self.banger = str(self.bin / "banger")
        self.dir = Path(tempfile.mkdtemp(prefix="bl", dir="/tmp"))
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("BANGER_")}
        for word, leaf in (("STATE", "s"), ("RUNTIME", "r"), ("CONFIG", "c"), ("DATA", "d")):
            self.env[f"BANGER_{word}_DIR"] = str(self.dir / leaf)
        self.state, self.runtime = self.dir / "s", self.dir / "r"
        self.watchers = []
        (self.dir / "c").mkdir()
        if template:
            subprocess.run(["cp", "-a", "--reflink=auto", "--sparse=always",
                            str(template / "state"), str(self.state)], check=True, timeout=PATIENCE)

    # commands

    def popen(self, *args, **kw):
        kw = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
              "env": self.env, **kw}
        return subprocess.Popen([self.banger, *map(os.fsencode, args)], **kw)

    def run(self, *args, timeout=PATIENCE, **kw):
        """Runs a command to its end; answers its result with code, out and err (bytes)."""
        data = kw.pop("input", None)
        if data is not None:
            kw["stdin"] = subprocess.PIPE
        child = self.popen(*args, **kw)
        try:
            child.out, child.err = child.communicate(data, timeout)
        except subprocess.TimeoutExpired:
            child.kill()
            _, err = child.communicate()
            raise Late(f"{args} took more than {timeout} s: {err!r}") from None
        child.code = child.returncode
        return child

    def ok(self, *args, **kw):
        done = self.run(*args, **kw)
        assert done.code == 0, f"{args}: exit {done.code}: {done.out!r} {done.err!r}"
        return done.out

    def fails(self, *args, code=1, **kw):
        """Runs a command that must be refused; answers its typed error."""
        done = self.run("--json", *args, **kw)
        assert done.code == code, f"{args}: exit {done.code}: {done.out!r} {done.err!r}"
        text = done.out + done.err
        return json.loads(text[text.index(b"{"):])["error"]

    def json(self, *args, **kw):
        return json.loads(self.ok("--json", *args, **kw))

    # machines

    def create(self, name, *flags, image="debian", **kw):
        self.ok("vm", "create", "--name", name, "--image", image, *flags, **kw)
        return name

    def sh(self, vm, script, **kw):
        return self.ok("vm", "exec", vm, "--", "sh", "-c", script, **kw).decode()

    def vm(self, name):
        return self.json("vm", "show", name)["vm"]

    def vms(self):
        return {vm["name"]: vm for vm in self.json("vm", "list")}

    def settled(self, events):
        """The machines, when none of them is on its way to another state."""
        while True:
            vms = self.vms()
            if all(vm["state"] in ("running", "stopped", "failed") for vm in vms.values()):
                return vms
            next(iter(events))

    # the daemon

    def events(self):
        self.ok("daemon", "start")
        self.watchers.append(Events(str(self.runtime / "bangerd.sock")))
        return self.watchers[-1]

    def daemon(self):
        done = self.run("--json", "daemon", "status")
        return json.loads(done.out)["pid"] if done.code == 0 else None

    def kill_daemon(self):
        pid = self.daemon()
        assert pid, "there is no daemon"
        end_process(pid)

    # the end

    def leftovers(self):
        """What is left of machines; they must all be gone by now."""
        found = [f"{name} {pid}" for pid, name in processes_of(self.dir).items()
                 if name != "bangerd"]
        for area in (self.state, self.runtime):
            found += [str(p) for leaf in ("vm", "starting") if (area / leaf).is_dir()
                      for p in (area / leaf).rglob("*")]
        return found

    def check_empty(self):
        names = list(self.vms())
        if names:
            self.ok("vm", "delete", *names)
        assert self.json("vm", "list") == [], "machines cannot be deleted"
        self.ok("daemon", "stop")
        found = self.leftovers()
        found += [f"{name} {pid}" for pid, name in processes_of(self.dir).items()]
        assert not found, f"left behind: {found}"

    def log(self):
        with contextlib.suppress(OSError):
            return (self.state / "log/bangerd.log").read_text(errors="replace").splitlines()
        return []

    def close(self):
        """By force: what a failed test left is ended too."""
        for watcher in self.watchers:
            watcher.close()
        while found := processes_of(self.dir):
            for pid in found:
                end_process(pid)
        shutil.rmtree(self.dir, ignore_errors=True)


# ---- guests ----

APPLETS = "sh cat echo ls mkdir id pwd env grep sleep stty test wc head seq rm sha256sum".split()


def busybox_tree(tree):
    (tree / "bin").mkdir(parents=True)
    (tree / "bin/busybox").write_bytes(Path(busybox()).read_bytes())
    (tree / "bin/busybox").chmod(0o755)
    for applet in APPLETS:
        (tree / "bin" / applet).symlink_to("busybox")


def takes_all(house, vm):
    """What every guest must take: exec, copies both ways, health, a clean stop."""
    assert house.run("vm", "exec", vm, "--", "sh", "-c", "exit 7").code == 7
    data = os.urandom(1000000)
    (house.dir / "in").write_bytes(data)
    house.ok("vm", "cp", str(house.dir / "in"), f"{vm}:/there")
    assert house.sh(vm, "sha256sum </there").split()[0] == hashlib.sha256(data).hexdigest()
    house.ok("vm", "cp", f"{vm}:/there", str(house.dir / "out"))
    assert (house.dir / "out").read_bytes() == data
    health = house.json("vm", "health", vm)
    assert health["ok"] and health["hostname"] == vm, health
    return health


# ---- the template ----

PROGRAMS = ("banger", "bangerd", "banger-worker", "banger-agent", "banger-stub")


def key_of(images):
    """What the template is made of."""
    key = hashlib.sha256()
    for path in (*(the_input(i) for i in images), the_input("kernel")):
        st = path.stat()
        key.update(f"{path} {st.st_size} {st.st_mtime_ns}\n".encode())
    for program in PROGRAMS:
        key.update((BIN / program).read_bytes())
    return key.hexdigest()[:16]


@contextlib.contextmanager
def template(images):
    """A state directory with kernel and images, made once for these inputs and programs.

    The programs are in it too: they stay the same while the checkout is built again.
    """
    base = TOP / "build/live"
    name = f"template-{'-'.join(images)}-"
    made = base / (name + key_of(images))
    with open(base / "lock", "w", encoding="ascii") as lock, contextlib.ExitStack() as stack:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for old in set(base.glob(f"{name}*")) - {made}:
            drop_unused(old)
        if not made.exists():
            fill(made, images)
        use = stack.enter_context(open(made / "used", "w", encoding="ascii"))
        fcntl.flock(use, fcntl.LOCK_SH)
        fcntl.flock(lock, fcntl.LOCK_UN)
        yield made


def drop_unused(old):
    """Removes a template of other programs or inputs, unless a run still uses it."""
    with contextlib.suppress(OSError), open(old / "used", "w", encoding="ascii") as use:
        fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(old)


def fill(made, images):
    part = made.with_name("part")
    shutil.rmtree(part, ignore_errors=True)
    (part / "bin").mkdir(parents=True)
    (part / "used").touch()
    for program in PROGRAMS:
        shutil.copy2(BIN / program, part / "bin" / program)
    house = House()
    try:
        house.bin, house.banger = part / "bin", str(part / "bin/banger")
        house.ok("kernel", "import", "debian", str(the_input("kernel")))
        for image in images:
            house.ok("image", "import", image, str(the_input(image)))
        house.ok("daemon", "stop")
        subprocess.run(["cp", "-a", "--sparse=always", str(house.state), str(part / "state")],
                       check=True, timeout=PATIENCE)
        part.rename(made)
    finally:
        house.close()


# ---- TAP ----

def on_alarm(_signal, _frame):
    raise Late(f"the test took more than {DEADLINE} s")


def tell(number, name, error, house):
    print(f"not ok {number} - {name}")
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    text = "".join(lines).splitlines()[-25:] + ["bangerd.log:"] + house.log()[-25:]
    print("".join(f"# {line}\n" for line in text), end="", flush=True)


def one(number, name, test, made):
    house = House(made)
    signal.alarm(getattr(test, "deadline", DEADLINE))
    begun = time.monotonic()
    try:
        test(house)
        house.check_empty()
        signal.alarm(0)
        print(f"ok {number} - {name}\n# {time.monotonic() - begun:.1f} s", flush=True)
        return True
    except Skip as why:
        print(f"ok {number} - {name} # SKIP {why}", flush=True)
        return True
    except Exception as error:  # pylint: disable=broad-except
        signal.alarm(0)
        tell(number, name, error, house)
        return False
    finally:
        signal.alarm(0)
        house.close()


def main(tests, images=("debian",)):
    """Runs the tests (those whose name holds an argument, when there are any).

    Without images their houses are empty: no image, no kernel.
    """
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)  # in a job in the background they are ignored
    signal.signal(signal.SIGALRM, on_alarm)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if images and not INPUTS.is_dir():
        print("1..0 # SKIP build/live/inputs is not there; `make live` makes it")
        return
    named = [(t.__doc__ or t.__name__.replace("_", " ")).splitlines()[0].strip(" .")
             for t in tests]
    chosen = [(n, t) for n, t in zip(named, tests)
              if len(sys.argv) < 2 or any(a in t.__name__ for a in sys.argv[1:])]
    print(f"1..{len(chosen)}", flush=True)
    with template(images) if images else contextlib.nullcontext() as made:
        good = [one(i, name, test, made) for i, (name, test) in enumerate(chosen, 1)]
    sys.exit(0 if all(good) else 1)
