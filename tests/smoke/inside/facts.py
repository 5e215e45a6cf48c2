"""What a host consists of, as far as banger could change it: taken before, compared after."""
import json
import os
import re
import stat
from pathlib import Path

import host

TREES = ("/etc", "/var/lib", "/usr/local", "/run", "/home", "/root", "/tmp", "/dev", "/opt", "/srv")
# What systemd, D-Bus, udev and the session of a user change by themselves.
NOISE = re.compile(
    r"^/(run/(systemd|udev|user|log|sudo|lock|dbus|utmp|motd|credentials|initctl|mount|blkid)"
    r"|var/lib/(systemd|sudo|dbus|private)|dev/(pts|char|block|disk|shm|hugepages|mqueue|input|bus)"
    r"|dev/(vcs|tty|loop|bsg|cpu|snd|dri)|tmp/systemd-private|etc/machine-id$|etc/\.updated"
    r"|run/agetty|run/nologin|home/dev/\.(cache|config|local|ssh|banger)"
    r"|root/\.(cache|config|local)|etc/\.pwd\.lock)")


def files():
    """path to kind, mode and owner."""
    found = {}
    for tree in TREES:
        for top, dirs, names in os.walk(tree):
            dirs[:] = [d for d in dirs if not NOISE.match(f"{top}/{d}")
                       and not os.path.ismount(f"{top}/{d}")]
            for name in names + dirs:
                path = f"{top}/{name}"
                if not NOISE.match(path):
                    st = os.lstat(path)
                    found[path] = (f"{stat.filemode(st.st_mode)} {st.st_uid}:{st.st_gid}"
                                   + (f" {st.st_size}" if path.startswith("/etc") else ""))
    return found


def links():
    found = {}
    for link in json.loads(host.ok("ip", "-j", "-d", "address", "show")):
        addresses = [f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"]]
        found[link["ifname"]] = f"{link.get('master', '-')} {addresses}"
    return found


def lines(*argv):
    return {line.strip(): "" for line in host.ok(*argv).splitlines() if line.strip()}


def mounts():
    text = Path("/proc/self/mountinfo").read_text()
    return {f"{row.split()[4]} {row.split(' - ')[1].split()[0]}": "" for row in text.splitlines()
            if not re.search(r" /run/(user|credentials)/", row)}


def units():
    out = host.ok("systemctl", "list-unit-files", "--no-legend", "--no-pager", "--plain")
    loaded = host.ok("systemctl", "list-units", "--all", "--no-legend", "--no-pager", "--plain",
                     "banger*")
    return {**{row.split()[0]: row.split()[1] for row in out.splitlines()},
            **{f"loaded {row.split()[0]}": "" for row in loaded.splitlines()}}


def own_processes():
    return {name: "" for name in host.processes().values()
            if re.match(r"banger|qemu|firecracker|jailer", name)}


def take():
    """Every kind of fact; each maps a thing to how it is."""
    return {
        "files": files(),
        "links": links(),
        "routes": lines("ip", "-4", "route", "show", "table", "all"),
        "rules": lines("nft", "list", "ruleset"),
        "loops": lines("losetup", "-n", "-l", "-O", "NAME,BACK-FILE"),
        "dm": {k: v for k, v in lines("dmsetup", "ls").items() if k != "No devices found"},
        "mounts": mounts(),
        "namespaces": lines("ip", "netns", "list"),
        "users": lines("getent", "passwd"),
        "groups": lines("getent", "group"),
        "units": units(),
        "processes": own_processes(),
        "forwarding": {Path("/proc/sys/net/ipv4/ip_forward").read_text().strip(): ""},
        "resolver": lines("resolvectl", "domain"),
    }


def differences(before, after, ignore=()):
    """What is not as before, a line each; ignore: beginnings of paths."""
    found = []
    for kind in before:
        for key in sorted(set(before[kind]) | set(after[kind])):
            old, new = before[kind].get(key), after[kind].get(key)
            if old != new and not any(key.startswith(i) for i in ignore):
                found.append(f"{kind}: {key}: was {old}, is {new}")
    return found
