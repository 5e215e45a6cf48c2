"""The system install: install, services, machines over restart and upgrade, uninstall."""
import json
import os
import re
import shutil
import stat
import time
from pathlib import Path

import facts
import host

MOST = {"bangerd.service": 2.0, "banger-helper.service": 4.0}  # exposure, as systemd-analyze counts
UNITS = ("bangerd.service", "bangerd.socket", "banger-helper.service", "banger-helper.socket")
GUEST = "guest"
state = {}


def banger(*argv, **kw):
    return host.dev("banger", *argv, **kw)


def pid_of(unit):
    return int(host.unit(unit, "MainPID")["MainPID"])


def vmms():
    """pid to name of the VMMs, whoever runs them."""
    return {p: n for p, n in host.processes().items() if re.match("qemu|firecracker", n)}


def echo(name, text):
    assert banger("vm", "exec", name, "--", "echo", text) == text + "\n"


def scopes():
    """The scopes of machines, and the processes in them."""
    found = {}
    for unit in host.ok("systemctl", "list-units", "--no-legend", "--plain", "banger-vm-*").splitlines():
        name = unit.split()[0]
        group = host.unit(name, "ControlGroup")["ControlGroup"]
        pids = Path(f"/sys/fs/cgroup{group}/cgroup.procs").read_text().split()
        found[name] = [p for p in pids if int(p) in host.processes()]  # KVM puts a thread of its own there
    return found


def unharmed(text):
    """The machine, where there is one, is the one that it was, in the scope that it was in."""
    if "vmms" in state:
        assert vmms() == state["vmms"], (vmms(), state["vmms"])
        assert scopes() == state["scopes"], (scopes(), state["scopes"])
        echo("stays", text)


def unpack(leaf):
    """As a package does: new files beside the old, then exchanged."""
    host.ok("cp", "-a", "--remove-destination", f"{host.GOODS}/{leaf}/.", "/")


def programs():
    """what `make install DESTDIR=` made is unpacked, and nothing runs"""
    unpack("stage")
    state["before"] = facts.take()
    out = host.dev("banger", "version")
    assert re.match(r"banger \d", out), out
    assert not [n for n in host.processes().values() if n.startswith("banger")]


def needs_root():
    """without root, install refuses with the line to type"""
    for verb in ("install", "restart", "uninstall"):
        said = host.dev_fails("banger", "system", verb)
        assert f"sudo /usr/local/bin/banger system {verb}" in said, said
    said = host.dev_fails("banger", "system", "status")
    assert "no system install" in said, said


def all_at_once():
    """what stands in the way of an install is told all at once, and nothing is touched"""
    os.mkdir("/var/lib/banger", 0o700)
    os.chown("/var/lib/banger", 4242, 4242)
    Path("/run/banger-helper").write_text("")
    try:
        done = host.run("banger", "--json", "system", "install", "--owner", "root")
        assert done.returncode == 1, done
        doc = json.loads(done.stdout)
        text = json.dumps(doc["problems"])
        for word in ("only the helper runs as root", "/var/lib/banger belongs to uid 4242",
                     "/run/banger-helper is no directory"):
            assert word in text, (word, doc)
    finally:
        os.rmdir("/var/lib/banger")
        os.unlink("/run/banger-helper")
    left = facts.differences(state["before"], facts.take())
    assert not left, left


def install():
    """sudo banger system install"""
    out = host.dev("sudo", "-n", "banger", "system", "install")
    assert "installed" in out and "dev" in out, out
    for name in UNITS:
        assert host.unit(name, "ActiveState")["ActiveState"] == "active", name


def again():
    """a second install changes nothing and restarts nothing"""
    pids = [pid_of(u) for u in MOST]
    out = host.dev("sudo", "-n", "banger", "system", "install")
    assert "already installed" in out, out
    assert [pid_of(u) for u in MOST] == pids


def other_owner():
    """an install for another user is refused while there is this one"""
    done = host.run("banger", "system", "install", "--owner", "nobody")
    assert done.returncode == 1 and "installed already, for uid 1000" in done.stderr, done


def status():
    """system status tells owner, units, sockets, without root"""
    doc = host.dev_json("system", "status")
    assert doc["installed"] and doc["owner"] == "dev" and doc["install"]["owner_uid"] == 1000, doc
    assert {u["name"]: u["active"] for u in doc["units"]} == dict.fromkeys(UNITS, "active"), doc
    assert all(s["up"] for s in doc["sockets"]) and not doc["problems"], doc
    daemon = host.dev_json("daemon", "status")
    assert daemon["mode"] == "system" and daemon["state_dir"] == "/var/lib/banger", daemon
    assert daemon["pid"] == pid_of("bangerd.service"), daemon


def hardened():
    """systemd-analyze security: at most 2.0 for bangerd, 4.0 for the helper"""
    notes = []
    for unit, most in MOST.items():
        out = host.ok("systemd-analyze", "security", "--no-pager", unit)
        level = float(re.search(r"Overall exposure level for \S+ (\d+\.\d)", out)[1])
        notes.append(f"{unit} {level}")
        assert level <= most, out
    return notes


def identities():
    """the daemon is the owner's without capabilities, the helper alone is root's, with few"""
    text = Path(f"/proc/{pid_of('bangerd.service')}/status").read_text()
    assert re.search(r"Uid:\s+1000\s+1000\s+1000\s+1000", text), text
    for word in ("CapEff", "CapPrm", "CapBnd", "CapAmb"):
        assert re.search(rf"{word}:\s+0+\n", text), text
    assert "NoNewPrivs:\t1" in text and "Seccomp:\t2" in text, text
    root = [n for p, n in host.processes(0).items() if n.startswith("banger")]
    assert root == ["banger-helper"], root


def directories():
    """directories and sockets are the owner's or root's, and closed to others"""
    want = {"/var/lib/banger": (1000, 0o40700), "/run/banger": (1000, 0o40700),
            "/run/banger/bangerd.sock": (1000, 0o140600),
            "/run/banger-helper/helper.sock": (1000, 0o140600),
            "/var/lib/banger-helper": (0, 0o40711), "/run/banger-helper": (0, 0o40755),
            "/etc/banger/install.yaml": (0, 0o100644)}
    for path, (uid, mode) in want.items():
        st = os.lstat(path)
        assert (st.st_uid, st.st_mode) == (uid, mode), (path, st.st_uid, oct(st.st_mode))
    for path in want:
        if stat.S_ISSOCK(want[path][1]):
            done = host.run("runuser", "-u", "nobody", "--", "python3", "-c",
                            f"import socket; socket.socket(socket.AF_UNIX).connect('{path}')")
            assert "PermissionError" in done.stderr, (path, done.stderr)


def image():
    """kernel import and image import by the installed daemon"""
    banger("kernel", "import", "debian", "/smoke/kernel.deb")
    banger("image", "import", GUEST, "/smoke/guest.tar")


@host.machines
def run_once():
    """banger vm run --rm: output and exit code are the guest's, and nothing is left"""
    done = host.run(*host.as_dev("banger", "vm", "run", "--rm", "--image", GUEST, "--", "sh", "-c",
                                 "uname -s; exit 7"))
    assert (done.returncode, done.stdout) == (7, "Linux\n"), done
    assert host.dev_json("vm", "list") == []


@host.machines
def machine():
    """a machine that stays"""
    banger("vm", "create", "--name", "stays", "--image", GUEST)
    echo("stays", "hello")
    state["vmms"] = vmms()
    assert len(state["vmms"]) == 1, state["vmms"]
    vm = host.dev_json("vm", "show", "stays")["vm"]
    state["scopes"] = scopes()
    assert state["scopes"] == {f"banger-vm-{vm['id']}.scope": [str(vm["pid"])]}, state["scopes"]
    arguments = Path(f"/proc/{list(state['vmms'])[0]}/cmdline").read_bytes().split(b"\0")
    return [f"accelerator: {a.decode()}" for a in arguments if re.match(rb"(kvm|tcg)", a)]


def restart():
    """sudo banger system restart: both services are new, the machine is the old one"""
    pids = [pid_of(u) for u in MOST]
    host.dev("sudo", "-n", "banger", "system", "restart")
    assert not set(pids) & {pid_of(u) for u in MOST}
    unharmed("after restart")


def own_restart():
    """banger daemon restart works without sudo"""
    pid = pid_of("bangerd.service")
    banger("daemon", "restart")
    assert pid_of("bangerd.service") not in (0, pid)
    unharmed("after daemon restart")


def await_new_pid(unit, old):
    deadline = time.monotonic() + 60
    while (pid := pid_of(unit)) in (0, old):
        assert time.monotonic() < deadline, f"{unit} does not come back"
        host.ok("systemctl", "start", unit)  # waits until it is up
    return pid


def killed():
    """after kill -9 of daemon and helper systemd starts them, and the machine is the old one"""
    for unit in MOST:
        old = pid_of(unit)
        assert old > 1, unit
        os.kill(old, 9)
        await_new_pid(unit, old)
    unharmed("after kill")


def upgrade():
    """another build is installed over it: both services are of it, the machine is the old one"""
    unpack("next")
    said = host.run(*host.as_dev("banger", "vm", "list"))
    assert "another build" in said.stderr, said
    out = host.dev("sudo", "-n", "banger", "system", "install")
    assert "upgraded to banger 9999.0.0" in out, out
    assert host.dev_json("ping")["version"]["version"] == "9999.0.0"
    assert host.dev_json("system", "status")["install"]["version"] == "9999.0.0"
    unharmed("after upgrade")


def downgrade():
    """and back again"""
    unpack("stage")
    host.dev("sudo", "-n", "banger", "system", "install")
    assert host.dev_json("ping")["version"]["version"] != "9999.0.0"
    unharmed("after downgrade")


def journal():
    """the journal has the daemon's lines with fields"""
    out = host.ok("journalctl", "-b", "--no-pager", "-o", "json", "-u", "bangerd.service",
                  "BANGER_ACTOR=daemon")
    rows = [json.loads(line) for line in out.splitlines()]
    assert any(r.get("BANGER_VERSION") and r["PRIORITY"] == "6" for r in rows), rows[:3]


def refuses():
    """uninstall refuses while a machine runs"""
    done = host.run("banger", "system", "uninstall")
    assert done.returncode == 1 and "1 machine runs" in done.stderr, done
    echo("stays", "still")


def uninstall():
    """sudo banger system uninstall: machines and images stay, all else is as it was before"""
    if "vmms" in state:
        banger("vm", "stop", "stays")
        assert not scopes(), scopes()
    said = host.ok("journalctl", "-b", "--no-pager", "-u", "banger-helper.service")
    assert "left-over process" not in said, said
    host.dev("sudo", "-n", "banger", "system", "uninstall")
    left = facts.differences(state["before"], facts.take(), ignore=("/var/lib/banger/",))
    left = [x for x in left if not x.startswith("files: /var/lib/banger: was None")]
    assert not left, "\n".join(left)
    assert os.path.isdir("/var/lib/banger")


def back():
    """after the next install what stayed is there again"""
    host.dev("sudo", "-n", "banger", "system", "install")
    assert [image["name"] for image in host.dev_json("image", "list")] == [GUEST]
    if "vmms" in state:
        banger("vm", "start", "stays")
        echo("stays", "hello again")


def purge():
    """sudo banger system uninstall --purge --force: the host is as it was before"""
    host.dev("sudo", "-n", "banger", "system", "uninstall", "--purge", "--force")
    left = facts.differences(state["before"], facts.take())
    assert not left, "\n".join(left)


def removed():
    """without its programs the host is one that never had banger"""
    stage = Path(host.GOODS) / "stage"
    for path in stage.rglob("*"):  # what `make uninstall` takes away
        if not path.is_dir():
            os.unlink("/" / path.relative_to(stage))
    for path in ("/usr/local/libexec/banger", "/usr/local/lib/banger"):
        shutil.rmtree(path)
    found = [p for p in facts.take()["files"] if "banger" in p]
    assert not found, found


needs_root.after = all_at_once.after = install.after = (programs,)
for later in (again, other_owner, status, hardened, identities, directories, image, restart,
              own_restart, killed, upgrade):
    later.after = (install,)
run_once.after = machine.after = (image,)
refuses.after = (machine,)
downgrade.after = (upgrade,)
journal.after = uninstall.after = (install,)
back.after = (uninstall, image)
purge.after = (back,)
removed.after = (purge,)

STEPS = (programs, needs_root, all_at_once, install, again, other_owner, status, hardened, identities,
         directories, image, run_once, machine, restart, own_restart, killed, upgrade, downgrade,
         journal, refuses, uninstall, back, purge, removed)
