"""What needs machines: banger's own time around a boot, exec beside ssh, memory of a machine."""
import os
import re
import shutil
import socket
import subprocess
import time
from datetime import datetime
from pathlib import Path

from host import BENCH, TOP, Daemon, Unavailable, call, memory, ms, need, runs
from table import Figure

PAIRS = int(os.environ.get("BENCH_PAIRS", "20"))
MACHINES = 200  # for memory of a machine known
BYTES = 16 * 1024 * 1024
GUEST_SECONDS = 60  # for a bare guest's next word
WITH = "bash,ca-certificates,git,iproute2,less,make,openssh-server,procps"
EXEC = (b"\x94\x00\x00\xaaagent.exec\x91\x84\xa4argv\x91\xa4true\xa3env\x90\xa5stdin\xc2"
        b"\xa5early\xc2")
MARK = bytes([0xC1] + [b if b != 0xC1 else 0xFE for b in
                       (((i * 0x6D + 0x2B) & 255) ^ 0x55 for i in range(1, 16))])


def log_time(line):
    """Monotonic nanoseconds of a log line; its milliseconds are cut off, not rounded."""
    stamp = datetime.fromisoformat(line.split(" ", 1)[0].replace("Z", "+00:00")).timestamp()
    return (stamp - time.time()) * 1e9 + time.monotonic_ns()


def await_word(agent, word):
    heard = b""
    while word not in heard:
        piece = agent.recv(65536)
        if not piece:
            raise Unavailable(f"bare qemu ended before {word.decode()}")
        heard += piece


class Machines:
    """A daemon whose VMM is bench/vmm.c, with a kernel and an image that has an ssh server."""

    def __init__(self, host):
        self.qemu = Path(need(f"qemu-system-{os.uname().machine}"))
        self.shim = host.dir / "shim"
        self.shim.mkdir()
        shutil.copy(BENCH / "vmm", self.shim / self.qemu.name)
        self.host = host
        self.daemon = Daemon(host, "machines", f"qemu_bin: {self.shim / self.qemu.name}\n")
        debs = sorted((TOP / "build/cache/k").glob("*.deb"))
        if debs:
            self.daemon.cli("kernel", "import", "debian", debs[-1])
        else:
            self.daemon.cli("kernel", "pull", "debian")
        tree = call([TOP / "tools/debian-tree", "--with", WITH, "--name", "bench"]).strip()
        self.daemon.cli("image", "import", "debian", TOP / tree.splitlines()[-1])

    # banger's own time, and the whole beside bare qemu

    def run_once(self):
        """One `vm run --rm -- true`: own milliseconds before and after the boot, and the whole."""
        log = self.daemon.dir / "s/log/bangerd.log"
        skip = log.stat().st_size
        (self.shim / "stamp").unlink(missing_ok=True)
        command = self.daemon.command("vm", "run", "--rm", "--", "true")
        began, ended = runs(1, [command], env=self.daemon.env, warm_up=0)[0][0]
        launched = int((self.shim / "stamp").read_text().split()[0])
        with open(log, encoding="utf-8") as f:
            f.seek(skip)
            hello = [log_time(line) for line in f if "agent answers" in line]
        return (launched - began) / 1e6, (ended - hello[0]) / 1e6, (ended - began) / 1e6

    def bare_args(self):
        """The words that banger gave its VMM, over sockets and overlays of qemu's own."""
        words = (self.shim / "args").read_bytes().split(b"\0")[1:-1]
        text = " ".join(w.decode() for w in words)
        state = self.daemon.dir / "s"
        disks = {"root": next(state.glob("image/*/root*.ext4")),
                 "work": next(state.glob("image/*/work*.ext4"))}
        args = [str(self.qemu)]
        for word in (w.decode() for w in words):
            serial = re.match(r"id=(root|work),file=", word)
            if serial:
                word = (f"id={serial[1]},file={disks[serial[1]]},format=raw,if=none,snapshot=on,"
                        "cache=unsafe")
            elif re.match(r"socket,id=(control|console),", word):
                word = "null," + word.split(",")[1]
            args.append(word)
        return args, int(re.search(r"socket,id=agent,fd=(\d+)", text)[1])

    def bare_once(self, args, fd, execs=False):
        """Milliseconds from spawning qemu to its end, which the agent's hello brings; with `execs`
        those from hello to the end of the same command in the guest instead."""
        path = str(self.host.dir / "bare.sock")
        Path(path).unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as agent:
            listener.bind(path)
            listener.listen(1)
            agent.settimeout(GUEST_SECONDS)
            agent.connect(path)
            agent.sendall(MARK + os.urandom(16))
            os.dup2(listener.fileno(), fd, inheritable=True)
            began = time.monotonic_ns()
            qemu = subprocess.Popen(args, pass_fds=[fd], stdin=subprocess.DEVNULL)
            os.close(fd)
            try:
                await_word(agent, b"agent.hello")
                if execs:
                    began = time.monotonic_ns()
                    agent.sendall(EXEC)
                    await_word(agent, b"stream.end")
                    return (time.monotonic_ns() - began) / 1e6
            finally:
                qemu.kill()
                qemu.wait()
            return (time.monotonic_ns() - began) / 1e6

    def own_time(self):
        self.run_once()
        args, fd = self.bare_args()
        before, after, whole, bare, guest = [], [], [], [], []
        for _ in range(PAIRS):
            a, b, c = self.run_once()
            before.append(a)
            after.append(b)
            whole.append(c)
            bare.append(self.bare_once(args, fd))
            guest.append(self.bare_once(args, fd, execs=True))
        outside = [a + b for a, b in zip(before, after)]
        return [
            Figure("vm run --rm -- true, all but the boot", "ms", outside, most=40,
                   note="CLI exec to VMM exec, and agent hello to CLI exit; the guest's own work "
                        "to run `true` for the first time is part of it"),
            Figure("- CLI exec to VMM exec", "ms", before),
            Figure("- agent hello to CLI exit", "ms", after, "the same exec on bare qemu", guest),
            Figure("- banger's own of all that", "ms", [o - g for o, g in zip(outside, guest)],
                   most=40, note="without what the same exec takes on bare qemu, pair by pair; "
                                 "aim: 15 ms"),
            Figure("vm run --rm -- true, whole", "ms", whole, "bare qemu to the same hello", bare),
        ]

    # exec beside ssh into the same guest

    def guest(self):
        """Boots the machine `bench`; answers the words of an ssh into it."""
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        (self.shim / "forward").write_text(str(port), encoding="utf-8")
        self.daemon.cli("vm", "create", "--name", "bench")
        (self.shim / "forward").unlink()
        key = self.host.dir / "key"
        call([need("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", key])
        script = ("mkdir -p /root/.ssh /run/sshd && cat > /root/.ssh/authorized_keys && "
                  "chmod 700 /root /root/.ssh && ssh-keygen -A >/dev/null && /usr/sbin/sshd")
        self.daemon.cli("vm", "exec", "bench", "--", "sh", "-c", script,
                        stdin=Path(f"{key}.pub").read_bytes())
        return [need("ssh"), "-F", "none", "-i", key, "-p", port, "-o", "BatchMode=yes", "-o",
                "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o",
                "LogLevel=ERROR", "-o", "ConnectTimeout=60", "root@127.0.0.1"]

    def exec_time(self):
        d, missing, cold, shared = self.daemon, None, None, None
        true = d.command("vm", "exec", "bench", "--", "true")
        rows = []
        try:
            way = self.guest()
            call([*way, "true"])
            cold = way
            control = self.host.dir / "mux"
            self.host.spawn([*cold[:-1], "-M", "-N", "-S", control, cold[-1]])
            deadline = time.monotonic() + 60
            while not control.exists() and time.monotonic() < deadline:
                time.sleep(0.1)
            shared = [*cold[:-1], "-S", control, cold[-1]]
        except Unavailable as e:
            missing = str(e)
        for name, ssh, rounds, most in (("ssh, multiplexed", shared, 40, 0.25),
                                        ("ssh, cold", cold, 5, None)):
            spans = runs(rounds, [true, [*ssh, "true"]] if ssh else [true], env=d.env)
            rows.append(Figure("vm exec -- true", "ms", ms(spans[0]), name,
                               ms(spans[1]) if ssh else None, missing, ratio_max=most))
        zeros, sink = f"head -c {BYTES} /dev/zero", "cat > /dev/null"
        banger = str(d.command()[0])
        for name, ours, theirs in (
                ("exec, bytes out of the guest", [*true[:-1], "sh", "-c", zeros], [zeros]),
                ("exec, bytes into the guest",
                 ["sh", "-c", f"{zeros} | {banger} vm exec bench -- sh -c '{sink}'"], [sink])):
            if shared:
                theirs = [*shared, *theirs]
                if theirs[-1] == sink:
                    words = " ".join(f"'{w}'" for w in theirs)
                    theirs = ["sh", "-c", f"{zeros} | {words}"]
            spans = runs(5, [ours, theirs] if shared else [ours], env=d.env)
            speed = [[BYTES / 1e6 / (t / 1e3) for t in ms(s)] for s in spans]
            rows.append(Figure(name, "MB/s", speed[0], "ssh, multiplexed",
                               speed[1] if shared else None, missing, more_is_better=True))
        d.cli("vm", "delete", "bench")
        return rows

    # memory

    def memory(self):
        d = self.daemon
        pid = d.pid()
        before = memory(pid)
        runs(MACHINES, [d.command("vm", "create", "--no-start")], env=d.env, warm_up=0)
        after = memory(pid)
        d.cli("vm", "delete", *d.machines())
        return [Figure("memory per machine known", "KiB", [(after[0] - before[0]) / MACHINES],
                       most=16, note=f"RssAnon + RssShmem, {MACHINES} machines made, not running"),
                Figure("memory per machine known, VmRSS", "KiB",
                       [(after[1] - before[1]) / MACHINES])]
