#!/usr/bin/env python3
"""make house: taste as a test. Reports in TAP, a line for each rule.

A reasoned exception is a line of tests/house.exceptions: rule, file (a pattern), detail (* for any),
reason. One that is not needed any more is itself a failure, so the list only shrinks.
"""
import fnmatch
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
FUNCTION_LINES, FILE_LINES, COLUMNS = 70, 600, 100
LAYERS = ("base sys letter loop wire dns actor kv world flow tree vmm proto conf actors worker helper "
          "agent cli tests bench").split()
BANNED = {
    "strcpy": "str_copy", "strncpy": "str_copy", "stpcpy": "str_copy", "sprintf": "snprintf",
    "vsprintf": "vsnprintf", "strtok": "strcspn and a cursor", "strtok_r": "strcspn and a cursor",
    "atoi": "parse_u64", "atol": "parse_u64", "atoll": "parse_u64", "atof": "parse_size",
    "system": "a child with an argv", "popen": "a child with an argv", "gets": "getline",
    "alloca": "the arena", "mktemp": "a directory descriptor and openat", "tmpnam": "openat",
    "usleep": "an event", "sleep": "an event",
}
# in the helper, what takes a path from the root of the tree
BANNED_HELPER = {
    "open": "openat2", "stat": "fstat of a descriptor", "lstat": "fstat of a descriptor",
    "chmod": "fchmod", "chown": "fchownat", "lchown": "fchownat", "unlink": "unlinkat",
    "rename": "renameat", "mkdir": "mkdirat", "rmdir": "unlinkat", "link": "linkat",
    "symlink": "symlinkat", "access": "fstat of a descriptor", "chdir": "fchdir",
    "fopen": "openat2 and fdopen", "opendir": "openat2 and fdopendir", "truncate": "ftruncate",
}
MACHINE_PATH = re.compile(r"[/]work/|/home/(?!USER|NAME|\$|<|%|you\b|user\b|dev\b|me\b)[a-z]|/tmp/bash|"
                          r"\.pyenv|/mnt/|/private/")


def git_files():
    """What the project consists of: tracked files and new ones, without what is ignored."""
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=TOP, text=True,
                         capture_output=True, check=True).stdout
    return sorted(f for f in out.splitlines() if (TOP / f).is_file())


def text_of(path):
    return (TOP / path).read_text(errors="replace")


def code_of(path):
    """The text with comments and strings blanked, its lines kept."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match[0])
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    return re.sub(pattern, blank, text_of(path), flags=re.S)


class House:
    def __init__(self):
        self.files = git_files()
        self.c = [f for f in self.files if f.endswith(".c")]
        self.h = [f for f in self.files if f.endswith(".h")]
        self.defs = [f for f in self.files if f.endswith(".def")]
        self.faults, self.exceptions = [], []
        self.number, self.failed = 0, False
        for n, line in enumerate(text_of("tests/house.exceptions").splitlines(), 1):
            if line.strip() and not line.startswith("#"):
                parts = line.split(None, 3)
                if len(parts) < 4:
                    self.faults.append(f"tests/house.exceptions:{n}: rule, file, detail, reason")
                else:
                    self.exceptions.append([*parts, n, False])

    def fault(self, rule, path, detail, text):
        for e in self.exceptions:
            if e[0] == rule and fnmatch.fnmatch(path, e[1]) and fnmatch.fnmatch(detail, e[2]):
                e[5] = True
                return
        self.faults.append(f"{path}: {text}")

    def skip(self, rule, why):
        self.number += 1
        print(f"ok {self.number} - {rule} # SKIP {why}")

    def check(self, name, rule):
        skipped = rule(self)
        if skipped:
            self.skip(name, skipped)
            return
        self.number += 1
        print(f"{'not ok' if self.faults else 'ok'} {self.number} - {name}")
        for fault in self.faults:
            print(f"# {fault}")
        self.failed |= bool(self.faults)
        self.faults = []


def includes_name_a_layer(house):
    for path in house.c + house.h + house.defs:
        for n, line in enumerate(text_of(path).splitlines(), 1):
            match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not match:
                continue
            parts = match[1].split("/")
            if ".." in parts or len(parts) < 2 or parts[0] not in LAYERS:
                house.fault("include", path, match[1], f"line {n}: \"{match[1]}\" names no layer")


def layer_of(path):
    if path.startswith("runtime/"):
        return path.split("/")[1]
    if path.startswith("actors/worker/"):
        return "worker"
    return path.split("/")[0]


def headers_compile_alone(house):
    """Each header by itself, with the include path of its own layer and no other."""
    with tempfile.TemporaryDirectory() as directory:
        for path in house.h:
            layer = layer_of(path)
            if not (TOP / "build/include" / layer).is_dir():
                continue
            inside = path
            if path.startswith("runtime/"):
                inside = path[len("runtime/"):]
            elif path.startswith("actors/worker/"):
                inside = path[len("actors/"):]
            source = Path(directory) / "alone.c"
            source.write_text(f'#include "{inside}"\n#include "{inside}"\n')
            done = subprocess.run(["gcc", "-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-Werror",
                                   "-Wno-unused-function", "-fsyntax-only",
                                   f"-Ibuild/include/{layer}", str(source)],
                                  cwd=TOP, capture_output=True, text=True, check=False)
            if done.returncode:
                first = next((x for x in done.stderr.splitlines() if "error" in x), done.stderr)
                house.fault("header", path, "*", f"does not compile alone: {first.strip()}")


def symbols(path, kinds):
    out = subprocess.run(["nm", "-g", str(path)], capture_output=True, text=True, check=True).stdout
    rows = (line.split() for line in out.splitlines())
    return {row[-1] for row in rows if len(row) >= 2 and row[-2] in kinds}


def actors_export_their_class(house):
    """A file exports <name>_actor alone; what the files of a folder share stays in the folder."""
    defined, wanted = {}, {}
    for path in house.c:
        if not path.startswith("actors/") or path.startswith("actors/worker/"):
            continue
        obj = TOP / "build/obj" / (path[:-2] + ".o")
        if not obj.exists():
            house.fault("export", path, "*", "does not compile")
            continue
        defined[path], wanted[path] = symbols(obj, "TDBRVWC"), symbols(obj, "U")
    if not defined:
        return "there is no actor yet"
    for path, names in defined.items():
        folder = os.path.dirname(path)
        for name in sorted(names):
            if name.endswith("_actor"):
                continue
            if folder == "actors":
                house.fault("export", path, name, f"exports {name}")
                continue
            for other, uses in wanted.items():
                if os.path.dirname(other) != folder and name in uses:
                    house.fault("export", path, name, f"{name} is used by {other}")
    return None


def rows_have_their_sentence(house):
    """Each row of a .def ends with a sentence. The tables' other rules are unit/tables.c's."""
    row = re.compile(r"^\s*(?:[A-Z]|[FSL])\(.*\)\s*\\?$")
    for path in house.defs:
        if path.startswith("tests/") or path.endswith("words.def"):
            continue
        for n, line in enumerate(text_of(path).splitlines(), 1):
            if not row.match(line) or line.lstrip().startswith("#"):
                continue
            match = re.search(r'"([^"]*)"\s*\)\s*\\?$', line)
            if not match or len(match[1]) < 3:
                house.fault("sentence", path, line.strip(), f"line {n}: a row without its sentence")


def banned_calls(house):
    for path in house.c + house.h:
        banned = dict(BANNED)
        if path.startswith("helper/"):
            banned.update(BANNED_HELPER)
        pattern = re.compile(r"(?<![\w.>])(" + "|".join(banned) + r")\s*\(")
        for n, line in enumerate(code_of(path).splitlines(), 1):
            for match in pattern.finditer(line):
                house.fault("banned", path, match[1],
                            f"line {n}: {match[1]}: use {banned[match[1]]}")


def functions_are_short(house):
    for path in house.c + house.h:
        lines = code_of(path).splitlines()
        begun = None
        for n, line in enumerate(lines):
            if line.startswith("{") and n and re.search(r"[\w)]\s*$", lines[n - 1]):
                begun = n
            elif line.startswith("}") and begun is not None:
                if n - begun + 1 > FUNCTION_LINES:
                    name = next((m[1] for back in range(begun - 1, max(begun - 8, -1), -1)
                                 if (m := re.match(r"^[\w *]*?(\w+)\(", lines[back]))), "?")
                    house.fault("function", path, name, f"line {begun}: {name} has "
                                f"{n - begun + 1} lines, {FUNCTION_LINES} are allowed")
                begun = None


def files_are_short(house):
    for path in house.c + house.h + house.defs:
        n = len(text_of(path).splitlines())
        if n > FILE_LINES:
            house.fault("file", path, "*", f"{n} lines, {FILE_LINES} are allowed")


def columns(house):
    for path in house.c + house.h + house.defs:
        for n, line in enumerate(text_of(path).splitlines(), 1):
            wide = len(line.expandtabs(8))
            if wide > COLUMNS:
                house.fault("columns", path, str(n), f"line {n} is {wide} columns wide")


def tidy_text(house):
    for path in house.c + house.h + house.defs:
        text = text_of(path)
        if not text.startswith("/*"):
            house.fault("opening", path, "*", "does not open with what it is for")
        if not text.endswith("\n") or text.endswith("\n\n"):
            house.fault("opening", path, "*", "does not end with one newline")
        for n, line in enumerate(text.splitlines(), 1):
            if line != line.rstrip():
                house.fault("opening", path, "*", f"line {n} ends with blanks")
            if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", line):
                house.fault("todo", path, str(n), f"line {n}: {line.strip()}")


def no_machine_paths(house):
    for path in house.files:
        if path in ("tests/house.py",) or path.endswith((".png", ".svg")):
            continue
        for n, line in enumerate(text_of(path).splitlines(), 1):
            match = MACHINE_PATH.search(line)
            if match:
                house.fault("machine", path, match[0], f"line {n}: {match[0]}")


def the_map_is_true(house):
    """Every source file is named in ARCHITECTURE.md, by itself or by its folder, and nothing else."""
    if "ARCHITECTURE.md" not in house.files:
        return "there is no ARCHITECTURE.md yet"
    text = text_of("ARCHITECTURE.md")
    named = set(re.findall(r"`((?:[\w.@-]+/)+[\w.@*-]*|[\w-]+\.(?:md|mk|sh|txt))`", text))
    for name in sorted(named):
        if name.startswith(("build/", "$")) or "*" in name:
            continue
        if not (TOP / name).exists():
            house.fault("map", "ARCHITECTURE.md", name, f"`{name}` is a ghost")
    for path in house.c + house.h + house.defs:
        above = [f"{p}/" for p in Path(path).parents if str(p) not in (".", "runtime")]
        if path not in named and not named.intersection(above):
            house.fault("map", path, "*", "is not on the map of ARCHITECTURE.md")
    return None


def page_is_current(house, tool, name):
    program = TOP / "build/tests/tools" / tool
    if not program.exists():
        return f"{tool} is not built"
    made = subprocess.run([str(program)], capture_output=True, text=True, check=False)
    page = TOP / "docs" / name
    if made.returncode or not page.exists() or made.stdout != page.read_text():
        house.faults.append(f"docs/{name}: not what the tables say; run `make docs`")
    return None


def protocol_page_is_current(house):
    return page_is_current(house, "protodoc", "protocol.md")


def privileges_page_is_current(house):
    return page_is_current(house, "privdoc", "privileges.md")


def exceptions_are_needed(house):
    for rule, path, detail, reason, n, used in house.exceptions:
        if not used and rule != "export":
            house.faults.append(f"tests/house.exceptions:{n}: {rule} {path} {detail} is not needed")


RULES = (includes_name_a_layer, headers_compile_alone, actors_export_their_class,
         rows_have_their_sentence, banned_calls, functions_are_short, files_are_short, columns,
         tidy_text, no_machine_paths, the_map_is_true, protocol_page_is_current,
         privileges_page_is_current, exceptions_are_needed)


def main():
    house = House()
    for rule in RULES:
        house.check(rule.__name__.replace("_", " "), rule)
    print(f"1..{house.number}")
    return 1 if house.failed else 0


if __name__ == "__main__":
    sys.exit(main())
