#!/usr/bin/env python3
"""Smoke: banger on a host of its own, installed and used as a user would. Reports in TAP.

    tests/smoke.py [--jobs N] [SHARD...]

Each shard (a module of tests/smoke/inside/ with STEPS) gets a Debian host inside a VM: systemd,
resolved, device-mapper, nftables and, emulated, KVM. N of them run at once (SMOKE_JOBS, or one).
Without names all of them run, or those of SMOKE_SHARDS. FIRECRACKER_BIN and JAILER_BIN name Firecracker's programs; steps
that want them are skipped without. What a run leaves behind lies in build/smoke/SHARD/.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "tests/smoke/lib"))
import vm  # noqa: E402

SMOKE = TOP / "build/smoke"
INSIDE = TOP / "tests/smoke/inside"
DEADLINE = 2400  # seconds that one host may live
NEXT = {"VERSION": "9999.0.0", "COMMIT": "feedfacecafe"}  # the build that the others upgrade to


def shards():
    return sorted(p.stem for p in INSIDE.glob("*.py") if "\nSTEPS = " in p.read_text())


# ---- what the hosts get ----

def install(prefix, objects=None, variables=None):
    """`make install` into a directory of its own, as a packager does."""
    words = [f"{k}={v}" for k, v in (variables or {}).items()]
    if objects:
        words.append(f"O={objects}")
    subprocess.run(["make", "--no-print-directory", "-s", "-j2", *words, f"DESTDIR={prefix}",
                    "PREFIX=/usr/local", "install"], cwd=TOP, check=True, stdout=sys.stderr)


def stage():
    """This build and the next, installed; the next is this one linked with another version."""
    for leaf in ("stage", "next"):
        shutil.rmtree(SMOKE / leaf, ignore_errors=True)
    install(SMOKE / "stage")
    again = SMOKE / "objects"
    shutil.rmtree(again, ignore_errors=True)
    again.mkdir()
    subprocess.run(["cp", "-a", str(TOP / "build/obj"), str(again / "obj")], check=True)
    install(SMOKE / "next", again.relative_to(TOP), NEXT)
    shutil.rmtree(again)


def owned_by_root(info):
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    return info


def made_by(*argv):
    """The path that one of our tools prints."""
    done = subprocess.run(argv, cwd=TOP, check=True, text=True, stdout=subprocess.PIPE)
    return TOP / done.stdout.strip()


def pack(shard):
    """The second disk of a host: a plain archive."""
    contents = {"stage": SMOKE / "stage", "next": SMOKE / "next", "inside": INSIDE,
                "kernel.deb": made_by("tools/debian-kernel"), "guest.tar": guest()}
    if shard == "machines":
        contents["ssh.tar"] = made_by("tools/debian-tree", "--name", "debian-ssh", "--with",
                                      "bash,openssh-server,procps")
    for word, leaf in (("FIRECRACKER_BIN", "firecracker"), ("JAILER_BIN", "jailer")):
        if os.environ.get(word):
            contents[leaf] = Path(os.environ[word]).resolve()
    path = SMOKE / f"goods-{shard}.tar"
    with tarfile.open(path, "w") as tar:
        for leaf, source in contents.items():
            tar.add(source, leaf, filter=owned_by_root)
    os.truncate(path, -(-path.stat().st_size // 512) * 512)
    return path


def guest():
    """A root filesystem of one program; small, for every byte of it is copied under emulation."""
    path, busybox = SMOKE / "guest.tar", Path(shutil.which("busybox"))
    with tarfile.open(path, "w") as tar:
        tar.add(busybox.resolve(), "bin/busybox", filter=owned_by_root)
        for applet in subprocess.run([str(busybox), "--list"], check=True, text=True,
                                     stdout=subprocess.PIPE).stdout.split():
            info = tarfile.TarInfo(f"bin/{applet}")
            info.type, info.linkname = tarfile.SYMTYPE, "busybox"
            if applet != "busybox":
                tar.addfile(info)
    return path


# ---- the report ----

class Report:
    def __init__(self):
        self.lock, self.number, self.failed = threading.Lock(), 0, 0

    def line(self, good, text, told=""):
        with self.lock:
            self.number += 1
            self.failed += not good
            print(f"{'ok' if good else 'not ok'} {self.number} - {text}")
            for row in told.splitlines():
                print(f"# {row}")
            sys.stdout.flush()

    def end(self):
        print(f"1..{self.number}")
        return 1 if self.failed or not self.number else 0


def name_of(names, at):
    return re.sub("[#\n]", " ", names[at]) if at < len(names) else "an unknown step"


def run_shard(report, shard, host, goods):
    """Turns what one host tells into lines; steps of which it told nothing are failures."""
    names, at, ended = [], 0, False
    for event in vm.run(host, goods, SMOKE / shard, shard, DEADLINE):
        state = event["state"]
        if state == "up":
            report.line(True, f"{shard}: the host is up ({event['ms'] / 1000:.1f} s)")
        elif state == "plan":
            names = event["names"]
        elif state == "end":
            ended = True
        elif state == "gone":
            tell_gone(report, shard, event, names[at:], ended)
        else:
            tell_step(report, f"{shard}: {name_of(names, at)}", event)
            at += 1


def tell_step(report, name, event):
    if event["state"] == "skip":
        report.line(True, f"{name} # SKIP {event['text']}")
        return
    good = event["state"] == "ok"
    told = "\n".join(event["notes"]) if good else event["text"]
    report.line(good, f"{name} ({event['ms'] / 1000:.1f} s)", told)


def tell_gone(report, shard, event, left, ended):
    if ended and not left:
        return
    why = f"ended after {DEADLINE} s" if event["late"] else f"QEMU ended with {event['code']}"
    report.line(False, f"{shard}: the host went before its last step, {why}", event["log"])
    for name in left:
        report.line(False, f"{shard}: {name}: did not run")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--jobs", type=int, default=int(os.environ.get("SMOKE_JOBS", "1")),
                        help="hosts at once")
    parser.add_argument("shards", nargs="*", help="; ".join(shards()))
    args = parser.parse_args()
    wanted = args.shards or os.environ.get("SMOKE_SHARDS", "").split() or shards()
    unknown = set(wanted) - set(shards())
    if unknown or args.jobs < 1:
        parser.error(f"no such shard: {' '.join(sorted(unknown))}" if unknown else "--jobs: 1 or more")
    SMOKE.mkdir(parents=True, exist_ok=True)
    stage()
    host, goods = made_by("tools/smoke-host"), {s: pack(s) for s in wanted}
    report = Report()
    with ThreadPoolExecutor(args.jobs) as pool:
        for done in [pool.submit(run_shard, report, s, host, goods[s]) for s in wanted]:
            done.result()
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
