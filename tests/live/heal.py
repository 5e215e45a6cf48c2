#!/usr/bin/env python3
"""Work-seeds and work disks of older builds heal when they are used (row C7)."""
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import live  # noqa: E402

TOOLS = {"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"}


def tool(*words):
    return subprocess.run(words, check=True, capture_output=True, timeout=live.PATIENCE,
                          env=TOOLS).stdout.decode()


def in_disk(disk, path):
    """A file's text out of an ext4 that is not mounted."""
    return tool("debugfs", "-R", f"cat {path}", str(disk))


def seed_of(house, image="debian"):
    found = list((house.state / "image" / house.json("image", "show", image)["id"]).glob("work*"))
    assert len(found) == 1, found
    return found[0]


def public_key(house):
    return " ".join((house.dir / "d/ssh/id_ed25519.pub").read_text().split()[:2])


def nested(house, path, size, home="root"):
    """A work disk that was made as if it were a root: the home lies in it under its own path."""
    tree = house.dir / "nested"
    shutil.rmtree(tree, ignore_errors=True)
    (tree / home / ".ssh").mkdir(parents=True)
    (tree / home / ".profile").write_text("mine\n")
    (tree / home / "deep/er").mkdir(parents=True)
    (tree / home / "deep/er/file").write_text("kept\n")
    os.link(tree / home / ".profile", tree / home / "twin")
    (tree / home / ".ssh/authorized_keys").write_text("# the user's own\n")
    (tree / ".ssh").mkdir()
    (tree / ".ssh/authorized_keys").write_text("ssh-old AAAA banger-installed\n")
    tool("mke2fs", "-q", "-F", "-t", "ext4", "-d", str(tree), str(path), str(size))


def key_in_seed(house):
    """the first machine puts the user's key into its image's work-seed, once, and a new key later"""
    if not shutil.which("ssh-keygen"):
        raise live.Skip("ssh-keygen is not installed")
    before = seed_of(house)
    house.create("a", "--no-start")
    one = seed_of(house) if not before.exists() else None
    assert one and one != before, "the seed that nobody stood on is gone"
    assert in_disk(one, "/.ssh/authorized_keys") == public_key(house) + " banger-installed\n"
    assert house.json("image", "show", "debian")["ssh_key"] == public_key(house)
    tool("e2fsck", "-fn", str(one))
    listed = tool("debugfs", "-R", "ls -l /.ssh", str(one))
    assert "100600" in listed and "40700" in listed, listed
    house.create("b", "--no-start")
    assert seed_of(house) == one
    for leaf in ("id_ed25519", "id_ed25519.pub"):
        (house.dir / "d/ssh" / leaf).unlink()
    house.create("c")
    directory = one.parent
    now = [p for p in directory.glob("work*") if p != one]
    assert one.exists() and len(now) == 1, "machines stand on the older seed"
    assert in_disk(now[0], "/.ssh/authorized_keys") == public_key(house) + " banger-installed\n"
    house.ok("vm", "start", "a")
    assert house.sh("a", "cat ~/.ssh/authorized_keys").count("banger-installed") == 1
    assert public_key(house) in house.sh("c", "cat ~/.ssh/authorized_keys")


def older_image(house):
    """a nested seed of an older build is flattened by its first machine, all in it kept"""
    seed = seed_of(house)
    house.ok("daemon", "stop")
    nested(house, seed, seed.stat().st_size // 1024)
    os.chmod(seed, stat.S_IRUSR | stat.S_IWUSR)
    house.create("m")
    now = seed_of(house)
    tool("e2fsck", "-fn", str(now))
    assert in_disk(now, "/.profile") == "mine\n"
    text = in_disk(now, "/.ssh/authorized_keys")
    assert text.startswith("# the user's own\n") and public_key(house) in text, text
    assert "ssh-old" not in text
    assert house.sh("m", "cd; cat .profile deep/er/file; stat -c %h twin; ls -A | sort | tr '\\n' ' '"
                    ) == "mine\nkept\n2\n.profile .ssh deep twin "
    # a seed that cannot be read does not keep a machine from being made
    house.ok("vm", "delete", "m")
    (house.dir / "d/ssh/id_ed25519").unlink()
    (house.dir / "d/ssh/id_ed25519.pub").unlink()
    with open(now, "r+b") as f:
        f.write(bytes(4096))
    house.create("m")
    assert house.sh("m", "echo up") == "up\n"
    assert any("its work-seed stays as it was" in line for line in house.log())


def older_disk(house):
    """a machine's nested work disk is flattened when it starts, and never what only looks like it"""
    house.create("m", "--layer", "copy")
    house.ok("vm", "stop", "m")
    disk = house.state / "vm" / house.vm("m")["id"] / "work.raw"
    size = disk.stat().st_size
    owner = disk.stat()
    nested(house, disk, size // 1024)
    os.chown(disk, owner.st_uid, owner.st_gid)
    house.ok("vm", "start", "m")
    assert house.sh("m", "cd; cat .profile deep/er/file; stat -c %h twin; test -e root || echo up"
                    ) == "mine\nkept\n2\nup\n"
    text = house.sh("m", "cat ~/.ssh/authorized_keys")
    assert "# the user's own\n" in text and public_key(house) in text and "ssh-old" not in text, text
    # a directory of that name in a home that is one stays where it is
    house.sh("m", "cd; mkdir root; echo x >root/.profile")
    house.ok("vm", "stop", "m")
    house.ok("vm", "start", "m")
    assert house.sh("m", "cat ~/root/.profile ~/.profile") == "x\nmine\n"
    house.ok("vm", "stop", "m")
    tool("e2fsck", "-fn", str(disk))


if __name__ == "__main__":
    live.main([key_in_seed, older_image, older_disk])
