"""One smoke host: boots, tells what happens on it as events, ends.

The host is made by tools/smoke-host; its disk is not changed (each run writes to a layer of its own,
which is gone at the end). It has no network but what it makes itself.
"""
import json
import os
import signal
import subprocess
import threading

MEMORY_MIB = 2560
# AMD's virtualization is emulated too, so /dev/kvm works in there.
CPU = "EPYC,+svm,+npt"
APPEND = ("console=ttyS0 panic=-1 systemd.show_status=0 mitigations=off "
          "random.trust_cpu=on loglevel=4 audit=0")


def command(host, goods, directory, shard):
    return ["qemu-system-x86_64", "-name", f"smoke-{shard}", "-M", "q35", "-accel", "tcg", "-cpu",
            CPU, "-smp", "2", "-m", str(MEMORY_MIB), "-display", "none", "-no-reboot", "-nodefaults",
            "-nic", "none", "-kernel", str(host / "vmlinuz"), "-initrd", str(host / "initrd"),
            "-append", f"{APPEND} smoke.shard={shard}",
            "-serial", f"file:{directory}/console.log",
            "-drive", f"file={host}/root.ext4,format=raw,if=none,id=root,snapshot=on",
            "-device", "virtio-blk-pci,drive=root",
            "-drive", f"file={goods},format=raw,if=none,id=goods,readonly=on",
            "-device", "virtio-blk-pci,drive=goods,serial=goods",
            "-device", "virtio-rng-pci",
            "-device", "virtio-serial-pci", "-chardev", "stdio,id=smoke,signal=off",
            "-device", "virtserialport,chardev=smoke,name=smoke"]


def run(host, goods, directory, shard, seconds):
    """Yields what the host tells, as dicts; the last is {"state": "gone", ...} when it ended."""
    directory.mkdir(parents=True, exist_ok=True)
    # Standard input stays open: at its end QEMU would close the port that the host tells through.
    with open(directory / "qemu.log", "wb") as log:
        child = subprocess.Popen(command(host, goods, directory, shard), stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, stderr=log, start_new_session=True,
                                 env={**os.environ, "TMPDIR": str(directory)})
        late = threading.Event()

        def end():
            late.set()
            child.kill()

        timer = threading.Timer(seconds, end)
        timer.start()
        try:
            for line in child.stdout:
                yield json.loads(line)
        finally:
            timer.cancel()
            if child.poll() is None and not late.is_set():
                wait_or_kill(child)
        code = child.wait()
    yield {"state": "gone", "code": code, "late": late.is_set(), "log": tail(directory)}


def wait_or_kill(child):
    """The host is powering off; whoever stopped reading does not wait for it for ever."""
    try:
        child.wait(timeout=60)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGKILL)


def tail(directory):
    """The last words of console and QEMU."""
    text = ""
    for name in ("qemu.log", "console.log"):
        path = directory / name
        if path.exists():
            text += "\n".join(path.read_text(errors="replace").splitlines()[-30:]) + "\n"
    return text
