#!/usr/bin/env python3
"""The man pages that `make install` writes: one for each command, and mandoc finds nothing wrong.
And the examples of help, README and guides: each names a command that there is, with flags it has."""
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent


def examples(commands, text_of):
    """(where, words) of each line that calls banger, in documents and in the commands' own help."""
    for path in [TOP / "README.md", *sorted((TOP / "docs").glob("*.md"))]:
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("$ "):
                yield from ((f"{path.name}: {line}", words) for words in calls(line[2:]))
    for command in commands:
        for line in text_of(command).partition("\nexample:\n")[2].splitlines():
            yield from ((f"help {command}: {line}", words) for words in calls(line))


def calls(line):
    """The words behind each `banger` of a shell line, up to what the shell or the guest reads."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|;&()<>")
    lexer.whitespace_split = True
    words, found = [], None
    for word in lexer:
        if re.fullmatch(r"[|;&()<>]+", word):
            found = None
        elif word.split("/")[-1] == "banger":
            found = []
            words.append(found)
        elif found is not None:
            found.append(word)
    return [w[:w.index("--")] if "--" in w else w for w in words]


def wrong(words, commands, text_of):
    command = " ".join(words[:2]) if " ".join(words[:2]) in commands else " ".join(words[:1])
    if command == "help" and len(words) > 1:
        return " ".join(words[1:]) not in commands and words[1] not in {
            c.split()[0] for c in commands}
    if command not in commands:
        return bool(words)
    text = text_of(command)
    return [w for w in words if re.match(r"--?[a-z]", w) and
            not re.search(rf"^ *(-., )?{re.escape(w.split('=')[0])}\b|^ *{re.escape(w)}, ", text,
                          re.M)]


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
    texts = {}

    def text_of(command):
        if command not in texts:
            texts[command] = subprocess.run(
                [TOP / "build/bin/banger", "help", *command.split()], check=True, text=True,
                stdout=subprocess.PIPE).stdout
        return texts[command]

    all_examples = list(examples(commands, text_of))
    bad = [(where, fault) for where, words in all_examples
           if (fault := wrong(words, commands, text_of))]
    print("1..4")
    ok = report(1, "each command has its page", not missing, missing)
    ok &= report(2, "mandoc finds nothing wrong in them", not lint.returncode, lint.stdout)
    ok &= report(3, "completions of three shells; uninstall takes all away",
                 len(scripts) == 3 and not left, (scripts, left))
    ok &= report(4, "examples of help, README and guides name what there is",
                 len(all_examples) > 100 and not bad, (len(all_examples), bad))
    return not ok


def report(number, what, good, why):
    print(f"{'ok' if good else 'not ok'} {number} - {what}")
    if not good:
        print("# " + str(why).replace("\n", "\n# "))
    return good


if __name__ == "__main__":
    sys.exit(main())
