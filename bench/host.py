"""What the benchmarks run: private daemons of banger, its peers, and timed commands."""
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
BIN = TOP / "build/bin"
BENCH = TOP / "build/bench"
PLAIN_UID = 65534
DEADLINE = 300  # seconds, for one command


class Unavailable(Exception):
    """Something cannot be measured here; the text says why."""


def need(program):
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise Unavailable(f"{program} is not installed")
    return path


def call(args, env=None, stdin=None, deadline=DEADLINE):
    """Output of a command that must succeed."""
    p = subprocess.run([str(a) for a in args], env=env, input=stdin, capture_output=True,
                       timeout=deadline, check=False)
    if p.returncode:
        said = (p.stderr or p.stdout).decode(errors="replace").strip()[-300:]
        raise Unavailable(f"{Path(args[0]).name} {args[1] if len(args) > 1 else ''} failed: {said}")
    return p.stdout.decode(errors="replace")


def runs(rounds, commands, env=None, warm_up=1):
    """Runs commands in turns; for each a list of (began, ended) in nanoseconds."""
    words = []
    for command in commands:
        words += ["--", *("---" if w == "--" else str(w) for w in command)]
    spans = [[] for _ in commands]
    for line in call([BENCH / "runs", rounds + warm_up, *words], env=env).splitlines():
        which, began, ended = map(int, line.split())
        spans[which].append((began, ended))
    return [s[warm_up:] for s in spans]


def ms(spans):
    return [(ended - began) / 1e6 for began, ended in spans]


def memory(pid):
    """KiB that are the process's own (anonymous and shmem), and all that is resident."""
    values = {}
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key in ("VmRSS", "RssAnon", "RssShmem"):
            values[key] = int(value.split()[0])
    return values["RssAnon"] + values["RssShmem"], values["VmRSS"]


def switches(pid):
    """Context switches of all threads so far: each wake-up is one."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        for line in status.read_text(encoding="utf-8").splitlines():
            if "ctxt_switches" in line:
                total += int(line.split()[1])
    return total


def free_port():
    """A port of 127.0.0.1 that nothing listens at now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, ready, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if ready():
            return
        time.sleep(0.05)
    raise Unavailable(f"{what} did not start within {seconds} s")


class Host:
    """Owns a scratch directory and every process that was started; ends them all."""

    def __init__(self):
        self.dir = Path(tempfile.mkdtemp(prefix="banger-bench-"))
        self.dir.chmod(0o755)  # the VMM and unprivileged peers come by
        self.children, self.daemons = [], []

    def spawn(self, args, **options):
        with open(self.dir / "peers.log", "ab") as log:
            child = subprocess.Popen([str(a) for a in args], stdin=subprocess.DEVNULL, stdout=log,
                                     stderr=log, start_new_session=True, **options)
        self.children.append(child)
        return child

    def close(self):
        for d in self.daemons:
            d.close()
        for child in self.children:
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        for child in self.children:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


class Daemon:
    """A daemon of banger with directories of its own."""

    def __init__(self, host, name, config=""):
        self.dir = host.dir / name
        (self.dir / "c").mkdir(parents=True)
        # a port of its own: one that another daemon has is tried again now and then
        config += f"dns_listen: 127.0.0.1:{free_port()}\n"
        (self.dir / "c/config.yaml").write_text(config, encoding="utf-8")
        self.env = {**os.environ, "BANGER_STATE_DIR": str(self.dir / "s"),
                    "BANGER_RUNTIME_DIR": str(self.dir / "r"),
                    "BANGER_DATA_DIR": str(self.dir / "d"),
                    "BANGER_CONFIG_DIR": str(self.dir / "c")}
        self.socket = self.dir / "r/bangerd.sock"
        host.daemons.append(self)
        self.cli("daemon", "start")

    def command(self, *args):
        return [BIN / "banger", *args]

    def cli(self, *args, stdin=None):
        return call(self.command(*args), env=self.env, stdin=stdin)

    def pid(self):
        for line in self.cli("daemon", "status", "--json").splitlines():
            key, _, value = line.strip().rstrip(",").partition(": ")
            if key == '"pid"':
                return int(value)
        raise Unavailable("the daemon does not tell its pid")

    def machines(self):
        words = self.cli("vm", "list", "--json")
        return [line.split('"')[3] for line in words.splitlines()
                if line.strip().startswith('"id"')]

    def close(self):
        try:
            names = self.machines()
            if names:
                self.cli("vm", "delete", *names)
            self.cli("daemon", "stop")
        except (Unavailable, subprocess.TimeoutExpired) as e:
            print(f"bench: {e}")


class Redis:
    def __init__(self, host, name):
        self.socket = host.dir / f"{name}.sock"
        args = [need("redis-server"), "--port", 0, "--unixsocket", self.socket, "--save", "",
                "--appendonly", "no", "--dir", host.dir]
        self.pid = host.spawn(args).pid
        wait_for("redis-server", self.socket.exists)


class Libvirt:
    """libvirtd as an unprivileged user's, so that it looks at no device of this host."""

    def __init__(self, host):
        self.dir = host.dir / "libvirt"
        self.dir.mkdir()
        self.env = {**os.environ, "HOME": str(self.dir), "XDG_RUNTIME_DIR": str(self.dir),
                    "XDG_CONFIG_HOME": str(self.dir), "XDG_CACHE_HOME": str(self.dir)}
        user = []
        if os.geteuid() == 0:
            os.chown(self.dir, PLAIN_UID, PLAIN_UID)
            user = [need("setpriv"), f"--reuid={PLAIN_UID}", f"--regid={PLAIN_UID}",
                    "--clear-groups"]
        elif os.access("/dev/kvm", os.R_OK):
            raise Unavailable("it would probe /dev/kvm, which this user may open")
        self.virsh = [need("virsh"), "-c",
                      f"qemu+unix:///session?socket={self.dir}/libvirt/libvirt-sock", "list"]
        self.pid = host.spawn([*user, need("libvirtd"), "--timeout", 3600], env=self.env).pid
        wait_for("libvirtd", (self.dir / "libvirt/libvirt-sock").exists)
        call(self.virsh, env=self.env)
