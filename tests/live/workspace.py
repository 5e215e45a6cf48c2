#!/usr/bin/env python3
"""workspace prepare, diff and export: git in the guest says what git on the host says."""
import base64
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import live  # noqa: E402

ODD = (b"two words", b"new\nline", b"\xff\xfe", b"-dash", b":(top)magic", b"*star", b"\"quote",
       b"back\\slash", b"\xc3\xa4", b"deep/er/still")
# what both sides must say in the same words
QUESTIONS = ("status --porcelain=v2 -z --untracked-files=all", "log --all --format=%H%d%s", "ls-files --stage -z",
             "diff --no-color", "diff --cached --no-color", "fsck --strict", "for-each-ref")
ENV = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1",
       "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "C",
       "GIT_COMMITTER_EMAIL": "c@d", "GIT_CONFIG_GLOBAL": "/dev/null"}


def git(where, *args, **kw):
    return subprocess.run(["git", "-C", str(where), *args], env=ENV, check=True, timeout=live.PATIENCE,
                          capture_output=True, **kw).stdout


def write(top, name, data, mode=0o644):
    path = os.path.join(os.fsencode(top), os.fsencode(name))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)
    os.chmod(path, mode)


def make_repo(top):
    """Two branches, a tag, odd names, modes and links, and changes of every kind on top."""
    top.mkdir()
    git(top, "init", "-q", "-b", "main")
    for name in ODD:
        write(top, name, name)
    write(top, "run.sh", b"#!/bin/sh\necho ran\n", 0o755)
    write(top, "text", b"".join(b"line %d\n" % i for i in range(20)))
    write(top, ".gitignore", b"*.o\n/build/\n")
    os.symlink("text", top / "link")
    os.symlink("/nowhere/at/all", top / "dangling")
    git(top, "add", "-A")
    git(top, "commit", "-qm", "one")
    git(top, "tag", "v1")
    git(top, "branch", "other")
    write(top, "text", b"".join(b"line %d!\n" % i for i in range(20)))
    git(top, "commit", "-qam", "two")
    return top


def make_dirty(top):
    write(top, "text", b"changed\n")
    write(top, "staged", b"staged\n")
    git(top, "add", "staged")
    write(top, "staged", b"staged, then changed\n")
    (top / "run.sh").chmod(0o644)
    (top / "two words").unlink()
    write(top, "untracked", b"untracked\n")
    write(top, b"un\ntracked \xff", b"odd\n")


def says(house, vm, top, where="repo", questions=QUESTIONS):
    """Compares both sides' answers."""
    for question in questions:
        here = git(top, *question.split())
        there = house.ok("vm", "exec", vm, "--", "sh", "-c", f"cd {where} && git {question}")
        assert here == there, (question, here, there)


def guest(house, vm, script):
    """Runs a script in the guest's repository, with an identity to commit as."""
    return house.sh(vm, "cd repo && export GIT_AUTHOR_NAME=G GIT_AUTHOR_EMAIL=g@g "
                        f"GIT_COMMITTER_NAME=G GIT_COMMITTER_EMAIL=g@g && {script}")


def everything_goes(house):
    """history, odd names, modes, links, staged and unstaged changes; then only what differs"""
    vm = house.create("m")
    top = make_repo(house.dir / "repo")
    make_dirty(top)
    plan = house.json("workspace", "prepare", "--dry-run", vm, str(top))
    names = [base64.b64decode(n) for n in plan["untracked_b64"]]
    assert plan["dry_run"] and sorted(names) == [b"un\ntracked \xff", b"untracked"], plan
    assert house.sh(vm, "test -e repo || echo none") == "none\n"
    house.ok("workspace", "prepare", vm, str(top))
    says(house, vm, top)
    write(top, "text", b"changed again\n")
    (top / "untracked").unlink()
    write(top, "new/er", b"new\n")
    said = house.json("workspace", "prepare", vm, str(top))
    assert (said["fresh"], said["files"], said["removed"]) == (False, 2, 1), said
    says(house, vm, top)
    git(top, "add", "-A")
    git(top, "commit", "-qm", "three")
    git(top, "checkout", "-qb", "third")
    house.ok("workspace", "prepare", vm, str(top))
    says(house, vm, top)
    assert house.json("workspace", "prepare", vm, str(top))["files"] == 0
    # HEAD alone
    write(top, "text", b"not this\n")
    write(top, "nor-this", b"x")
    house.ok("workspace", "prepare", "--clean", "--dest", "clean", vm, str(top))
    assert house.sh(vm, "cd clean && git status --porcelain && cat text; ls nor-this || true") == \
        "changed again\n"


def secrets_stay(house):
    """ignored files, .bangerignore and what looks like a secret are not sent, and the last is told"""
    vm = house.create("m")
    top = make_repo(house.dir / "repo")
    stay = [".env", ".env.local", "sub/.ENV", "id_rsa", "server.pem", "sub/credentials.json", ".npmrc",
            "notes.txt", ".aws/config"]
    for name in stay:
        write(top, name, b"x")
    write(top, "notes.txt", b"-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n")
    for name in ("a.o", "build/x", "big.dump", "data/big.dump"):
        write(top, name, b"x")
    write(top, ".bangerignore", b"*.dump\n!*.o\n")
    write(top, "goes", b"x")
    write(top, "id_rsa.pub", b"x")
    said = house.run("workspace", "prepare", vm, str(top))
    assert said.code == 0, said.err
    assert b"goes" in said.err and b".env" in said.err and b"a.o" not in said.err, said.err
    there = house.sh(vm, "cd repo && git ls-files --others | sort").split()
    assert there == [".bangerignore", "goes", "id_rsa.pub"], there
    plan = house.json("workspace", "prepare", "--dry-run", vm, str(top))
    assert sorted(plan["withheld"]) == sorted(stay), plan["withheld"]


def every_kind_of_checkout(house):
    """worktrees, submodules, shallow, detached, empty, split index; and what is refused"""
    vm = house.create("m")
    top = make_repo(house.dir / "repo")
    cases = {"worktree": house.dir / "tree", "shallow": house.dir / "shallow",
             "detached": house.dir / "detached", "super": house.dir / "super"}
    git(top, "worktree", "add", "-q", str(cases["worktree"]), "other")
    git(house.dir, "clone", "-q", "--depth", "1", f"file://{top}", str(cases["shallow"]))
    git(house.dir, "clone", "-q", str(top), str(cases["detached"]))
    git(cases["detached"], "checkout", "-q", "v1")
    git(cases["detached"], "update-index", "--split-index")
    git(house.dir, "init", "-q", str(cases["super"]))
    git(cases["super"], "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(top), "mod")
    git(cases["super"], "commit", "-qm", "super")
    cases["submodule"] = cases["super"] / "mod"
    write(cases["submodule"], "text", b"in the submodule\n")
    questions = [q for q in QUESTIONS if "fsck" not in q]
    for name, where in cases.items():
        house.ok("workspace", "prepare", "--dest", name, vm, str(where))
        if name != "super":
            says(house, vm, where, name, questions)
        house.sh(vm, f"cd {name} && git fsck --strict")
    empty = house.dir / "empty"
    git(house.dir, "init", "-q", "-b", "main", str(empty))
    write(empty, "first", b"x")
    house.ok("workspace", "prepare", "--dest", "empty", vm, str(empty))
    assert house.sh(vm, "cd empty && git status --porcelain") == "?? first\n"
    # what is refused
    (house.dir / "plain").mkdir()
    assert house.fails("workspace", "prepare", vm, str(house.dir / "plain"))["code"] == "not_found"
    stray = house.dir / "stray"
    stray.mkdir()
    (stray / ".git").write_text(f"gitdir: {top}/.git\n")
    assert house.fails("workspace", "prepare", vm, str(stray))["code"] == "denied"
    git(house.dir, "clone", "-q", "--shared", str(top), "shared")
    assert house.fails("workspace", "prepare", vm, str(house.dir / "shared"))["code"] == "denied"
    git(top, "config", "uploadpack.allowFilter", "true")
    git(house.dir, "-c", "protocol.file.allow=always", "clone", "-q", "--filter=blob:none", "--no-checkout",
        f"file://{top}", "partial")
    assert house.fails("workspace", "prepare", vm, str(house.dir / "partial"))["code"] == "unsupported"
    house.sh(vm, "mkdir busy && touch busy/x")
    assert house.fails("workspace", "prepare", "--dest", "busy", vm, str(top))["code"] == "exists"


def in_the_repository(house):
    """vm run PATH: the program runs in the repository, and nothing but its output is said"""
    top = make_repo(house.dir / "repo")
    make_dirty(top)
    ran = house.run("vm", "run", "--rm", "--image", "debian", str(top), "--", "sh", "-c",
                    "pwd; git log --oneline | wc -l; sh run.sh; exit 9")
    assert (ran.code, ran.out, ran.err) == (9, b"/root/repo\n2\nran\n", b""), (ran.code, ran.out, ran.err)
    assert house.vms() == {}
    refused = house.run("vm", "run", "--rm", "--image", "debian", str(house.dir), "--", "true")
    assert refused.code == 125 and b"no git repository" in refused.err
    assert house.vms() == {}


def it_comes_back(house):
    """diff, and export as patch, branch and three-way apply; none writes over uncommitted work"""
    vm = house.create("m")
    top = make_repo(house.dir / "repo")
    make_dirty(top)
    house.ok("workspace", "prepare", vm, str(top))
    assert house.ok("workspace", "diff", vm) == b""
    guest(house, vm, "sed -i 's/^/guest /' text && printf 'a\\000b' > binary && rm run.sh && mkdir -p n && "
                     "cp text 'n/e w' && chmod +x staged && ln -s text n/l && echo x > x.o")
    said = house.json("workspace", "diff", vm)
    changes = {c["path"]: c["change"] for c in said["changes"]}
    assert changes == {"text": "changed", "binary": "added", "run.sh": "removed", "n/e w": "added",
                       "n/l": "added", "staged": "changed"}, changes
    # a patch, for what was prepared
    house.ok("workspace", "export", "-o", str(house.dir / "p"), vm)
    copy = house.dir / "copy"
    shutil.copytree(top, copy, symlinks=True)
    git(copy, "apply", str(house.dir / "p"))
    assert (copy / "binary").read_bytes() == b"a\0b" and not (copy / "run.sh").exists()
    assert house.fails("workspace", "export", "-o", str(house.dir / "p"), vm)["code"] == "exists"
    # a branch, with the guest's commits and what it did not commit
    before = git(top, "status", "--porcelain")
    guest(house, vm, "git add -A && git commit -qm 'in the guest' && echo more >> binary && git gc -q")
    assert house.json("workspace", "export", "--branch", vm)["branch"] == "banger/m"
    assert git(top, "log", "--format=%s", "main..banger/m") == b"Work of m\nin the guest\n"
    assert git(top, "cat-file", "blob", "banger/m:binary") == b"a\0bmore\n"
    git(top, "fsck", "--strict")
    assert git(top, "status", "--porcelain") == before
    # into the working tree: refused while it would touch work that is in no commit
    write(top, "text", b"mine, uncommitted\n")
    error = house.fails("workspace", "export", "--apply", vm)
    assert error["code"] == "conflict" and "text" in error["message"], error
    assert (top / "text").read_bytes() == b"mine, uncommitted\n" and not (top / "binary").exists()
    write(top, "text", b"changed\n")
    write(top, "binary", b"in the way")
    assert house.fails("workspace", "export", "--apply", vm)["code"] == "conflict"
    (top / "binary").unlink()
    house.ok("workspace", "export", "--apply", vm)
    assert (top / "text").read_bytes() == b"guest changed\n" and not (top / "run.sh").exists()
    assert os.readlink(top / "n/l") == "text" and os.stat(top / "staged").st_mode & 0o111
    # both agree now, so the next prepare finds nothing in its way
    house.ok("workspace", "prepare", "--force", vm, str(top))


def both_sides_changed(house):
    """a file that both sides changed is merged when the host's change is committed, else refused"""
    vm = house.create("m")
    top = make_repo(house.dir / "repo")
    house.ok("workspace", "prepare", vm, str(top))
    guest(house, vm, "sed -i '1s/.*/guest/' text && echo mine > guest-only")
    lines = (top / "text").read_bytes().splitlines(True)
    write(top, "text", b"".join(lines[:-1]) + b"host\n")
    assert house.fails("workspace", "export", "--apply", vm)["code"] == "conflict"
    git(top, "commit", "-qam", "host")
    house.ok("workspace", "export", "--apply", vm)
    assert (top / "text").read_bytes() == b"guest\n" + b"".join(lines[1:-1]) + b"host\n"
    git(top, "commit", "-qam", "merged")
    write(top, "text", b"host again\n" + b"".join(lines[1:-1]) + b"host\n")
    git(top, "commit", "-qam", "the same line")
    error = house.fails("workspace", "export", "--apply", vm)
    assert error["code"] == "conflict" and "same lines" in error["message"], error
    # a change of the guest's that is not here is not written over by a prepare either
    guest(house, vm, "sed -i '1s/.*/guest again/' text")
    assert house.fails("workspace", "prepare", vm, str(top))["code"] == "conflict"
    assert guest(house, vm, "head -1 text") == "guest again\n"
    house.ok("workspace", "prepare", "--force", vm, str(top))
    assert guest(house, vm, "head -1 text; cat guest-only") == "host again\nmine\n"
    guest(house, vm, "echo lost > text; rm link; git commit -qam lost")
    house.ok("workspace", "prepare", "--force", vm, str(top))
    says(house, vm, top, questions=("status --porcelain -z", "diff --no-color", "ls-files --stage -z"))


def hostile_repo(house, top):
    """A repository that tries to run a program on the host in every way that git knows."""
    mark = house.dir / "pwned"
    evil = house.dir / "evil"
    evil.write_text(f"#!/bin/sh\necho \"$0 $*\" >> {mark}\ncat >/dev/null 2>&1\nexit 0\n")
    evil.chmod(0o755)
    hooks = top / ".git/hooks"
    for hook in ("post-checkout", "post-index-change", "reference-transaction", "pre-auto-gc", "post-merge",
                 "pre-commit", "post-commit", "fsmonitor-watchman", "update", "pre-receive", "post-rewrite",
                 "post-update", "commit-msg", "pre-applypatch", "applypatch-msg", "proc-receive"):
        shutil.copy(evil, hooks / hook)
    write(top, ".gitattributes", b"* filter=evil diff=evil merge=evil\n")
    write(top, ".git/info/attributes", b"* filter=evil diff=evil merge=evil\n")
    write(top, ".gitmodules", b"[submodule \"x\"]\n\tpath = mod\n\turl = ext::sh -c evil\n\tupdate = !evil\n")
    more = house.dir / "more-config"
    more.write_text(f"[core]\n\tfsmonitor = {evil}\n[alias]\n\tls-files = !{evil}\n")
    (top / ".git/config").write_text(f"""[core]
\trepositoryformatversion = 0
\tbare = false
\tfsmonitor = {evil}
\thooksPath = {hooks}
\tsshCommand = {evil}
\teditor = {evil}
\tpager = {evil}
\taskPass = {evil}
\tgitProxy = {evil}
\talternateRefsCommand = {evil}
\tattributesFile = {top}/.gitattributes
\tworktree = /
[include]
\tpath = {more}
[includeIf "gitdir:/"]
\tpath = {more}
[filter "evil"]
\tclean = {evil}
\tsmudge = {evil}
\tprocess = {evil}
\trequired = true
[diff]
\texternal = {evil}
[diff "evil"]
\tcommand = {evil}
\ttextconv = {evil}
[merge "evil"]
\tdriver = {evil}
[gpg]
\tprogram = {evil}
[commit]
\tgpgSign = true
[log]
\tshowSignature = true
[credential]
\thelper = !{evil}
[uploadpack]
\tpackObjectsHook = {evil}
[protocol "ext"]
\tallow = always
[remote "origin"]
\turl = ext::{evil}
\tfetch = +refs/heads/*:refs/remotes/origin/*
\tuploadpack = {evil}
[submodule "x"]
\turl = ext::{evil}
\tupdate = !{evil}
[alias]
\tls-files = !{evil}
\tdiff-files = !{evil}
\tpack-objects = !{evil}
\tupdate-index = !{evil}
[pager]
\tdiff-tree = {evil}
[sequence]
\teditor = {evil}
[interactive]
\tdiffFilter = {evil}
[gc]
\tauto = 1
""")
    # a commit replaced by another one
    git_env = dict(ENV, GIT_DIR=str(top / ".git"), GIT_CONFIG_COUNT="0")
    head = subprocess.run(["git", "rev-parse", "HEAD"], env=git_env, check=True, capture_output=True,
                          text=True, timeout=live.PATIENCE).stdout.strip()
    first = subprocess.run(["git", "rev-parse", "v1"], env=git_env, check=True, capture_output=True,
                           text=True, timeout=live.PATIENCE).stdout.strip()
    write(top, f".git/refs/replace/{head}", first.encode() + b"\n")
    return mark, head


def nothing_is_run(house):
    """no hook, filter, driver, helper or other program of a hostile repository runs on the host"""
    vm = house.create("m")
    top = make_repo(house.dir / "repo")
    make_dirty(top)
    mark, head = hostile_repo(house, top)
    house.env["GIT_DIR"] = str(top / ".git")  # nor what our caller's environment says
    house.env["GIT_EXTERNAL_DIFF"] = str(house.dir / "evil")
    mark.unlink(missing_ok=True)  # making it may have run some
    house.ok("workspace", "prepare", vm, str(top))
    assert guest(house, vm, "git rev-parse HEAD; git cat-file -p HEAD:text | head -1") == \
        f"{head}\nline 0!\n"
    guest(house, vm, "git rm -q --cached -f .gitmodules; rm -f .gitmodules; echo guest >> text; echo '* filter=evil diff=evil' > .gitattributes; "
                     "git add -A; git commit -qm guest; echo b >> text")
    house.ok("workspace", "diff", vm)
    house.ok("workspace", "export", "-o", str(house.dir / "p"), vm)
    house.ok("workspace", "export", "--branch", vm)
    house.ok("workspace", "export", "--apply", vm)
    write(top, "later", b"x")
    house.run("workspace", "prepare", vm, str(top))
    house.ok("workspace", "prepare", "--clean", "--dest", "c", vm, str(top))
    assert not mark.exists(), mark.read_text()
    # and the traps are real: git itself falls into them
    subprocess.run(["git", "-C", str(top), "update-index", "--refresh"], env=ENV, check=False,
                   capture_output=True, timeout=live.PATIENCE)
    assert mark.exists()
    shutil.rmtree(top / ".git/objects/pack")
    os.symlink(house.dir, top / ".git/objects/pack")
    assert house.fails("workspace", "prepare", vm, str(top))["code"] == "denied"


def a_lying_guest(house):
    """a guest cannot leave the repository on the host, nor give it broken objects"""
    vm = house.create("m")
    top = make_repo(house.dir / "repo")
    house.ok("workspace", "prepare", vm, str(top))
    # names that are no files of git's, links that lead out, a directory that is a link on the host
    os.symlink(house.dir, top / "out")
    write(house.dir, "victim", b"mine\n")
    guest(house, vm, "mkdir -p out .GIT sub/.git && echo x > out/victim && echo x > .GIT/config && "
                     "echo x > sub/.git/config && echo x > 'git~1' && ln -s /etc/passwd leak && ln -s ../../up up")
    paths = {c["path"] for c in house.json("workspace", "diff", vm)["changes"]}
    assert paths == {"out/victim", "leak", "up"}, paths
    error = house.fails("workspace", "export", "--apply", vm)
    assert error["code"] == "conflict" and "leak" in error["message"], error
    guest(house, vm, "rm leak up")
    assert house.fails("workspace", "export", "--apply", vm)["code"] == "conflict"
    assert (house.dir / "victim").read_bytes() == b"mine\n"
    # a commit whose blob is not what its name says
    guest(house, vm, "rm -r out && echo a > lie && git add lie && git commit -qm lie && b=$(git rev-parse HEAD:lie) && "
                     "f=.git/objects/$(echo $b | cut -c1-2)/$(echo $b | cut -c3-) && "
                     "o=$(echo other | git hash-object -w --stdin) && rm -f $f && "
                     "cp .git/objects/$(echo $o | cut -c1-2)/$(echo $o | cut -c3-) $f && rm lie")
    before = git(top, "for-each-ref")
    assert house.run("workspace", "export", "--branch", vm).code == 1
    assert git(top, "for-each-ref") == before
    guest(house, vm, "rm -rf .GIT sub 'git~1' && git reset -q --hard HEAD~ && printf '[submodule \"x\"]\\n\\tpath = x\\n\\tupdate = !id\\n"
                     "\\turl = /x\\n' > .gitmodules && git add -A && git commit -qm modules")
    error = house.fails("workspace", "export", "--branch", vm)
    assert "gitmodules" in error["message"], error
    assert git(top, "for-each-ref") == before
    git(top, "fsck", "--strict")


def files_of_the_config(house):
    """file_sync: files of the home go into new machines with their modes; others are refused"""
    home = house.dir / "home"
    write(home, ".toolrc", b"mine\n", 0o600)
    write(home, "bin/helper", b"#!/bin/sh\n", 0o755)
    write(house.dir, "outside", b"x")
    os.symlink(home / "bin/helper", home / "by-link")
    house.env["HOME"] = str(home)
    config = house.dir / "c/config.yaml"
    config.write_text("file_sync:\n  - from: ~/.toolrc\n  - from: ~/by-link\n    to: deep/er/helper\n"
                      "  - from: ~/not-there\n")
    vm = house.create("m")
    assert house.sh(vm, "cat .toolrc; stat -c %a .toolrc deep/er/helper") == "mine\n600\n755\n"
    os.symlink("../outside", home / "leads-out")
    for bad in ("~/leads-out", "/etc/passwd", "~/../outside", "~/bin"):
        config.write_text(f"file_sync:\n  - from: {bad}\n")
        code = "invalid_type" if bad == "~/bin" else "denied"
        assert house.fails("vm", "create", "--name", "n", "--image", "debian")["code"] == code
    config.write_text("file_sync:\n  - form: ~/.toolrc\n")
    error = house.fails("vm", "create", "--name", "n", "--image", "debian")
    assert "config.yaml:2" in error["message"] and "from" in error["message"] + error.get("hint", ""), error
    config.unlink()
    assert list(house.vms()) == ["m"]


def interrupted(house):
    """Ctrl-C and SIGKILL while it is sent leave no part of it, and a second try works"""
    vm = house.create("m")
    top = make_repo(house.dir / "repo")
    for i in range(20):
        write(top, f"large{i}", os.urandom(1000000))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        child = house.popen("--progress", "workspace", "prepare", vm, str(top))
        for line in child.stderr:
            if b"pack" in line:  # what follows is the sending
                break
        child.send_signal(number)
        child.communicate(timeout=live.PATIENCE)
        assert child.returncode in (128 + number, -number), child.returncode
        left = "ls -A | grep -c -e repo -e banger || true"
        if number != signal.SIGKILL:
            assert house.sh(vm, left) == "0\n", number
        assert house.sh(vm, "test -e repo || echo none") == "none\n", number
    house.ok("workspace", "prepare", vm, str(top))
    assert house.sh(vm, left) == "1\n"
    says(house, vm, top, questions=("status --porcelain -z",))
    # a change that is interrupted leaves what was there
    for i in range(20):
        write(top, f"large{i}", os.urandom(1000000))
    child = house.popen("--progress", "workspace", "prepare", vm, str(top))
    for line in child.stderr:
        if b"pack" in line:
            break
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=live.PATIENCE)
    assert child.returncode == 130
    assert house.json("workspace", "diff", vm)["changes"] == []
    # a machine that was made for it goes, whether --rm was given or not
    for flags in ((), ("--rm",)):
        child = house.popen("--progress", "vm", "run", *flags, "--name", "n", "--image", "debian", str(top),
                            "--", "true")
        for line in child.stderr:
            if b"pack" in line:
                break
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=live.PATIENCE)
        assert child.returncode == 130 and list(house.vms()) == ["m"], (child.returncode, house.vms())


if __name__ == "__main__":
    live.main([everything_goes, secrets_stay, every_kind_of_checkout, in_the_repository, it_comes_back,
               both_sides_changed, nothing_is_run, a_lying_guest, files_of_the_config,
               interrupted])
