#!/usr/bin/env python3
"""The Dockerfiles of images/ (row C9): what can be told of them where their sources can't be reached.

Syntax as a builder reads it, every shell line as its shell reads it, files that are copied, what
banger needs of such an image, and the rules that keep one small. The linter is tried on broken ones.
"""
import re
import shlex
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
IMAGES = TOP / "images"
KNOWN = set("FROM ARG ENV SHELL RUN COPY USER WORKDIR EXPOSE LABEL CMD ENTRYPOINT STOPSIGNAL "
            "VOLUME HEALTHCHECK".split())
WANTED = {"dev": ("openssh-server", "git", "docker.io", "tmux", "systemd-sysv"),
          "void": ("openssh", "git", "docker", "tmux", "runit-void")}
SERVICE = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}:([1-9][0-9]{0,4})")


def instructions(text):
    """(line, word, rest) of each instruction: comments gone, continued lines joined."""
    found, held, began = [], "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or (not line.strip() and held):
            continue
        if not line.strip():
            continue
        began = began or number
        held += line
        if held.endswith("\\"):
            held = held[:-1] + "\n"
            continue
        word, _, rest = held.strip().partition(" ")
        found.append((began, word, rest.strip()))
        held, began = "", 0
    if held:
        found.append((began, "?", held))
    return found


def shell_faults(shell, text):
    done = subprocess.run([shell, "-n"], input=text, text=True, capture_output=True, timeout=30,
                          check=False)
    return [f"{shell}: {done.stderr.strip()}"] if done.returncode else []


def run_faults(at, rest, shell):
    faults = [f"line {at}: {f}" for f in shell_faults(shell, rest.replace("\n", " "))]
    if "apt-get install" in rest:
        if "apt-get update" not in rest or "rm -rf /var/lib/apt/lists" not in rest:
            faults.append(f"line {at}: apt's lists stay, or are not of this layer")
        if "--no-install-recommends" not in rest or " -y " not in rest:
            faults.append(f"line {at}: apt-get install asks, or takes too much")
    if "xbps-install" in rest and re.search(r"xbps-install (?!.*--yes)", rest.replace("\n", " ")):
        faults.append(f"line {at}: xbps-install asks")
    if re.search(r"(curl|wget)[^|&;]*\|\s*(ba)?sh", rest):
        faults.append(f"line {at}: a script from the network is run unseen")
    return faults


def copy_faults(at, rest, where):
    words = [w for w in shlex.split(rest) if not w.startswith("--")]
    if len(words) < 2:
        return [f"line {at}: COPY needs a source and a place"]
    return [f"line {at}: {w} is not there" for w in words[:-1] if not (where / w).exists()]


def order_faults(found):
    words = [w for _, w, _ in found]
    faults = [f"line {at}: no instruction {w}" for at, w, _ in found if w not in KNOWN]
    before = words[:words.index("FROM")] if "FROM" in words else None
    if before is None or set(before) - {"ARG"}:
        faults.append("FROM is not the first")
    for word in ("USER", "WORKDIR", "LABEL", "CMD"):
        if word not in words:
            faults.append(f"no {word}")
    return faults


def what_it_is(found):
    """The image's last word of each kind, as banger reads it."""
    last = {w: r for _, w, r in found}
    labels = dict(p.split("=", 1) for p in shlex.split(last.get("LABEL", "")) if "=" in p)
    return last, labels.get("banger.services", "")


def image_faults(name, found, where):
    last, services = what_it_is(found)
    script = "\n".join(r for _, w, r in found if w == "RUN")
    files = "\n".join(p.read_text() for p in where.rglob("*") if p.is_file())
    faults = [f"{p} is not installed" for p in (*WANTED[name], "opencode-ai")
              if not re.search(rf"(?<![\w.-]){re.escape(p)}(?![\w-])", script)]
    named = [s.strip() for s in services.split(",")]
    if not named[0]:
        faults.append("label banger.services names nothing")
    for service in named:
        match = SERVICE.fullmatch(service)
        if not match or int(match[1]) > 65535:
            faults.append(f"'{service}' is no NAME:PORT")
        elif match[1] not in last.get("EXPOSE", "").split():
            faults.append(f"port {match[1]} is not exposed")
        elif match[1] != "22" and f"--port {match[1]}" not in files:
            faults.append(f"nothing listens on port {match[1]}")
    if f"useradd --create-home --shell /bin/bash --groups" not in script or \
            not script.split("useradd", 1)[-1].split("\n")[0].rstrip().endswith(last.get("USER", "?")):
        faults.append("USER is nobody that was made")
    if "rm -f /etc/ssh/ssh_host_" not in script and "/etc/ssh/ssh_host_*" not in script:
        faults.append("all its machines would share their host keys")
    return faults


def file_faults(where):
    faults = []
    for path in sorted(p for p in where.rglob("*") if p.is_file()):
        text = path.read_text()
        if path.name == "run":
            faults += [f"{path.name}: {f}" for f in shell_faults("sh", text)]
            if not text.startswith("#!/bin/sh\n") or "\nexec " not in text:
                faults.append(f"{path}: runit would not supervise it")
        if path.suffix == ".service":
            sections = set(re.findall(r"^\[(\w+)\]$", text, re.M))
            if not sections <= {"Unit", "Service", "Install"} or "Service" not in sections or \
                    not re.search(r"^ExecStart=/", text, re.M):
                faults.append(f"{path}: no unit that systemd would start")
            faults += [f"{path}: '{line}' is no assignment" for line in text.splitlines()
                       if line and line[0] not in "#[" and not re.match(r"^[A-Za-z]+=", line)]
    return faults


def faults_of(name, text, where):
    found = instructions(text)
    shell = "bash" if any(w == "SHELL" and "bash" in r for _, w, r in found) else "sh"
    faults = order_faults(found) + image_faults(name, found, where) + file_faults(where)
    for at, word, rest in found:
        if word == "RUN":
            faults += run_faults(at, rest, shell)
        if word == "COPY":
            faults += copy_faults(at, rest, where)
    return faults


BREAKS = (  # what is changed, into what, and what is to be said of it
    ("FROM ", "FORM ", "no instruction FORM"), ("RUN ", "RUN ( ", "sh: "),
    ("COPY rootfs/", "COPY roots/", "roots/ is not there"), (" git ", " got ", "git is not installed"),
    ("opencode:4096", "opencode:4o96", "no NAME:PORT"), ("opencode:4096", "opencode:4097", "not exposed"),
    ('LABEL banger.services="sshd:22,opencode:4096"',
     "EXPOSE 22 4096 5000\nLABEL banger.services=x:5000", "nothing listens"),
    ("USER dev", "USER dave", "nobody that was made"), ("\nLABEL banger.services=", "\nLABEL x=", "names nothing"),
    ("ssh_host_", "ssh_hast_", "share their host keys"), ("WORKDIR", "# WORKDIR", "no WORKDIR"),
)


def main():
    tests = []
    readme = (IMAGES / "README.md").read_text()
    for name in sorted(WANTED):
        where = IMAGES / name
        text = (where / "Dockerfile").read_text()
        tests.append((f"{name}: the Dockerfile holds", faults_of(name, text, where)))
        tests.append((f"{name}: is told of", [] if f"({name}/Dockerfile)" in readme else ["README"]))
        for old, new, said in BREAKS:
            assert old in text, (name, old)
            heard = faults_of(name, text.replace(old, new), where)
            tests.append((f"{name}: {said.strip(' :')} is found",
                          [] if any(said in f for f in heard) else [f"{old}->{new}: {heard}"]))
    print(f"1..{len(tests)}")
    for number, (what, faults) in enumerate(tests, 1):
        print(f"{'not ok' if faults else 'ok'} {number} - {what}")
        print("".join(f"# {f}\n" for f in faults), end="")
    sys.exit(1 if any(f for _, f in tests) else 0)


if __name__ == "__main__":
    main()
