#!/usr/bin/env python3
"""The man pages that `make install` writes: one for each command, and mandoc finds nothing wrong."""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent


def main():
    with tempfile.TemporaryDirectory() as prefix:
        env = {**os.environ, "MAKEFLAGS": ""}
        install = ["make", "-s", "-C", str(TOP), f"PREFIX={prefix}", "DESTDIR="]
        subprocess.run([*install, "install"], check=True, env=env, stdout=subprocess.DEVNULL)
        pages = sorted((Path(prefix) / "share/man/man1").iterdir())
        helped = subprocess.run([TOP / "build/bin/banger", "help"], check=True, text=True,
                                stdout=subprocess.PIPE).stdout
        commands = {line[2:19].strip() for line in helped.splitlines() if line.startswith("  ")}
        wanted = {"banger.1"} | {f"banger-{c.replace(' ', '-')}.1" for c in commands}
        missing = wanted ^ {p.name for p in pages}
        lint = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", *pages], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        scripts = [p for p in Path(prefix).rglob("*banger*") if "share" in p.parts and
                   p.is_file() and "man1" not in p.parts]
        subprocess.run([*install, "uninstall"], check=True, env=env, stdout=subprocess.DEVNULL)
        left = [p for p in Path(prefix).rglob("*") if p.is_file()]
    print("1..3")
    ok = report(1, "each command has its page", not missing, missing)
    ok &= report(2, "mandoc finds nothing wrong in them", not lint.returncode, lint.stdout)
    ok &= report(3, "completions of three shells; uninstall takes all away",
                 len(scripts) == 3 and not left, (scripts, left))
    return not ok


def report(number, what, good, why):
    print(f"{'ok' if good else 'not ok'} {number} - {what}")
    if not good:
        print("# " + str(why).replace("\n", "\n# "))
    return good


if __name__ == "__main__":
    sys.exit(main())
