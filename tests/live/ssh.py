#!/usr/bin/env python3
"""ssh into real guests: by `vm ssh`, and as NAME.vm by ssh, scp and sftp themselves (row B11)."""
import hashlib
import io
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import live  # noqa: E402
from term import Terminal  # noqa: E402

SSHD = "mkdir -p /run/sshd && /usr/sbin/sshd"


def need(program):
    if not shutil.which(program):
        raise live.Skip(f"{program} is not installed")


def tool(house, *words, **kw):
    """A program of the host, in the environment of the house."""
    return subprocess.run(words, env=house.env, capture_output=True, timeout=live.PATIENCE,
                          check=False, **{"stdin": subprocess.DEVNULL, **kw})


def good(done):
    assert done.returncode == 0, f"{done.args}: exit {done.returncode}: {done.stderr!r}"
    return done.stdout


def data_dir(house):
    return house.dir / "d/ssh"


def with_server(house, name, image="ssh"):
    house.create(name, image=image)
    house.ok("vm", "exec", "-u", "root", name, "--", "sh", "-c", SSHD)


def key_pair(house):
    """a key pair is made on first use, once by many at a time, and closed to others"""
    need("ssh-keygen")
    made = []
    many = [threading.Thread(target=lambda: made.append(house.ok("ssh-config")))
            for _ in range(6)]
    for t in many:
        t.start()
    for t in many:
        t.join()
    assert len(made) == 6 and len(set(made)) == 1
    key = data_dir(house) / "id_ed25519"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    public = key.with_suffix(".pub").read_text().split()
    assert good(tool(house, "ssh-keygen", "-y", "-f", str(key))).decode().split()[:2] == public[:2]
    assert public[0] == "ssh-ed25519"
    assert sorted(p.name for p in key.parent.iterdir()) == ["id_ed25519", "id_ed25519.pub"]
    # a public key that is lost is made again from the private one
    key.with_suffix(".pub").unlink()
    house.ok("ssh-config")
    key.chmod(0o644)
    error = house.fails("ssh-config")
    assert error["code"] == "denied" and "chmod 600" in error["hint"], error


def own_key(house):
    """config's ssh_key_path is where the private key is, or is made"""
    need("ssh-keygen")
    key = house.dir / "mine/key"
    (house.dir / "c/config.yaml").write_text(f"ssh_key_path: {key}\n")
    text = house.ok("ssh-config").decode()
    assert key.exists() and f'IdentityFile "{key}"' in text
    before = key.read_bytes()
    house.ok("ssh-config")
    assert key.read_bytes() == before
    assert not (data_dir(house) / "id_ed25519").exists()


def user_config(house):
    """--install adds one line to the user's configuration, and --uninstall takes it away"""
    need("ssh-keygen")
    real, link = house.dir / "dotfiles", house.dir / "h/.ssh/config"
    link.parent.mkdir(parents=True)
    real.write_text("Host a\n  User b\n\nInclude other")  # no newline at its end
    real.chmod(0o644)
    link.symlink_to(real)
    house.env["HOME"] = str(house.dir / "h")
    done = house.json("ssh-config", "--install")
    assert done["changed"] and done["file"] == str(real), done
    included = data_dir(house) / "config"
    assert real.read_text() == f'Include "{included}"\nHost a\n  User b\n\nInclude other'
    assert link.is_symlink() and stat.S_IMODE(real.stat().st_mode) == 0o644
    assert house.ok("ssh-config") == included.read_bytes()
    inode = real.stat().st_ino
    assert not house.json("ssh-config", "--install")["changed"]
    assert real.stat().st_ino == inode
    assert house.json("ssh-config", "--uninstall")["changed"]
    assert real.read_text() == "Host a\n  User b\n\nInclude other" and link.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o644 and not included.exists()
    assert not house.json("ssh-config", "--uninstall")["changed"]
    fresh = house.dir / "h2/config"
    house.ok("ssh-config", "--install", "--file", str(fresh))
    assert stat.S_IMODE(fresh.stat().st_mode) == 0o600
    assert fresh.read_text() == f'Include "{included}"\n'
    assert sorted(p.name for p in fresh.parent.iterdir()) == ["config"]


def vm_ssh(house):
    """vm ssh: codes, bytes, words, a terminal, and the reminder after it"""
    need("ssh")
    house.create("m", image="ssh")
    error = house.fails("vm", "ssh", "m", "--", "true", code=125)
    assert error["code"] == "unavailable" and "vm exec m" in error["hint"], error
    error = house.fails("vm", "ssh", "nobody", code=125)
    assert error["code"] == "not_found", error
    house.sh("m", SSHD)
    assert house.ok("vm", "ssh", "m", "--", "id -un; pwd") == b"root\n/root\n"
    for code in (7, 255):
        assert house.run("vm", "ssh", "m", "--", f"exit {code}").code == code
    data = os.urandom(300000)
    assert house.ok("vm", "ssh", "m", "--", "cat", input=data) == data
    words = ["printf", "%s|", "a b", "it's", '"$HOME"', "", "*"]
    assert house.ok("vm", "ssh", "m", "--", *words) == b'a b|it\'s|"$HOME"||*|'
    assert house.run("vm", "ssh", "m", "--", "sh", "-c", "kill -9 $$").code == 128 + 9
    done = house.run("vm", "ssh", "m", "--", "echo out; echo err >&2")
    assert (done.out, done.err) == (b"out\n", b"err\n"), (done.out, done.err)
    assert house.run("vm", "ssh", "-o", "User=games", "-u", "nobody", "m", "--", "true").code == 125
    t = Terminal(house, "vm", "ssh", "m", rows=31, cols=97)
    t.expect(rb"# ")
    t.type(b"stty size; exit 3\r")
    t.expect(rb"31 97\r\n")
    t.expect(rb"m is still running; `banger vm delete m` ends it")
    assert t.end() == 3
    # what is not ours in authorized_keys stays, and ours is there once
    keys = "/root/.ssh/authorized_keys"
    house.sh("m", f"echo '# mine' >>{keys}")
    house.ok("vm", "ssh", "m", "--", "true")
    text = house.sh("m", f"cat {keys}; stat -c %a:%U {keys} /root/.ssh")
    assert text.count("banger-installed") == 1 and text.endswith("# mine\n600:root\n700:root\n")
    # a new key takes the old one's place at the next start
    for leaf in ("id_ed25519", "id_ed25519.pub"):
        (data_dir(house) / leaf).unlink()
    house.ok("vm", "stop", "m")
    house.ok("vm", "start", "m")
    again = (data_dir(house) / "id_ed25519.pub").read_text().split()[1]
    house.sh("m", SSHD)
    house.ok("vm", "ssh", "m", "--", "true")
    text = house.sh("m", f"cat {keys}")
    assert again in text and text.count("banger-installed") == 1 and "# mine\n" in text
    assert not list(data_dir(house).glob(".waits*"))


vm_ssh.deadline = 240


def interactive_exec(house):
    """a shell of vm exec ends with the reminder, a program without a terminal does not"""
    house.create("m")
    t = Terminal(house, "vm", "exec", "m")
    t.expect(rb"# ")
    t.type(b"exit\r")
    t.expect(rb"m is still running")
    assert t.end() == 0
    t = Terminal(house, "vm", "exec", "-T", "m", "--", "echo", "done")
    assert t.end() == 0
    assert b"still running" not in t.rest()


def tree_with(house, change):
    """The tree of image `ssh` with some files changed: change(text of a file by name)."""
    path = house.dir / "changed.tar"
    shutil.copyfile(live.the_input("ssh"), path)

    def old(name):
        with tarfile.open(path) as tar:
            return tar.extractfile("./" + name).read()

    entries = change(old)
    with tarfile.open(path, "a") as tar:
        for name, mode, owner, data in entries:
            info = tarfile.TarInfo("./" + name)
            info.mode, info.uid, info.gid = mode, owner, owner
            if data is None:
                info.type = tarfile.DIRTYPE
            else:
                info.size = len(data)
            tar.addfile(info, io.BytesIO(data or b""))
    return str(path)


def add_user(old):
    return (("etc/passwd", 0o644, 0, old("etc/passwd") + b"app:x:1000:1000::/"
             b"home/app:/bin/bash\n"),
            ("etc/shadow", 0o640, 0, old("etc/shadow") + b"app:*:19000:0:99999:7:::\n"),
            ("home/" "app", 0o755, 1000, None))


# Starts the server, with keys of its own, when it is told to.
INIT = b"""#!/bin/bash
rm -f /etc/ssh/ssh_host_*
mkdir -p /run/sshd
mkfifo /go
read -r word </go
ssh-keygen -q -A
/usr/sbin/sshd
while :; do read -r word </go; done
"""


def late_server(house):
    """a server that the image's init starts later is waited for, and so are its keys"""
    need("ssh")
    tree = tree_with(house, lambda old: (("usr/sbin/init", 0o755, 0, INIT),))
    house.ok("image", "import", "late", tree)
    house.create("m", image="late")
    assert house.json("vm", "health", "m")["init"] == "other"
    child = house.popen("vm", "ssh", "m", "--", "echo in")
    house.sh("m", "until test -p /go; do :; done")
    assert child.poll() is None
    house.sh("m", "echo go >/go")
    out, err = child.communicate(timeout=live.PATIENCE)
    assert (child.returncode, out) == (0, b"in\n"), (child.returncode, err)


def names(house):
    """ssh, scp and sftp reach NAME.vm, as the image's user, with nothing asked"""
    need("sftp")
    house.ok("image", "import", "--user", "app", "app", tree_with(house, add_user))
    with_server(house, "m", image="app")
    config = house.dir / "ssh_config"
    house.ok("ssh-config", "--install", "--file", str(config))
    ssh = ("ssh", "-F", str(config), "-o", "BatchMode=yes")
    said = good(tool(house, *ssh, "m.vm", "id -un; pwd"))
    assert said == b"app\n/" b"home/app\n", said
    assert good(tool(house, *ssh, "root@M.vm", "id -un")) == b"root\n"
    assert tool(house, *ssh, "m.vm", "exit 9").returncode == 9
    name = house.vm("m")["id"]
    assert good(tool(house, *ssh, f"{name}.vm", "id -un")) == b"app\n"
    data = os.urandom(2000000)
    (house.dir / "in").write_bytes(data)
    scp = ("scp", "-F", str(config), "-q", "-o", "BatchMode=yes")
    good(tool(house, *scp, str(house.dir / "in"), "m.vm:there"))
    assert house.sh("m", "sha256sum <~/there").split()[0] == hashlib.sha256(data).hexdigest()
    good(tool(house, *scp, "m.vm:there", str(house.dir / "out")))
    assert (house.dir / "out").read_bytes() == data
    done = tool(house, "sftp", "-q", "-F", str(config), "-b", "-", "m.vm", stdin=None,
                input=b"mkdir d\nrename there d/here\nls d\n")
    assert b"d/here" in good(done), done
    done = tool(house, *ssh, "nobody.vm", "true")
    assert done.returncode == 255 and b"no machine 'nobody'" in done.stderr, done.stderr
    assert b"app" in (data_dir(house) / "users").read_bytes()


names.deadline = 240


def host_keys(house):
    """a forged host key is refused, and a machine made again under the name is let in"""
    need("ssh")
    with_server(house, "m")
    config = house.dir / "ssh_config"
    house.ok("ssh-config", "--install", "--file", str(config))
    ssh = ("ssh", "-F", str(config), "-o", "BatchMode=yes", "m.vm")
    good(tool(house, *ssh, "true"))
    known = data_dir(house) / "known_hosts"
    before = known.read_text()
    assert before and all(line.startswith("m.vm ssh-") or line.startswith("m.vm ecdsa-")
                          for line in before.splitlines()), before
    # somebody who answers in the guest's place with a key of his own
    house.sh("m", "ssh-keygen -q -t ed25519 -N '' -f /root/forged && kill $(cat /run/sshd.pid) && "
                  "while kill -0 $(cat /run/sshd.pid) 2>/dev/null; do :; done; "
                  "/usr/sbin/sshd -h /root/forged")
    done = tool(house, *ssh, "true")
    assert done.returncode == 255, done
    assert b"IDENTIFICATION HAS CHANGED" in done.stderr or b"verification failed" in done.stderr, \
        done.stderr
    assert house.run("vm", "ssh", "m", "--", "true").code == 125
    assert known.read_text() == before
    # a file that says otherwise is put right before ssh reads it
    other = (data_dir(house) / "id_ed25519.pub").read_text().split()[1]
    known.write_text(f"m.vm ssh-ed25519 {other}\nx.vm ssh-ed25519 {other}\n")
    house.ok("vm", "delete", "m")
    house.create("m", image="ssh")
    house.sh("m", f"rm /etc/ssh/ssh_host_*; ssh-keygen -A >/dev/null; {SSHD}")
    good(tool(house, *ssh, "true"))
    house.ok("vm", "ssh", "m", "--", "true")
    keys = house.sh("m", "cat /etc/ssh/ssh_host_*.pub").splitlines()
    now = known.read_text().splitlines()
    assert sorted(now) == sorted([f"x.vm ssh-ed25519 {other}"] + [
        "m.vm " + " ".join(key.split()[:2]) for key in keys]), now
    assert not set(now) & set(before.splitlines())


host_keys.deadline = 240


def request(house, method, params):
    """One question to the daemon, by hand."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(live.PATIENCE)
    sock.connect(str(house.runtime / "bangerd.sock"))
    sock.sendall(live.msgpack.packb([0, 1, method, [params]]))
    unpacker = live.msgpack.Unpacker(raw=False)
    while True:
        for frame in unpacker:
            if frame[0] == 1:
                sock.close()
                return frame[2], frame[3]
        unpacker.feed(sock.recv(65536))


SERVER = r"""
use Socket;
socket(my $s, PF_INET, SOCK_STREAM, 0) or die; setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1);
bind($s, sockaddr_in(7007, INADDR_LOOPBACK)) or die; listen($s, 4) or die;
for (1..3) {
    accept(my $c, $s) or die; my $n = 0; my $sum = 0;
    while (my $k = sysread($c, my $b, 65536)) { $n += $k; $sum = ($sum + unpack("%32C*", $b)) % 65521; }
    syswrite($c, "$n $sum\n"); close($c);
}
"""


def proxy(house):
    """vm proxy: half-close, large input, a port that nobody serves, one that opens later"""
    house.create("m", image="ssh")
    error = house.fails("vm", "proxy", "m", "7007")
    assert error["code"] == "unavailable" and error["field"] == "port", error
    assert house.fails("vm", "proxy", "m", "70000", code=2)["field"] == "port"
    waiting = house.popen("vm", "proxy", "--wait", "30s", "m", "7007", stdin=subprocess.PIPE)
    house.sh("m", "cat >/server.pl && (setsid perl /server.pl >/dev/null 2>&1 &)",
             input=SERVER.encode())
    out, err = waiting.communicate(b"abc", live.PATIENCE)
    assert (waiting.returncode, out, err) == (0, b"3 294\n", b""), (out, err)
    data = os.urandom(3000000)
    done = house.run("vm", "proxy", "m", "7007", input=data)
    assert (done.code, done.out) == (0, f"{len(data)} {sum(data) % 65521}\n".encode()), done.err
    # a client that goes takes its connection along
    child = house.popen("vm", "proxy", "m", "7007", stdin=subprocess.PIPE)
    house.sh("m", "until grep -q ':1B5F .* 01 ' /proc/net/tcp; do :; done")
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdin.close()
    house.sh("m", "while grep -q ':1B5F .* 01 ' /proc/net/tcp; do :; done")
    error, result = request(house, "vm.ssh", {"vm": "m"})
    assert error is None and result["user"] == "root" and result["server"] is True, (error, result)
    assert result["name"] == "m" and any(k.startswith("ssh-ed25519 ") for k in result["host_keys"])
    error, _ = request(house, "vm.ssh", {"vm": "m", "ssh_key": "ssh-rsa AAAA\nroot"})
    assert error["code"] == "invalid_value" and error["field"] == "ssh_key", error
    # what lies in the guest's /etc/ssh is the guest's: none of it is believed
    house.sh("m", "cd /etc/ssh && rm ssh_host_*.pub && mkfifo ssh_host_a_key.pub && "
                  "ln -s /dev/zero ssh_host_b_key.pub && printf 'ssh-rsa AAAA\\n' >"
                  "ssh_host_c_key.pub && mkdir ssh_host_d_key.pub && "
                  "head -c 100000 /dev/zero | tr '\\0' a >ssh_host_e_key.pub && "
                  "ln -s nowhere ssh_host_f_key.pub")
    error, result = request(house, "vm.ssh", {"vm": "m"})
    assert error is None and result["host_keys"] == [], (error, result)


if __name__ == "__main__":
    live.main([key_pair, own_key, user_config, proxy, vm_ssh, interactive_exec, late_server, names,
               host_keys],
              images=("debian", "ssh"))
