"""What the steps on the smoke host share: commands as root and as the user dev, facts of the host."""
import functools
import json
import os
import subprocess
from pathlib import Path

GOODS = Path("/smoke")
USER = "dev"
PATIENCE = 240  # seconds that one command may take, under emulation


class Skip(Exception):
    """Why a step cannot run here."""


class Late(Exception):
    """A deadline passed."""


def run(*argv, patience=PATIENCE, **kw):
    kw = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "check": False, **kw}
    if "input" in kw:
        kw.pop("stdin")
    return subprocess.run([*map(str, argv)], timeout=patience, **kw)


def ok(*argv, **kw):
    """Runs a command as root that must succeed; answers its output."""
    done = run(*argv, **kw)
    assert done.returncode == 0, f"{argv}: exit {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


def as_dev(*argv):
    """The command line that runs as dev, as a login of hers would."""
    return ("runuser", "-u", USER, "--", "env", "-i", "HOME=/home/dev", "USER=dev", "LOGNAME=dev",
            "LANG=C.UTF-8", "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", *map(str, argv))


def dev(*argv, **kw):
    return ok(*as_dev(*argv), **kw)


def dev_fails(*argv, code=1, **kw):
    """Runs a command as dev that must fail; answers all that it said."""
    done = run(*as_dev(*argv), **kw)
    assert done.returncode == code, f"{argv}: exit {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def dev_json(*argv, **kw):
    return json.loads(dev("banger", "--json", *argv, **kw))


def machines(step):
    """A step with machines: the installed daemon makes them through the helper, by its actor priv."""
    @functools.wraps(step)
    def tried():
        if "priv" not in [actor["name"] for actor in dev_json("daemon", "status")["actors"]]:
            raise Skip("the daemon of this build does not reach the helper (it has no actor priv)")
        return step()
    return tried


def journal():
    """The last lines of banger's units."""
    done = run("journalctl", "-b", "--no-pager", "-o", "short-monotonic", "-n", "40", "-u",
               "bangerd.service", "-u", "banger-helper.service", "-u", "bangerd.socket")
    return done.stdout


def unit(name, *words):
    """Properties of a unit."""
    out = ok("systemctl", "show", name, "-p", ",".join(words))
    return dict(line.split("=", 1) for line in out.splitlines() if "=" in line)


def processes(uid=None):
    """pid to name, of one user or all; kernel threads are none."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            if uid is not None and os.stat(f"/proc/{entry}").st_uid != uid:
                continue
            if Path(f"/proc/{entry}/cmdline").read_bytes():
                found[int(entry)] = Path(f"/proc/{entry}/comm").read_text().strip()
        except OSError:
            pass
    return found
