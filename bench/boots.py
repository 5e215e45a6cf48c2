"""Create-to-ready of 1, 4 and 16 machines at once: banger, bare qemu, libvirt. The same kernel,
initramfs, root filesystem and agent; ready is the agent's hello of the last one."""
import json
import os
import re
import select
import shutil
import socket
import subprocess
import time
from pathlib import Path

from host import PLAIN_UID, Libvirt, Unavailable, call, need
from machines import MARK
from table import Figure

ROUNDS = {1: 5, 4: 3, 16: 2}  # whole rounds; each of the three in turn
MEMORY = "512M"
SECONDS = 300  # for the last hello of one round


class Agents:
    """The ways to agents of several guests; each is a socket that was connected and opened."""

    def __init__(self):
        self.heard = {}

    def add(self, path):
        s = socket.socket(socket.AF_UNIX)
        s.connect(str(path))
        s.sendall(MARK + os.urandom(16))
        self.heard[s] = b""

    def await_hellos(self):
        """The monotonic ns at which the last one had said hello."""
        end, due = time.monotonic() + SECONDS, set(self.heard)
        while due:
            ready = select.select(due, [], [], max(0, end - time.monotonic()))[0]
            if not ready:
                raise Unavailable(f"{len(due)} of {len(self.heard)} guests said no hello")
            for s in ready:
                piece = s.recv(65536)
                if not piece:
                    raise Unavailable("a guest ended before its hello")
                self.heard[s] = self.heard[s][-64:] + piece
                if b"agent.hello" in self.heard[s]:
                    due.discard(s)
        return time.monotonic_ns()

    def close(self):
        for s in self.heard:
            s.close()


def banger(daemon, count):
    # --hold: those that are ready stay, as those of the peers do, until the last one is
    line = daemon.command("--json", "bench", "--image", "debian", "--memory", MEMORY, "--net",
                          "none", "--hold", "--count", count, "--concurrency", count)
    done = subprocess.run([str(w) for w in line], env=daemon.env, capture_output=True,
                          timeout=SECONDS + 60, check=False)
    doc = json.loads(done.stdout)
    if done.returncode:
        raise Unavailable(f"banger bench: {done.stdout[-300:]!r}")
    return doc["runs"][0]["creations_ms"]


def bare(host, args, fd, count):
    """The words that banger gave its VMM, and one process after the other."""
    agents, children = Agents(), []
    spare = os.open("/dev/null", os.O_RDWR)
    os.dup2(spare, fd)  # no other socket of ours takes that number
    began = time.monotonic_ns()
    try:
        for i in range(count):
            path = host.dir / f"bare-{i}.sock"
            path.unlink(missing_ok=True)
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(path))
                listener.listen(1)
                agents.add(path)
                os.dup2(listener.fileno(), fd, inheritable=True)
                children.append(subprocess.Popen(args, pass_fds=[fd], stdin=subprocess.DEVNULL))
                os.dup2(spare, fd)
        return (agents.await_hellos() - began) / 1e6
    finally:
        for child in children:
            child.kill()
            child.wait()
        agents.close()
        os.close(fd)
        os.close(spare)


DOMAIN = """<domain type='qemu'>
 <name>{name}</name><memory unit='MiB'>512</memory><vcpu>{vcpus}</vcpu>
 <os><type arch='x86_64' machine='q35'>hvm</type>
  <kernel>{kernel}</kernel><initrd>{initrd}</initrd><cmdline>{line}</cmdline></os>
 <features><acpi/></features><cpu mode='maximum'/>
 <on_reboot>destroy</on_reboot><on_crash>destroy</on_crash>
 <devices><emulator>{qemu}</emulator>{disks}
  <channel type='unix'><source mode='bind' path='{agent}'/>
   <target type='virtio' name='banger'/></channel>
  <serial type='null'/><memballoon model='none'/></devices></domain>
"""
DISK = """
  <disk type='file'><driver name='qemu' type='qcow2' cache='unsafe'/><source file='{file}'/>
   <target dev='vd{letter}' bus='virtio'/><serial>{serial}</serial></disk>"""


class Domains:
    """libvirt's session of an unprivileged user, with files of its own to boot from."""

    def __init__(self, host, qemu, args):
        self.libvirt, self.qemu = Libvirt(host), qemu
        self.uri = self.libvirt.virsh[:-1]
        self.dir = self.libvirt.dir / "files"
        self.dir.mkdir()
        self.line = args[args.index("-append") + 1].replace("&", "&amp;")
        self.vcpus = args[args.index("-smp") + 1]
        self.kernel = self.copy(args[args.index("-kernel") + 1])
        self.initrd = self.copy(args[args.index("-initrd") + 1])
        words = (re.match(r"id=(\w+),file=([^,]+),", word) for word in args)
        self.disks = {m[1]: self.copy(m[2]) for m in words if m}
        if not self.disks:
            raise Unavailable("banger's own command line has no disks")

    def copy(self, path):
        to = self.dir / f"{len(list(self.dir.iterdir()))}-{Path(path).name}"
        shutil.copy(path, to)
        to.chmod(0o644)
        return to

    def define(self, index):
        """Overlays and the description are made before the clock runs."""
        disks = ""
        for n, (serial, backing) in enumerate(self.disks.items()):
            file = self.dir / f"{index}-{serial}.qcow2"
            call([need("qemu-img"), "create", "-q", "-f", "qcow2", "-F", "raw", "-b", backing,
                  file])
            os.chown(file, PLAIN_UID, PLAIN_UID)
            disks += DISK.format(file=file, letter="abc"[n], serial=serial)
        agent = self.dir / f"{index}.sock"
        text = DOMAIN.format(name=f"bench-{index}", vcpus=self.vcpus, kernel=self.kernel,
                             initrd=self.initrd, line=self.line, qemu=self.qemu, disks=disks,
                             agent=agent)
        path = self.dir / f"{index}.xml"
        path.write_text(text, encoding="utf-8")
        return path, agent

    def boot(self, count):
        os.chown(self.dir, PLAIN_UID, PLAIN_UID)
        made = [self.define(i) for i in range(count)]
        agents, env = Agents(), self.libvirt.env
        began = time.monotonic_ns()
        try:
            children = [subprocess.Popen([*self.uri, "create", str(path)], env=env,
                                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
                        for path, _ in made]
            for child, (_, agent) in zip(children, made):
                said = child.communicate(timeout=SECONDS)[1]
                if child.returncode:
                    raise Unavailable(f"virsh create: {said.decode(errors='replace')[-200:]}")
                agents.add(agent)
            return (agents.await_hellos() - began) / 1e6
        finally:
            for i in range(count):
                subprocess.run([*self.uri, "destroy", f"bench-{i}"], env=env, check=False,
                               capture_output=True, timeout=SECONDS)
            agents.close()


def measure(machines):
    """A row each for 1, 4 and 16 machines and each peer, rounds in turns."""
    machines.daemon.cli("vm", "run", "--rm", "--memory", MEMORY, "--net", "none", "--", "true")
    args, fd = machines.bare_args()
    domains, missing = None, None
    try:
        domains = Domains(machines.host, machines.qemu, args)
    except (Unavailable, OSError, subprocess.TimeoutExpired) as e:
        missing = str(e)
    rows = []
    for count, rounds in ROUNDS.items():
        ours, theirs, libvirt = [], [], []
        for _ in range(rounds):
            ours.append(banger(machines.daemon, count))
            theirs.append(bare(machines.host, args, fd, count))
            if domains:
                try:
                    libvirt.append(domains.boot(count))
                except (Unavailable, OSError, subprocess.TimeoutExpired) as e:
                    domains, missing = None, str(e)
        name = f"create to ready, {count} machine{'s' if count > 1 else ''} at once"
        rows.append(Figure(name, "ms", ours, "bare qemu", theirs))
        rows.append(Figure(name, "ms", ours, "libvirt (q35)", libvirt or None, missing))
    rows[-1].note = ("until the last agent's hello; libvirt has no microvm machine, and its "
                     "overlays are made before the clock runs")
    return rows
