"""What the tests of the root helper stand on: namespaces of their own, a helper in them, a client.

A test file calls main(tests). It runs itself anew as root in a network and a mount namespace that
end with it (the host's links, rules and mounts are out of reach), with /run and /var/lib on tmpfs.
Each test gets a Rig: directories, a helper started with the row G4 flags, and clients that speak
MessagePack-RPC as root, as the owner, or as anybody. Reports in TAP.
"""
import array
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import traceback
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent.parent
HELPER = Path(os.environ.get("BANGER_HELPER", TOP / "build/bin/banger-helper"))
OWNER, THIRD = 4242, 4343
SUBNET = "10.87.48.0/20"
PATIENCE = 20  # seconds an answer may take; the machine may be busy
DEADLINE = 240  # seconds for one test
INSIDE = "BANGER_TEST_NAMESPACE"

try:
    import msgpack
except ImportError:
    print("1..0 # SKIP python3-msgpack is not installed")
    sys.exit(0)


class Refused(Exception):
    """The helper's typed error."""

    def __init__(self, error):
        super().__init__(f"{error.get('code')} ({error.get('field')}): {error.get('message')}")
        self.code, self.field, self.message, self.hint = (
            error.get(key) for key in ("code", "field", "message", "hint"))


class Skip(Exception):
    """The test cannot run on this host; says why."""


class Closed(Exception):
    """The helper closed the connection."""


class Client:
    """One connection; asks one request at a time, and keeps the descriptors of the last answer."""

    def __init__(self, path, uid=OWNER):
        self.msgid, self.fds = 0, []
        self.unpacker = msgpack.Unpacker(raw=False)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        with as_uid(uid):
            self.sock.connect(str(path))

    def send(self, data):
        self.sock.sendall(data)

    def receive(self):
        while True:
            for frame in self.unpacker:
                return frame
            data, control, _, _ = self.sock.recvmsg(65536, socket.CMSG_SPACE(16 * 4))
            if not data:
                raise Closed
            for level, kind, part in control:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    fds = array.array("i")
                    fds.frombytes(part[:len(part) - len(part) % fds.itemsize])
                    self.fds += list(fds)
            self.unpacker.feed(data)

    def begin(self, method, **params):
        self.msgid += 1
        self.send(msgpack.packb([0, self.msgid, method, [params]], use_bin_type=True))
        return self.msgid

    def ask(self, method, **params):
        msgid = self.begin(method, **params)
        kind, got, error, result = self.receive()
        assert (kind, got) == (1, msgid), (kind, got)
        if error is not None:
            raise Refused(error)
        return result

    def take_fd(self):
        return self.fds.pop(0)

    def close(self):
        self.sock.close()
        for fd in self.fds:
            os.close(fd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@contextlib.contextmanager
def as_uid(uid):
    """The effective uid decides what SO_PEERCRED says at connect()."""
    if uid == 0:
        yield
        return
    os.setegid(uid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def remove_tree(path):
    """Whatever a test left; after a failed one that may be deeper than what Python can walk."""
    try:
        shutil.rmtree(path, ignore_errors=True)
    except RecursionError:
        subprocess.run(["rm", "-rf", "--one-file-system", str(path)], check=False)


class Rig:
    def __init__(self):
        self.base = Path("/run/rig")
        remove_tree(self.base)
        self.base.mkdir(mode=0o755)
        self.state, self.runtime, self.jails = (self.base / d for d in ("state", "run", "jails"))
        for directory in (self.state, self.runtime):
            directory.mkdir(mode=0o700)
            os.chown(directory, OWNER, OWNER)
        self.socket = self.base / "door" / "helper.sock"
        self.log_path = self.base / "helper.log"
        self.child, self.clients, self.ended, self.wrap = None, [], False, []
        self.subnet = SUBNET
        self.start()

    def flags(self):
        return ["--socket", str(self.socket), "--state-dir", str(self.state),
                "--runtime-dir", str(self.runtime), "--jail-base", str(self.jails),
                "--owner-uid", str(OWNER), "--subnet", self.subnet]

    def teardown(self):
        """Ends the helper, and lets it take away all that it made; the exit status."""
        if self.child.poll() is None:
            self.stop()
        with open(self.log_path, "ab") as log:
            done = subprocess.run([str(HELPER), *self.flags(), "--teardown"], stderr=log,
                                  stdout=log, stdin=subprocess.DEVNULL, timeout=60, check=False)
        self.ended = True
        return done.returncode

    def start(self):
        """Starts the helper and waits until it says that it is ready."""
        self.ended = False
        self.log_path.touch()
        seen = self.log_path.read_text().count("helper: ready")
        with open(self.log_path, "ab") as log:
            self.child = subprocess.Popen([*self.wrap, str(HELPER), *self.flags()], stderr=log, stdout=log,
                                          stdin=subprocess.DEVNULL)
        self.wait_for(lambda: self.log_path.read_text().count("helper: ready") > seen,
                      "the helper did not get ready")

    def wait_for(self, condition, what):
        end = time.monotonic() + PATIENCE
        while not condition():
            if self.child.poll() is not None:
                raise AssertionError(f"{what}: it ended with {self.child.returncode}")
            if time.monotonic() > end:
                raise AssertionError(what)
            time.sleep(0.02)

    def stop(self, how=signal.SIGTERM):
        self.child.send_signal(how)
        return self.child.wait(PATIENCE)

    def restart(self, how=signal.SIGKILL):
        self.stop(how)
        self.start()

    def client(self, uid=OWNER):
        client = Client(self.socket, uid)
        self.clients.append(client)
        return client

    def ask(self, method, **params):
        """As the owner, on a connection of its own."""
        with Client(self.socket) as client:
            return client.ask(method, **params)

    def refused(self, code, field, method, **params):
        """That the request is refused with this code (or one of several) and this field."""
        codes = (code,) if isinstance(code, str) else code
        try:
            result = self.ask(method, **params)
        except Refused as error:
            assert error.code in codes and error.field == field, f"{params}: {error}"
            return error
        raise AssertionError(f"{method} {params} was accepted: {result}")

    def log(self):
        return self.log_path.read_text(errors="replace")

    def rss(self):
        """Anonymous and shared resident bytes of the helper."""
        rows = Path(f"/proc/{self.child.pid}/status").read_text().splitlines()
        sizes = {r.split(":")[0]: int(r.split()[1]) for r in rows if r.endswith(" kB")}
        return (sizes["RssAnon"] + sizes["RssShmem"]) * 1024

    def fds(self):
        return len(os.listdir(f"/proc/{self.child.pid}/fd"))

    def owner_file(self, name, content=b"", mode=0o600):
        """A file of the owner's beneath the state directory; its path."""
        path = self.state / name
        for parent in reversed(path.relative_to(self.state).parents[:-1]):
            directory = self.state / parent
            if not directory.exists():
                directory.mkdir(mode=0o700)
                os.chown(directory, OWNER, OWNER)
        path.write_bytes(content)
        os.chown(path, OWNER, OWNER)
        path.chmod(mode)
        return path

    def close(self):
        for client in self.clients:
            client.close()
        if self.child and self.child.poll() is None:
            self.stop()
        remove_tree(self.base)


def enter():
    """Runs this very file again in its own namespaces; skips where that cannot be."""
    if os.environ.get(INSIDE):
        return
    if os.geteuid() != 0:
        print("1..0 # SKIP needs root (for namespaces of its own)")
        sys.exit(0)
    if not HELPER.exists():
        print(f"1..0 # SKIP {HELPER} was not built")
        sys.exit(0)
    script = ("mount --make-rprivate / && mount -t tmpfs -o mode=755 none /run && "
              'ip link set lo up && exec "$@"')
    done = subprocess.run(["unshare", "--net", "--mount", "--ipc", "--uts", "sh", "-c", script,
                           "sh", sys.executable, *sys.argv],
                          env={**os.environ, INSIDE: "1"}, check=False)
    sys.exit(done.returncode)


def on_alarm(_signal, _frame):
    raise AssertionError("the test took too long")


def tell(number, name, error, rig):
    print(f"not ok {number} - {name}")
    lines = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    log = rig.log().splitlines()[-20:] if rig else []
    for line in [*lines.splitlines()[-25:], "helper.log:", *log]:
        print(f"# {line}", flush=True)


def one(number, name, test):
    rig = None
    signal.alarm(getattr(test, "deadline", DEADLINE))
    try:
        rig = Rig()
        test(rig)
        assert rig.ended or rig.child.poll() is None, f"the helper ended with {rig.child.returncode}"
        assert "ERROR: AddressSanitizer" not in rig.log() and "runtime error" not in rig.log()
        print(f"ok {number} - {name}", flush=True)
        return True
    except Skip as why:
        print(f"ok {number} - {name} # SKIP {why}", flush=True)
        return True
    except Exception as error:  # pylint: disable=broad-except
        tell(number, name, error, rig)
        return False
    finally:
        signal.alarm(0)
        if rig:
            rig.close()
            wipe()


def wipe():
    """What a test left in the namespace is not the next one's."""
    rows = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    names = [row.split(":")[1].split("@")[0].strip() for row in rows.splitlines()]
    for name in names:  # in a group: one by one each waits for the kernel
        if name != "lo":
            subprocess.run(["ip", "link", "set", name, "group", "77"], check=False)
    subprocess.run(["ip", "link", "del", "group", "77"], capture_output=True, check=False)
    subprocess.run(["nft", "flush", "ruleset"], capture_output=True, check=False)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("0")


def main(tests):
    """Runs the tests (those whose name holds an argument, when there are any)."""
    enter()
    signal.signal(signal.SIGALRM, on_alarm)
    chosen = [t for t in tests if len(sys.argv) < 2 or any(a in t.__name__ for a in sys.argv[1:])]
    print(f"1..{len(chosen)}", flush=True)
    good = [one(i, (t.__doc__ or t.__name__).splitlines()[0].strip(" ."), t)
            for i, t in enumerate(chosen, 1)]
    sys.exit(0 if all(good) else 1)
