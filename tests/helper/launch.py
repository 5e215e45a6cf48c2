#!/usr/bin/env python3
"""A real machine through the helper: QEMU in its jail boots our kernel to the agent's hello (F12)."""
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import rig as rigs  # noqa: E402  pylint: disable=wrong-import-position
from rig import msgpack  # noqa: E402  pylint: disable=wrong-import-position

QEMU = "/usr/bin/qemu-system-x86_64"
INPUTS = rigs.TOP / "build/live/inputs"
LOUD = ("console=ttyS0 reboot=t panic=-1 quiet rdinit=/init random.trust_cpu=on cryptomgr.notests "
        "8250.nr_uarts=1 no_timer_check mitigations=off nokaslr tsc=reliable tsc_early_khz={khz} "
        "banger.name=demo banger.link=serial")


def made_by_the_daemon(rig):
    """Kernel and image, made by a user-mode daemon in the state directory, given to the owner."""
    runtime = rig.base / "daemon"
    runtime.mkdir(mode=0o700)
    env = {**os.environ, "BANGER_STATE_DIR": str(rig.base / "made"), "HOME": str(rig.base),
           "BANGER_RUNTIME_DIR": str(runtime), "BANGER_CONFIG_DIR": str(rig.base / "conf")}
    banger = str(rigs.TOP / "build/bin/banger")
    (rig.base / "made").mkdir(mode=0o700)

    def run(*args):
        subprocess.run([banger, *args], env=env, check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=rigs.DEADLINE)

    run("kernel", "import", "debian", str((INPUTS / "kernel").resolve()))
    run("image", "import", "debian", str((INPUTS / "debian").resolve()))
    run("daemon", "stop")
    subprocess.run(["cp", "-a", "--sparse=always", f"{rig.base}/made/kernel",
                    f"{rig.base}/made/image", str(rig.state)], check=True)
    subprocess.run(["chown", "-R", f"{rigs.OWNER}:{rigs.OWNER}", str(rig.state)], check=True)
    kernel = next((rig.state / "kernel").iterdir())
    image = next((rig.state / "image").iterdir())
    return kernel, image


def tsc_khz():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("cpu MHz"):
            return int(float(line.split(":")[1]) * 1000)
    return 0


class Agent:
    """Enough of the agent's link: the opening, and letters behind it."""

    def __init__(self, fd):
        self.fd, self.data = fd, b""
        self.unpacker = None
        os.set_blocking(fd, False)

    def read(self, until):
        left = until - time.monotonic()
        assert left > 0 and select.select([self.fd], [], [], left)[0], \
            f"nothing came: {self.data[-200:]!r}"
        chunk = os.read(self.fd, 65536)
        assert chunk, "the link closed"
        return chunk

    def open(self, mark, until):
        os.write(self.fd, mark)
        while mark not in self.data:
            self.data += self.read(until)
        self.unpacker = msgpack.Unpacker(raw=False)
        self.unpacker.feed(self.data.split(mark, 1)[1])

    def letter(self, until):
        while True:
            for frame in self.unpacker:
                return frame
            self.unpacker.feed(self.read(until))


def opening():
    """As runtime/wire/mark.h has it; printed by a tool of the tests, so that it is said once."""
    out = subprocess.run([str(rigs.TOP / "build/tests/tools/opening")], check=True,
                         capture_output=True, text=True).stdout
    return bytes.fromhex(out)


def boots_to_hello(rig):
    """QEMU in a jail boots Debian's kernel; agent and console answer through connect_vmm"""
    kernel, image = made_by_the_daemon(rig)
    for name in ("root", "work"):
        # machines write to disks of their own
        (rig.state / "vm").mkdir(exist_ok=True)
        subprocess.run(["cp", "--sparse=always", "-p", str(image / f"{name}.ext4"),
                        str(rig.state / f"vm/{name}.raw")], check=True)
        os.chown(rig.state / f"vm/{name}.raw", rigs.OWNER, rigs.OWNER)
    client = rig.client()
    disks = [{"id": "root", "path": str(rig.state / "vm/root.raw"), "read_only": False},
             {"id": "work", "path": str(rig.state / "vm/work.raw"), "read_only": False},
             {"id": "modules", "path": str(kernel / "modules.ext4"), "read_only": True}]
    begun = time.monotonic()
    pid = client.ask("priv.launch_vmm", vm_id="demo", driver="qemu", binary=QEMU,
                     kernel_path=str(kernel / "vmlinux"), disks=disks, taps=[],
                     initrd_path=str(kernel / "initramfs.cpio"), vcpus=1, mem_mib=256,
                     accel="tcg", cmdline=LOUD.format(khz=tsc_khz()))["pid"]
    pidfd = client.take_fd()
    launched = time.monotonic()
    client.ask("priv.connect_vmm", vm_id="demo", channel="console")
    console = client.take_fd()
    client.ask("priv.connect_vmm", vm_id="demo", channel="api")
    qmp = client.take_fd()
    os.set_blocking(qmp, True)
    assert b'"QMP"' in os.read(qmp, 4096)
    client.ask("priv.connect_vmm", vm_id="demo", channel="vsock")
    agent = Agent(client.take_fd())
    until = time.monotonic() + 120
    agent.open(opening(), until)
    hello = agent.letter(until)
    assert hello[1] == "agent.hello", hello
    ready = time.monotonic()
    rig.restart(signal.SIGKILL)
    client = rig.client()
    assert "vmm taken back" in rig.log()
    client.ask("priv.kill_process", pid=pid)
    assert select.select([pidfd], [], [], rigs.PATIENCE)[0]
    client.ask("priv.cleanup_jailer_chroot", chroot_path=str(rig.jails / "qemu/demo"))
    for fd in (console, qmp, agent.fd, pidfd):
        os.close(fd)
    assert not list((rig.jails / "qemu").iterdir())
    for name in ("root", "work"):
        done = subprocess.run(["e2fsck", "-fn", str(rig.state / f"vm/{name}.raw")], check=False,
                              capture_output=True, text=True)
        assert done.returncode in (0, 4), done.stdout  # a journal to replay is no damage
    print(f"# launch {1000 * (launched - begun):.0f} ms, hello {ready - begun:.1f} s")


def trusted(rig, path):
    """A copy of a program where only root can have put it."""
    (rig.base / "bin").mkdir(mode=0o755, exist_ok=True)
    copy = rig.base / "bin" / Path(path).name
    shutil.copy(path, copy)
    copy.chmod(0o755)
    return str(copy)


def get(sock, path):
    """One request to Firecracker's API; its whole answer."""
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\n\r\n".encode())
    text = b""
    while b"\r\n\r\n" not in text or not text.endswith(b"}"):
        text += sock.recv(65536)
    return text.decode()


def real_firecracker(rig):
    """A real Firecracker serves its API in a jail, made by the helper and made by its jailer"""
    binary, jailer = os.environ["FIRECRACKER_BIN"], os.environ["JAILER_BIN"]
    rig.owner_file("kernels/k/vmlinux", b"kernel")
    rig.owner_file("vm/demo/root.raw", b"root")
    for more in ({}, {"jailer": trusted(rig, jailer)}):
        client = rig.client()
        pid = client.ask("priv.launch_vmm", vm_id="demo", driver="firecracker",
                         binary=trusted(rig, binary), vcpus=1, mem_mib=128, taps=[],
                         kernel_path=str(rig.state / "kernels/k/vmlinux"),
                         disks=[{"id": "root", "path": str(rig.state / "vm/demo/root.raw"),
                                 "read_only": False}], **more)["pid"]
        pidfd = client.take_fd()
        client.ask("priv.connect_vmm", vm_id="demo", channel="api")
        with socket.socket(fileno=client.take_fd()) as api:
            assert '"state":"Not started"' in get(api, "/"), get(api, "/")
        assert os.stat(f"/proc/{pid}/root/img/kernel").st_size == 6
        rig.restart(signal.SIGKILL)
        assert rig.log().count("vmm taken back") >= 1, "it was not known again"
        client = rig.client()
        client.ask("priv.kill_process", pid=pid)
        assert select.select([pidfd], [], [], rigs.PATIENCE)[0]
        os.close(pidfd)
        client.ask("priv.cleanup_jailer_chroot", chroot_path=str(rig.jails / "firecracker/demo"))
        assert not list((rig.jails / "firecracker").iterdir())


def available():
    if os.environ.get("FIRECRACKER_BIN") and os.environ.get("JAILER_BIN"):
        return [boots_to_hello, real_firecracker]
    print("# FIRECRACKER_BIN and JAILER_BIN are not given: real_firecracker is not run")
    return [boots_to_hello]


if not Path(QEMU).exists() or not INPUTS.is_dir():
    print("1..0 # SKIP qemu or build/live/inputs is not there; `make live-inputs` makes them")
    sys.exit(0)
rigs.main(available())
