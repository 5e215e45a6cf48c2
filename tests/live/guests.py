#!/usr/bin/env python3
"""What boots unedited: a tree with busybox alone, a container's layers, a Debian with systemd."""
import hashlib
import io
import json
import os
import signal
import sys
import tarfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import live  # noqa: E402


def without_init(house):
    """a tree with nothing but busybox boots, takes exec, cp, health and stops"""
    tree = house.dir / "tree"
    live.busybox_tree(tree)
    assert house.ok("image", "import", "bare", str(tree)) == b"bare\n"
    house.create("m", image="bare")
    assert live.takes_all(house, "m")["init"] == "none"
    house.ok("vm", "stop", "--timeout", "20s", "m")
    house.ok("vm", "start", "m")
    assert house.sh("m", "wc -c </there") == "1000000\n"


def layer(*entries):
    """A layer as bytes: (name, data) is a file, (name, None) a directory, ("l", "to", 0) a link."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for entry in entries:
            info = tarfile.TarInfo(entry[0])
            info.mode = 0o755
            if len(entry) == 3:
                info.type, info.linkname = tarfile.SYMTYPE, entry[1]
            elif entry[1] is None:
                info.type = tarfile.DIRTYPE
            else:
                info.size = len(entry[1])
            if entry[0].startswith("home/app"):
                info.uid = info.gid = 1000
            tar.addfile(info, io.BytesIO(entry[1] or b"") if len(entry) == 2 else None)
    return out.getvalue()


def docker_archive(path, layers, config):
    names = [f"{hashlib.sha256(data).hexdigest()}/layer.tar" for data in layers]
    document = json.dumps({
        "architecture": "amd64", "os": "linux", "config": config,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{n[:64]}" for n in names]},
    }).encode()
    config_name = f"{hashlib.sha256(document).hexdigest()}.json"
    manifest = json.dumps([{"Config": config_name, "RepoTags": ["app:1"],
                            "Layers": names}]).encode()
    with tarfile.open(path, "w") as tar:
        for name, data in (*zip(names, layers), (config_name, document),
                           ("manifest.json", manifest)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def container_layers(house):
    """a docker archive: whiteouts hold, its environment, directory and user are those of exec"""
    box = Path(live.busybox()).read_bytes()
    first = layer(("bin", None), ("bin/busybox", box),
                  *((f"bin/{a}", "busybox", 0) for a in live.APPLETS),
                  ("etc", None), ("etc/passwd", b"root:x:0:0::/root:/bin/sh\n"
                                  b"app:x:1000:1000::/" b"home/app:/bin/sh\n"),
                  ("etc/group", b"root:x:0:\napp:x:1000:\n"),
                  ("home", None), ("home/app", None), ("home/app/seed", b"seed"),
                  ("srv", None), ("srv/kept", b"1"), ("srv/gone", b"2"), ("srv/old", None),
                  ("srv/old/file", b"3"), ("opaque", None), ("opaque/below", b"4"))
    second = layer(("srv/.wh.gone", b""), ("srv/.wh.old", b""), ("srv/new", b"5"),
                   ("opaque", None), ("opaque/.wh..wh..opq", b""), ("opaque/above", b"6"))
    archive = house.dir / "app.tar"
    docker_archive(archive, [first, second],
                   {"Env": ["PATH=/bin", "GREETING=good day"], "WorkingDir": "/srv",
                    "User": "app"})
    house.ok("image", "import", "app", str(archive))
    house.create("m", image="app")
    assert house.sh("m", "ls; ls /opaque") == "kept\nnew\nabove\n"
    assert house.sh("m", "pwd; id -u; echo $GREETING; echo $HOME; cat $HOME/seed") == \
        "/srv\n1000\ngood day\n/" "home/app\nseed"
    assert house.ok("vm", "exec", "-u", "root", "m", "--", "id", "-u") == b"0\n"
    assert house.ok("vm", "exec", "-w", "/bin", "m", "--", "pwd") == b"/bin\n"
    house.sh("m", "echo mine >$HOME/file")
    live.takes_all(house, "m")




def modules(house):
    """the kernel's modules are there read-only where an image lacks them"""
    house.create("m")
    release = house.sh("m", "uname -r").strip()
    assert house.sh("m", f"test -f /lib/modules/{release}/modules.dep && echo yes") == "yes\n"
    done = house.run("vm", "exec", "m", "--", "touch", f"/lib/modules/{release}/x")
    assert done.code != 0 and b"Read-only" in done.err, done.err


LOUD = """#!/usr/bin/python3
import os, sys
args = sys.argv[1:]
args[args.index("-append") + 1] += " apic=verbose loglevel=8"
os.execvp("qemu-system-x86_64", ["qemu-system-x86_64"] + args)
"""


def rest_in_measure(house, maker):
    """Stops the VMM in the tenth of a second in which its guest measures its timer."""
    found = None
    while maker.poll() is None and not found:
        for console in house.state.glob("vm/*/console.log"):
            found = found or b"calibrating APIC timer" in console.read_bytes()
        time.sleep(0.0005)
    for pid, name in live.processes_of(house.dir).items():
        if found and name.startswith("qemu"):
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.15)  # how long the host rests it
            os.kill(pid, signal.SIGCONT)


def lost_timer(house):
    """an emulated guest that could not measure its timer is started again"""
    program = house.dir / "loud-qemu"
    program.write_text(LOUD)
    program.chmod(0o755)
    (house.dir / "c/config.yaml").write_text(f"qemu_bin: {program}\naccel: tcg\n")
    for _ in range(20):  # a rest may come too early or too late
        maker = house.popen("vm", "create", "--name", "m", "--image", "debian")
        rest_in_measure(house, maker)
        _, err = maker.communicate(timeout=live.PATIENCE)
        assert maker.returncode == 0, err
        house.ok("vm", "delete", "m")
        if any("could not measure its timer" in line for line in house.log()):
            return
    raise AssertionError("no guest lost its timer")


lost_timer.deadline = 240


SPINNING = """#!/usr/bin/python3
import os, sys
args = sys.argv[1:]
try:
    os.mkdir("{once}")
    args += ["-bios", "{firmware}"]
except FileExistsError:
    pass
os.execvp("qemu-system-x86_64", ["qemu-system-x86_64"] + args)
"""


def spins(house):
    """an emulated guest that computes for ever without a word is started again"""
    room, firmware = house.dir / "room", house.dir / "firmware"
    room.mkdir()
    room.chmod(0o777)
    firmware.write_bytes(bytes(0x1fff0) + b"\xeb\xfe" + bytes(14))  # where a CPU begins: jmp $
    firmware.chmod(0o644)
    program = house.dir / "spinning-qemu"
    program.write_text(SPINNING.format(once=room / "once", firmware=firmware))
    program.chmod(0o755)
    (house.dir / "c/config.yaml").write_text(f"qemu_bin: {program}\naccel: tcg\n")
    house.ok("vm", "run", "--rm", "--image", "debian", "--", "true", timeout=200)
    assert any("guest computes without end" in line for line in house.log()), house.log()


spins.deadline = 300


if __name__ == "__main__":
    live.main([without_init, container_layers, modules, lost_timer, spins])
