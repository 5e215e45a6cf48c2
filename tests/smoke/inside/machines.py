"""Machines of an installed system: emulated and on KVM, by QEMU and by Firecracker, on the bridge."""
import json
import os
import re
import shutil
from pathlib import Path

import facts
import host

GUEST = "guest"
OUTSIDE = "198.51.100.1"  # a host beyond this one, in a namespace of its own
state = {}


def banger(*argv, **kw):
    return host.dev("banger", *argv, **kw)


def sh(name, script):
    return banger("vm", "exec", name, "--", "sh", "-c", script)


def vmm_of(name):
    """pid and arguments of a machine's VMM, which has a uid of its own."""
    pid = host.dev_json("vm", "show", name)["vm"]["pid"]
    arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    uid = os.stat(f"/proc/{pid}").st_uid
    assert uid not in (0, 1000), f"the VMM's uid is {uid}"
    return pid, arguments


def takes_all(name):
    """What every machine must take."""
    assert sh(name, "echo in; exit 0") == "in\n"
    done = host.run(*host.as_dev("banger", "vm", "exec", name, "--", "sh", "-c", "exit 9"))
    assert done.returncode == 9, done
    data = os.urandom(300000)
    Path("/home/dev/in").write_bytes(data)
    banger("vm", "cp", "/home/dev/in", f"{name}:/there")
    banger("vm", "cp", f"{name}:/there", "/home/dev/out")
    assert Path("/home/dev/out").read_bytes() == data
    for leaf in ("in", "out"):
        os.unlink(f"/home/dev/{leaf}")
    assert host.dev_json("vm", "health", name)["ok"]


def install():
    """installed, with a kernel and an image"""
    host.ok("cp", "-a", "--remove-destination", f"{host.GOODS}/stage/.", "/")
    for name in ("firecracker", "jailer"):
        if (host.GOODS / name).exists():
            shutil.copy(host.GOODS / name, f"/usr/local/bin/{name}")
            os.chmod(f"/usr/local/bin/{name}", 0o755)
    state["before"] = facts.take()
    host.dev("sudo", "-n", "banger", "system", "install")
    banger("kernel", "import", "debian", "/smoke/kernel.deb")
    banger("image", "import", GUEST, "/smoke/guest.tar")


@host.machines
def by_kvm():
    """a machine on KVM, by QEMU"""
    banger("vm", "create", "--name", "fast", "--image", GUEST, "--driver", "qemu", "--accel", "kvm")
    _, arguments = vmm_of("fast")
    assert any(a.startswith("kvm") for a in arguments), arguments
    takes_all("fast")
    banger("vm", "delete", "fast")


@host.machines
def by_tcg():
    """an emulated machine without network, by QEMU under what it inherits from the helper"""
    banger("vm", "create", "--name", "slow", "--image", GUEST, "--driver", "qemu", "--accel", "tcg",
           "--net", "none")
    _, arguments = vmm_of("slow")
    assert any(a.startswith("tcg") for a in arguments), arguments
    takes_all("slow")
    banger("vm", "delete", "slow")


@host.machines
def by_firecracker():
    """a machine on KVM, by Firecracker"""
    if not (host.GOODS / "firecracker").exists():
        raise host.Skip("FIRECRACKER_BIN is not set")
    banger("vm", "create", "--name", "fire", "--image", GUEST, "--driver", "firecracker", "--net",
           "none")
    _, arguments = vmm_of("fire")
    assert "firecracker" in arguments[0], arguments
    takes_all("fire")
    banger("vm", "stop", "fire")
    banger("vm", "start", "fire")
    takes_all("fire")
    banger("vm", "delete", "fire")


@host.machines
def jailed():
    """Firecracker in a jail of the jailer, under a uid of its own, on the bridge"""
    if not (host.GOODS / "jailer").exists():
        raise host.Skip("JAILER_BIN is not set")
    banger("vm", "create", "--name", "jail", "--image", GUEST, "--driver", "firecracker")
    pid, _ = vmm_of("jail")
    assert not os.path.samestat(os.stat(f"/proc/{pid}/root"), os.stat("/")), "no jail"
    assert os.listdir(f"/proc/{pid}/root/disks"), "no disks in the jail"
    takes_all("jail")
    banger("vm", "delete", "jail")


@host.machines
def bridged():
    """a machine with a dm disk, a tap on the bridge and an address"""
    banger("vm", "create", "--name", "web", "--image", GUEST, "--layer", "dm")
    links = json.loads(host.ok("ip", "-j", "-d", "link"))
    taps = [x["ifname"] for x in links if x["ifname"].startswith("bngr-")]
    assert [x for x in links if x["ifname"] == "br-bngr"] and taps, links
    assert all(x["master"] == "br-bngr" for x in links if x["ifname"] in taps), links
    names = [line.split()[0] for line in host.ok("dmsetup", "ls").splitlines()]
    assert len(names) == 1 and names[0].startswith("fc-rootfs-"), names
    takes_all("web")


@host.machines
def by_name():
    """curl http://web.vm through resolved"""
    sh("web", "mkdir -p /www; echo it is web >/www/index.html; httpd -p 80 -h /www")
    assert host.ok("curl", "-sS", "--max-time", "30", "http://web.vm/") == "it is web\n"
    host.ok("resolvectl", "query", "web.vm")
    said = host.ok("resolvectl", "domain", "br-bngr")
    assert "~vm" in said, said


@host.machines
def out_by_nat():
    """the machine reaches outside by NAT, and what answers sees this host's address"""
    host.ok("ip", "netns", "add", "outside")
    host.ok("ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1", "netns", "outside")
    host.ok("ip", "address", "add", "198.51.100.2/24", "dev", "up0")
    host.ok("ip", "link", "set", "up0", "up")
    inside = ("ip", "netns", "exec", "outside")
    host.ok(*inside, "ip", "address", "add", f"{OUTSIDE}/24", "dev", "up1")
    host.ok(*inside, "ip", "link", "set", "up1", "up")
    host.ok("systemd-run", "--quiet", "--unit=outside-web", "-p", "Type=notify", *inside, "python3",
            str(host.GOODS / "inside/outside.py"), OUTSIDE)
    try:
        assert sh("web", f"wget -q -O - http://{OUTSIDE}:8000/") == "198.51.100.2\n"
    finally:
        host.ok("systemctl", "stop", "outside-web")
        host.ok("ip", "netns", "delete", "outside")
        host.ok("umount", "/run/netns")  # `ip` made that
        os.rmdir("/run/netns")


@host.machines
def power_cut():
    """a machine whose VMM is killed: its dm disk is checked, and what was synced is there again"""
    sh("web", "echo kept >/kept && sync")
    pid, _ = vmm_of("web")
    os.kill(pid, 9)
    banger("vm", "wait", "--for", "stopped", "web")
    assert "fc-rootfs-" in host.ok("dmsetup", "ls")
    banger("vm", "start", "web")
    assert sh("web", "cat /kept") == "kept\n"
    said = host.ok("journalctl", "-b", "--no-pager", "-u", "banger-helper.service")
    assert "priv.fsck_snapshot" in said, said


@host.machines
def by_ssh():
    """ssh NAME.vm after `banger ssh-config --install`"""
    banger("image", "import", "ssh", "/smoke/ssh.tar")
    banger("vm", "create", "--name", "shell", "--image", "ssh")
    sh("shell", "mkdir -p /run/sshd && /usr/sbin/sshd")
    banger("ssh-config", "--install")
    assert host.dev("ssh", "-o", "BatchMode=yes", "shell.vm", "echo in").strip() == "in"
    banger("vm", "delete", "shell")


@host.machines
def restarts():
    """both services start anew under machines of every kind that is there, which go on"""
    banger("vm", "create", "--name", "kept", "--image", GUEST, "--driver", "qemu", "--accel", "kvm")
    pids = {vm["name"]: vm["pid"] for vm in host.dev_json("vm", "list")}
    host.dev("sudo", "-n", "banger", "system", "restart")
    assert {vm["name"]: vm["pid"] for vm in host.dev_json("vm", "list")} == pids
    for name in pids:
        takes_all(name)


def uninstall():
    """all machines deleted and banger uninstalled, the host is as it was before"""
    names = [vm["name"] for vm in host.dev_json("vm", "list")]
    if names:
        banger("vm", "delete", *names)
    host.dev("sudo", "-n", "banger", "system", "uninstall", "--purge")
    left = facts.differences(state["before"], facts.take())
    assert not left, "\n".join(left)


for later in (by_kvm, by_tcg, by_firecracker, jailed, bridged, by_ssh, restarts,
              uninstall):
    later.after = (install,)
by_name.after = out_by_nat.after = power_cut.after = (bridged,)

STEPS = (install, by_kvm, by_tcg, by_firecracker, jailed, bridged, by_name, out_by_nat,
         power_cut, by_ssh, restarts, uninstall)
