#!/usr/bin/env python3
"""Runs snapshots.py in a machine with a device-mapper, where this host has none (rows F1, F4).

The machine is Debian's cloud kernel under QEMU TCG with everything in its initial filesystem: the
helper, Python, e2fsprogs, and the modules loop, dm-mod, dm-snapshot. Its TAP comes over a serial
port and is passed on. A helper made with sanitizers is taken along with what it links to.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "lib"))
import dm  # noqa: E402  pylint: disable=wrong-import-position
import rig as rigs  # noqa: E402  pylint: disable=wrong-import-position

KERNEL = rigs.TOP / "build/live/inputs/kernel"
MEMORY = 768 + 2 * int(os.environ.get("BANGER_SNAPSHOTS", "0"))  # MiB; a snapshot takes kernel memory
DEADLINE = 280  # seconds; the suite ends a program after 300
MODULES = ("loop", "dm-mod", "dm-bufio", "dm-snapshot", "libcrc32c", "nfnetlink", "nf_tables")
PROGRAMS = ("unshare", "sh", "mount", "ip", "mke2fs", "e2fsck", "debugfs", "losetup",
            "nft")
INIT = """#!/bin/busybox sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
busybox mount -t proc none /proc
busybox mount -t sysfs none /sys
busybox mount -t devtmpfs none /dev
busybox mkdir -p /tmp /run /var/lib
for module in {modules}; do busybox insmod /modules/$module.ko; done
cd /banger
{environment} BANGER_HELPER=/banger/helper python3 tests/helper/snapshots.py {chosen} >/dev/ttyS1 2>&1
echo "status $?" >/dev/ttyS1
busybox poweroff -f
"""


def skip(why):
    print(f"1..0 # SKIP {why}")
    sys.exit(0)


def libraries(program):
    """What the loader maps for it."""
    text = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False).stdout
    return {Path(p) for p in re.findall(r"(/\S+) \(0x", text)}


def put(root, path, name=None):
    """A file at the same place, links resolved; with its libraries."""
    target = root / (name or str(path)).lstrip("/")
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(os.path.realpath(path), target)
    for library in libraries(path):
        put(root, library)


def python_parts(root):
    """The standard library without what no test imports, and msgpack."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    leave = shutil.ignore_patterns("test", "idlelib", "tkinter", "lib2to3", "ensurepip",
                                   "pydoc_data", "distutils", "config-*", "__pycache__", "*.a")
    shutil.copytree(os.path.dirname(os.__file__), root / f"usr/lib/{version}", ignore=leave)
    shutil.copytree(os.path.dirname(rigs.msgpack.__file__),
                    root / "usr/lib/python3/dist-packages/msgpack", ignore=leave)
    for extension in (root / "usr").rglob("*.so"):
        for library in libraries(extension):
            put(root, library)


def unpack_kernel(where):
    """vmlinuz and modules out of the package; answers the kernel's path."""
    text = subprocess.run(["dpkg-deb", "--contents", str(KERNEL)], capture_output=True, text=True,
                          check=True).stdout
    wanted = [line.split()[-1] for line in text.splitlines()
              if re.search(r"/boot/vmlinuz|/({})\.ko$".format("|".join(MODULES)), line)]
    package = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(KERNEL)], stdout=subprocess.PIPE)
    subprocess.run(["tar", "-xC", str(where), *wanted], stdin=package.stdout, check=True)
    package.communicate()
    return next((where / "boot").glob("vmlinuz*"))


def make_root(root, unpacked):
    for program in PROGRAMS:
        path = shutil.which(program)
        put(root, path)
        if program == "e2fsck":
            put(root, path, "usr/sbin/e2fsck")
    put(root, sys.executable, "usr/bin/python3")
    (root / "bin").mkdir(exist_ok=True)
    put(root, shutil.which("busybox"), "bin/busybox")
    if not (root / "bin/sh").exists():
        put(root, shutil.which("sh"), "bin/sh")
    python_parts(root)
    put(root, rigs.HELPER, "banger/helper")
    shutil.copytree(HERE, root / "banger/tests/helper",
                    ignore=shutil.ignore_patterns("__pycache__"))
    (root / "modules").mkdir()
    for module in unpacked.rglob("*.ko"):
        shutil.copy(module, root / "modules")
    for name in ("proc", "sys", "dev", "etc"):
        (root / name).mkdir(exist_ok=True)
    passed = " ".join(f"{k}={v}" for k, v in os.environ.items()
                      if re.fullmatch(r"BANGER_(RACE_SECONDS|SNAPSHOTS)", k) and v.isalnum())
    (root / "init").write_text(INIT.format(modules=" ".join(MODULES), environment=passed,
                                           chosen=" ".join(sys.argv[1:])))
    (root / "init").chmod(0o755)


def boot(work, kernel):
    """Passes on what the tests say; answers whether they ended well."""
    console = work / "console"
    command = ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-cpu", "max", "-m",
               str(MEMORY),
               "-smp", "2", "-display", "none", "-no-reboot", "-nodefaults", "-nic", "none",
               "-kernel", str(kernel), "-initrd", str(work / "initrd"), "-append",
               "console=ttyS0 panic=-1 mitigations=off random.trust_cpu=on quiet",
               "-serial", f"file:{console}", "-serial", "stdio"]
    machine = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                               errors="replace")
    late = threading.Timer(DEADLINE, machine.kill)
    late.start()
    status = None
    for line in machine.stdout:
        line = line.rstrip()
        if line.startswith("status "):
            status = line
        else:
            print(line, flush=True)
    machine.wait()
    late.cancel()
    if status != "status 0":
        print(f"# the machine ended with {status or 'no word'}; its console:")
        for line in console.read_text(errors="replace").splitlines()[-30:]:
            print(f"# {line}")
    return status == "status 0"


def main():
    if dm.missing() is None and os.geteuid() == 0:
        skip("this host has a device-mapper: snapshots.py ran on it")
    for need, why in ((shutil.which("qemu-system-x86_64"), "qemu-system-x86 is not installed"),
                      (shutil.which("busybox"), "busybox is not installed"),
                      (KERNEL.exists(), f"{KERNEL} is not there: make live-inputs"),
                      (rigs.HELPER.exists(), f"{rigs.HELPER} was not built")):
        if not need:
            skip(why)
    with tempfile.TemporaryDirectory(prefix="banger-dm-") as name:
        work = Path(name)
        (work / "kernel").mkdir()
        (work / "root").mkdir()
        kernel = unpack_kernel(work / "kernel")
        make_root(work / "root", work / "kernel")
        with open(work / "initrd", "wb") as out:
            names = subprocess.run(["find", "."], cwd=work / "root", capture_output=True, check=True)
            subprocess.run(["cpio", "-o", "-H", "newc", "--quiet", "-R", "0:0"], cwd=work / "root",
                           input=names.stdout, stdout=out, check=True)
        sys.exit(0 if boot(work, kernel) else 1)


main()
