#!/usr/bin/env python3
"""VMMs in jails: launch, signal, connect (rows F2, F9, F13, B9)."""
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import rig as rigs  # noqa: E402  pylint: disable=wrong-import-position

JAILBIRD = rigs.TOP / "build/tests/tools/jailbird"
UIDS = range(1890582528, 1890582528 + 1024)


def jailbird(rig, name="qemu-jailbird"):
    """A program that root alone can have put there."""
    directory = rig.base / "bin"
    directory.mkdir(mode=0o755, exist_ok=True)
    path = directory / name
    if not path.exists():
        shutil.copy(JAILBIRD, path)
        path.chmod(0o755)
    return path


def valid(rig, **changes):
    """What launch_vmm takes."""
    rig.owner_file("kernels/k/vmlinux", b"kernel")
    rig.owner_file("vm/demo/root.raw", b"root")
    rig.owner_file("images/i/root.ext4", b"base")
    params = {
        "vm_id": "demo", "driver": "qemu", "binary": str(jailbird(rig)),
        "kernel_path": str(rig.state / "kernels/k/vmlinux"),
        "disks": [{"id": "root", "path": str(rig.state / "vm/demo/root.raw"), "read_only": False},
                  {"id": "base", "path": str(rig.state / "images/i/root.ext4"),
                   "read_only": True}],
        "taps": [], "vcpus": 1, "mem_mib": 128, "accel": "tcg", "cmdline": "console=ttyS0"}
    params.update(changes)
    return {k: v for k, v in params.items() if v is not None}


def read_all(fd):
    """Until the line `end`."""
    os.set_blocking(fd, True)
    text = b""
    while not text.endswith(b"end\n"):
        chunk = os.read(fd, 65536)
        assert chunk, text
        text += chunk
    return text.decode()


def facts_of(rig, client, channel="console", vm="demo"):
    client.ask("priv.connect_vmm", vm_id=vm, channel=channel)
    fd = client.take_fd()
    try:
        lines = read_all(fd).splitlines()
    finally:
        os.close(fd)
    return {line.split(":")[0]: line.split(":", 1)[1].strip() for line in lines if ":" in line}


def gone(pidfd):
    """Waits for a process's end by its pidfd."""
    import select  # pylint: disable=import-outside-toplevel
    assert select.select([pidfd], [], [], rigs.PATIENCE)[0], "it lives on"


def launch(rig, client, **changes):
    result = client.ask("priv.launch_vmm", **valid(rig, **changes))
    return result["pid"], client.take_fd()


def jail_is_tight(rig):
    """A VMM finds its files, a few nodes and libraries, no right, no network and nothing else"""
    client = rig.client()
    pid, pidfd = launch(rig, client)
    facts = facts_of(rig, client)
    uid = os.stat(f"/proc/{pid}").st_uid
    assert uid in UIDS, uid
    assert facts["uid"] == f"{uid} {uid} gid: {UIDS[0] - 1} {UIDS[0] - 1} groups: 0", facts
    assert facts["caps"] == "0 0 bounding: 0 nnp: 1", facts
    assert facts["setuid0"] == "0 session: 1 environ: 0", facts
    assert facts["fds"] == "0 1 2 10 11 12", facts
    assert set(facts["list /"].split()) <= {"usr", "lib", "lib64", "lib32", "dev", "img", "disks",
                                            "run"}, facts
    assert set(facts["list /dev"].split()) == {"null", "zero", "random", "urandom"}, facts
    assert facts["file /img/kernel"] == "read=1 write=0 says=kernel", facts
    assert facts["file /disks/root"] == "read=1 write=1 says=root", facts
    assert facts["file /disks/base"] == "read=1 write=0 says=base", facts
    assert "write=0" in facts["file /usr/bin/env"], facts
    assert facts["links"] == "lo", facts
    # the owner's own rights are as they were
    st = os.stat(rig.state / "vm/demo/root.raw")
    assert st.st_uid == rigs.OWNER and st.st_mode & 0o600 == 0o600 and not st.st_mode & 0o007
    client.ask("priv.kill_process", pid=pid)
    gone(pidfd)
    client.ask("priv.cleanup_jailer_chroot", chroot_path=str(rig.jails / "qemu/demo"))
    assert not (rig.jails / "qemu/demo").exists()


def firecracker_without_jailer(rig):
    """The helper jails a Firecracker itself when no jailer is named; its console is a FIFO"""
    client = rig.client()
    pid, pidfd = launch(rig, client, driver="firecracker", binary=str(jailbird(rig, "firecracker")),
                        accel=None, cmdline=None)
    facts = facts_of(rig, client)
    assert facts["fds"] == "0 2 3", facts  # and 1; 3 is its own socket
    assert "kvm" in facts["list /dev"], facts
    assert facts_of(rig, client, "api")["caps"] == "0 0 bounding: 0 nnp: 1"
    client.ask("priv.signal_process", pid=pid, signal="TERM")
    gone(pidfd)
    client.ask("priv.cleanup_jailer_chroot", chroot_path=str(rig.jails / "firecracker/demo/root"))
    assert not list((rig.jails / "firecracker").iterdir())


def hostile_vmm(rig):
    """Links and deep trees that a VMM plants lead nowhere, and go with its jail"""
    rig.owner_file("kernels/k/initrd", b"plant")
    client = rig.client()
    pid, pidfd = launch(rig, client, driver="firecracker", binary=str(jailbird(rig, "firecracker")),
                        accel=None, cmdline=None, initrd_path=str(rig.state / "kernels/k/initrd"))
    facts_of(rig, client)
    before = Path("/etc/passwd").read_bytes()
    rig.refused("denied", "channel", "priv.connect_vmm", vm_id="demo", channel="api")
    rig.refused("conflict", "chroot_path", "priv.cleanup_jailer_chroot",
                chroot_path=str(rig.jails / "firecracker/demo"))
    client.ask("priv.kill_process", pid=pid)
    gone(pidfd)
    client.ask("priv.cleanup_jailer_chroot", chroot_path=str(rig.jails / "firecracker/demo"))
    assert not (rig.jails / "firecracker/demo").exists()
    assert Path("/etc/passwd").read_bytes() == before and Path("/etc/hostname").exists()


def wrong_values(rig):
    """Each value that the row of launch_vmm excludes is refused, and names its field"""
    base = valid(rig)
    directory = rig.base / "bin"
    loose = rig.base / "loose"
    loose.mkdir()
    shutil.copy(JAILBIRD, loose / "qemu")
    (loose / "qemu").chmod(0o755)
    loose.chmod(0o777)
    for name, mode, owner in (("group", 0o775, 0), ("world", 0o757, 0), ("plain", 0o644, 0),
                              ("theirs", 0o755, rigs.OWNER)):
        shutil.copy(JAILBIRD, directory / name)
        os.chown(directory / name, owner, owner)
        (directory / name).chmod(mode)
    (directory / "link").symlink_to("qemu-jailbird")
    (rig.base / "linked").symlink_to("bin")
    os.mkfifo(directory / "fifo")
    for binary in ("group", "world", "plain", "theirs", "link", "fifo", "absent"):
        rig.refused(("denied", "not_found"), "binary", "priv.launch_vmm",
                    **{**base, "binary": str(directory / binary)})
    for binary in (loose / "qemu", rig.base / "linked/qemu-jailbird", directory):
        rig.refused("denied", "binary", "priv.launch_vmm", **{**base, "binary": str(binary)})
    for binary in ("qemu", "bin/../qemu", "/usr//bin/env", "/a\0b", "", "/usr/bin/../bin/env"):
        rig.refused("invalid_value", "binary", "priv.launch_vmm", **{**base, "binary": binary})
    rig.refused("denied", "jailer", "priv.launch_vmm",
                **without_none({**base, "driver": "firecracker", "accel": None, "cmdline": None,
                                "jailer": str(directory / "world")}))


def without_none(params):
    return {k: v for k, v in params.items() if v is not None}


def wrong_fields(rig):
    """Wrong numbers, names, combinations and files are refused, and name their field"""
    base = valid(rig)
    disk = base["disks"][0]
    fc = without_none({**base, "driver": "firecracker", "accel": None, "cmdline": None})
    cases = [
        ("vm_id", {"vm_id": ""}), ("vm_id", {"vm_id": "A"}), ("vm_id", {"vm_id": "a/b"}),
        ("vm_id", {"vm_id": ".."}), ("vm_id", {"vm_id": "a\0b"}), ("vm_id", {"vm_id": "x" * 65}),
        ("vm_id", {"vm_id": "-ab"}), ("driver", {"driver": "xen"}), ("vcpus", {"vcpus": 0}),
        ("vcpus", {"vcpus": 65}), ("mem_mib", {"mem_mib": 63}), ("accel", {"accel": "hvf"}),
        ("cmdline", {"cmdline": "a\nb"}), ("cmdline", {"cmdline": "x" * 2048}),
        ("jailer", {"jailer": "/usr/bin/env"}),
        ("disks", {"disks": [{"id": "a", "read_only": True}]}),
        ("disks", {"disks": [{**disk, "dm_dev": "/dev/mapper/fc-rootfs-demo"}]}),
        ("disks", {"disks": [disk, disk]}),
        ("disks", {"disks": [{**disk, "id": f"d{i}"} for i in range(9)]}),
        ("disks", {"disks": [{"id": "a", "dm_dev": "/dev/mapper/fc-rootfs-other",
                              "read_only": True}]}),
        ("taps", {"taps": ["bngr-nobody"]}), ("taps", {"taps": ["eth0"]}),
        ("taps", {"taps": ["bngr-a", "bngr-a"]}),
    ]
    for field, change in cases:
        error = None
        try:
            rig.ask("priv.launch_vmm", **{**base, **change})
        except rigs.Refused as refusal:
            error = refusal
        assert error, (field, change)
        assert error.code in ("invalid_value", "not_owned", "not_found", "too_large"), \
            (change, error)
        assert (error.field or "").startswith(field) or error.field in ("path", "id", "dm_dev"), \
            (change, error)
    rig.refused("invalid_value", "vcpus", "priv.launch_vmm", **{**fc, "vcpus": 33})
    rig.refused("invalid_value", "accel", "priv.launch_vmm", **{**fc, "accel": "tcg"})
    rig.refused("invalid_value", "cmdline", "priv.launch_vmm", **{**fc, "cmdline": "quiet"})
    assert not list(rig.jails.glob("qemu/*")) and not list(rig.jails.glob("firecracker/*"))


def wrong_files(rig):
    """Kernel and disks: outside, links, hard links, FIFOs, devices, foreign ones are refused"""
    base = valid(rig)
    state = rig.state
    outside = rig.base / "outside"
    outside.write_bytes(b"secret")
    (state / "leaf").symlink_to(outside)
    (state / "kernels/parent").symlink_to(state / "kernels/k")
    os.link(rig.owner_file("twice", b"x"), state / "hard1")
    os.link(rig.owner_file("again", b"x"), state / "hard2")
    os.mkfifo(state / "fifo")
    (state / "dir").mkdir()
    os.mknod(state / "null", 0o600 | 0o020000, os.makedev(1, 3))
    for name in ("leaf", "fifo", "null", "kernels/parent", "hard1"):
        with_owner = state / name
        os.chown(with_owner, rigs.OWNER, rigs.OWNER, follow_symlinks=False)
    rooted = rig.owner_file("rooted", b"x")
    os.chown(rooted, 0, 0)
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(state / "sock"))
    os.chown(state / "sock", rigs.OWNER, rigs.OWNER)
    names = ["leaf", "kernels/parent/vmlinux", "hard1", "hard2", "fifo", "dir", "null", "rooted",
             "sock", "absent"]
    paths = [str(state / n) for n in names] + [
        str(outside), "/proc/self/mem", "/dev/zero", str(state), f"{state}/../outside",
        f"{state}/kernels/../kernels/k/vmlinux", "kernels/k/vmlinux", f"{state}\0/x"]
    for path in paths:
        for field, change in (("kernel_path", {"kernel_path": path}),
                              ("initrd_path", {"initrd_path": path}),
                              ("disks", {"disks": [{"id": "d", "path": path,
                                                    "read_only": False}]})):
            try:
                rig.ask("priv.launch_vmm", **{**base, **change})
                raise AssertionError(f"{field} {path!r} was accepted")
            except rigs.Refused as error:
                assert error.code in ("denied", "invalid_value", "not_found", "not_owned"), error
                assert error.field in (field, "path"), error
    assert outside.read_bytes() == b"secret"
    assert not list(rig.jails.glob("qemu/*"))


def only_its_own(rig):
    """Foreign, recycled and unknown pids get one answer; pid 1 and other signals none of it"""
    client = rig.client()
    pid, pidfd = launch(rig, client)
    foreign = subprocess.Popen(["sleep", "1000"])
    try:
        texts = set()
        for other in (foreign.pid, rig.child.pid, os.getpid(), 4194304, 2):
            for method, more in (("priv.kill_process", {}),
                                 ("priv.signal_process", {"signal": "KILL"})):
                texts.add(str(rig.refused("not_owned", "pid", method, pid=other, **more)))
        assert len(texts) == 1, texts
        assert foreign.poll() is None
        rig.refused("invalid_value", "pid", "priv.kill_process", pid=1)
        rig.refused("invalid_value", "pid", "priv.kill_process", pid=0)
        for name in ("HUP", "USR1", "SEGV", "kill", "9", ""):
            rig.refused("invalid_value", "signal", "priv.signal_process", pid=pid, signal=name)
        client.ask("priv.signal_process", pid=pid, signal="STOP")
        client.ask("priv.signal_process", pid=pid, signal="CONT")
        client.ask("priv.signal_process", pid=pid, signal="KILL")
        gone(pidfd)
        rig.wait_for(lambda: "vmm ended" in rig.log(), "no line about its end")
        rig.refused("not_owned", "pid", "priv.kill_process", pid=pid)
    finally:
        foreign.kill()
        foreign.wait()


def survives_the_helper(rig):
    """A VMM outlives the helper; the next one knows it again, and removes what else is left"""
    client = rig.client()
    pid, pidfd = launch(rig, client)
    rig.restart(signal.SIGKILL)
    assert "vmm taken back" in rig.log()
    again = rig.client()
    assert facts_of(rig, again)["fds"] == "0 1 2 10 11 12"
    rig.refused("exists", "vm_id", "priv.launch_vmm", **valid(rig))
    again.ask("priv.kill_process", pid=pid)
    gone(pidfd)
    rig.stop(signal.SIGKILL)
    rig.start()
    assert not list(rig.jails.glob("qemu/*")), "the jail was left"


def stray_is_ended(rig):
    """A process in a jail that the ledger does not know ends with it at the next start"""
    client = rig.client()
    _, pidfd = launch(rig, client)
    rig.stop(signal.SIGKILL)
    (rig.jails / ".ledger").unlink()
    (rig.jails / "qemu/left/root/run").mkdir(parents=True)
    rig.start()
    gone(pidfd)
    assert not list(rig.jails.glob("qemu/*"))


def teardown_ends_all(rig):
    """`--teardown` ends machines and removes their jails"""
    client = rig.client()
    _, pidfd = launch(rig, client)
    rig.stop()
    subprocess.run([str(rigs.HELPER), *rig.flags(), "--teardown"], check=True)
    gone(pidfd)
    left = [p.name for p in rig.jails.iterdir() if p.name not in (".ledger", ".lock")]
    assert all(not list((rig.jails / name).iterdir()) for name in left), left
    rig.start()


def machines_are_apart(rig):
    """Each machine has a uid of its own, that comes free with its jail"""
    client = rig.client()
    rig.owner_file("vm/demo2/root.raw", b"root")
    one, fd1 = launch(rig, client)
    two, fd2 = launch(rig, client, vm_id="demo2", disks=[
        {"id": "root", "path": str(rig.state / "vm/demo2/root.raw"), "read_only": False}])
    uids = [os.stat(f"/proc/{p}").st_uid for p in (one, two)]
    assert len(set(uids)) == 2 and set(uids) <= set(UIDS), uids
    for pid, fd in ((one, fd1), (two, fd2)):
        client.ask("priv.kill_process", pid=pid)
        gone(fd)
    client.ask("priv.cleanup_jailer_chroot", chroot_path=str(rig.jails / "qemu/demo"))
    third, fd3 = launch(rig, client)
    assert os.stat(f"/proc/{third}").st_uid == uids[0]
    client.ask("priv.kill_process", pid=third)
    gone(fd3)


def connect_refuses(rig):
    """connect_vmm: only machines that run, only its channels"""
    rig.refused("not_owned", "vm_id", "priv.connect_vmm", vm_id="nobody", channel="api")
    rig.refused("invalid_value", "channel", "priv.connect_vmm", vm_id="nobody", channel="monitor")
    rig.refused("invalid_value", "vm_id", "priv.connect_vmm", vm_id="../x", channel="api")


if not JAILBIRD.exists():
    print(f"1..0 # SKIP {JAILBIRD} was not built")
    sys.exit(0)
rigs.main([jail_is_tight, firecracker_without_jailer, hostile_vmm, wrong_values, wrong_fields,
           wrong_files, only_its_own, survives_the_helper, stray_is_ended, teardown_ends_all,
           machines_are_apart,
           connect_refuses])
