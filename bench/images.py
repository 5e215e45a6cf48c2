"""What an image of a registry costs: image pull beside skopeo copy, umoci unpack and mke2fs -d.

Everything lies in memory (tmpfs): the registry's blobs, banger's state, what the peers write. The
image is Debian with some programs, about 300 MB unpacked, in two gzip layers.
"""
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

from host import TOP, Daemon, Unavailable, call, free_port, need, wait_for
from machines import WITH
from table import Figure

sys.path.insert(0, str(TOP / "tests/registry/lib"))
import oci  # noqa: E402  pylint: disable=wrong-import-position

ROUNDS = int(os.environ.get("BENCH_PULLS", "5"))
SHM = Path("/dev/shm")
SIZE = 300 * 1000 * 1000
MEMORY_MAX = 64 * 1024  # KiB, of one process


def second_layer(tree, size):
    """Files of the tree once more, elsewhere: as much as is wanted."""
    entries = []
    with tarfile.open(tree) as tar:
        for member in tar:
            if not member.isreg() or size <= 0:
                continue
            data = tar.extractfile(member).read()
            entries.append(oci.entry("opt/" + member.name.lstrip("./"), data=data))
            size -= len(data)
    return oci.tar_of(entries)


def make_image(path):
    tree = TOP / call([TOP / "tools/debian-tree", "--with", WITH, "--name", "bench"]
                      ).strip().splitlines()[-1]
    first = tree.read_bytes()
    return oci.Image([first, second_layer(tree, SIZE - len(first))]).save(path)


class Peak(threading.Thread):
    """The most memory that any of a daemon's workers has, KiB."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.most, self.over = pid, 0, threading.Event()

    def look(self):
        for task in Path(f"/proc/{self.pid}/task").glob("*/children"):
            for child in task.read_text(encoding="ascii").split():
                for line in Path(f"/proc/{child}/status").read_text(encoding="utf-8").splitlines():
                    if line.startswith("VmHWM:"):
                        self.most = max(self.most, int(line.split()[1]))

    def run(self):
        while not self.over.wait(0.02):
            try:
                self.look()
            except OSError:
                pass  # it has just ended


def seconds(commands):
    begun = time.monotonic()
    for command in commands:
        call(command)
    return time.monotonic() - begun


class Pulls:
    def __init__(self, host):
        if not os.access(SHM, os.W_OK):
            raise Unavailable("there is no /dev/shm")
        for program in ("docker-registry", "skopeo", "umoci", "mke2fs"):
            need(program)
        if os.geteuid():
            raise Unavailable("umoci unpack needs root to make owners and devices")
        self.dir = Path(tempfile.mkdtemp(prefix="banger-bench-", dir=SHM))
        self.dir.chmod(0o755)
        self.registry = self.start(host)
        self.daemon = Daemon(SimpleNamespace(dir=self.dir, daemons=[]), "images")
        make_image(self.dir / "layout")
        call(["skopeo", "copy", "-q", "--insecure-policy", "--dest-tls-verify=false",
              f"oci:{self.dir}/layout:latest", f"docker://{self.registry}/bench:1"])
        shutil.rmtree(self.dir / "layout")

    def start(self, host):
        at = f"127.0.0.1:{free_port()}"
        (self.dir / "registry.yml").write_text(
            "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {self.dir}/registry}}}}\n"
            f"http: {{addr: \"{at}\"}}\n", encoding="ascii")
        host.spawn([need("docker-registry"), "serve", self.dir / "registry.yml"])
        port = int(at.rpartition(":")[2])
        wait_for("docker-registry", lambda: subprocess.run(
            ["bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}"], capture_output=True,
            check=False).returncode == 0)
        return at

    def peers(self):
        there = self.dir / "peers"
        shutil.rmtree(there, ignore_errors=True)
        there.mkdir()
        return seconds([
            ["skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false",
             f"docker://{self.registry}/bench:1", f"oci:{there}/oci:1"],
            ["umoci", "--log=error", "unpack", "--image", f"{there}/oci:1", there / "bundle"],
            ["mke2fs", "-q", "-t", "ext4", "-d", there / "bundle/rootfs", there / "root.ext4", "16G"]])

    def ours(self, cached):
        if not cached:
            shutil.rmtree(self.dir / "images/s/layers", ignore_errors=True)
        return seconds([self.daemon.command("image", "pull", "-q", "--insecure", "--replace",
                                            "--name", "bench", f"{self.registry}/bench:1")])

    def figures(self):
        os.environ.update(self.daemon.env)
        peak, cold, warm, theirs = Peak(self.daemon.pid()), [], [], []
        peak.start()
        for _ in range(ROUNDS + 1):  # in turns; the first is for warming up
            theirs.append(self.peers())
            cold.append(self.ours(False))
            warm.append(self.ours(True))
        peak.over.set()
        peak.join()
        chain = "skopeo+umoci+mke2fs"
        return [Figure("image pull to ext4, 300 MB", "s", cold[1:], chain, theirs[1:],
                       ratio_max=0.5, note="registry and disks on tmpfs"),
                Figure("image pull to ext4, layers cached", "s", warm[1:], chain, theirs[1:],
                       ratio_max=0.2),
                Figure("memory of a worker that pulls", "KiB", [peak.most], most=MEMORY_MAX)]

    def close(self):
        self.daemon.close()  # before what it writes to goes
        shutil.rmtree(self.dir, ignore_errors=True)


def measure(host):
    pulls = Pulls(host)
    try:
        return pulls.figures()
    finally:
        pulls.close()
