#!/usr/bin/env python3
"""Run and exec: bytes, exit codes and signals pass through unchanged."""
import hashlib
import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import live  # noqa: E402

MIB = 1024 * 1024
READ_AT_ONCE = 3001  # a slow reader's mouthful


def run_rm(house):
    """vm run --rm gives the program's output, its errors and its code, and nothing else"""
    done = house.run("vm", "run", "--rm", "--image", "debian", "--", "sh", "-c",
                     "echo out; echo err >&2; exit 7")
    assert (done.code, done.out, done.err) == (7, b"out\n", b"err\n"), (done.out, done.err)
    assert house.json("vm", "list") == []
    assert not house.leftovers(), house.leftovers()


def bytes_both_ways(house):
    """64 MiB go through a guest's cat unchanged"""
    house.create("m")
    data = os.urandom(64 * MIB)
    out = house.ok("vm", "exec", "m", "--", "cat", input=data, timeout=100)
    assert hashlib.sha256(out).digest() == hashlib.sha256(data).digest(), len(out)


def slow_reader(house):
    """a reader that takes its time gets every byte, and holds nobody else up"""
    house.create("m")
    child = house.popen("vm", "exec", "m", "--", "sh", "-c",
                        "head -c 4000000 /dev/urandom | tee /tmp/sent; sync")
    assert house.sh("m", "echo meanwhile") == "meanwhile\n"
    digest = hashlib.sha256()
    # nothing is read while other programs run, then only a little at a time
    while data := os.read(child.stdout.fileno(), READ_AT_ONCE):
        digest.update(data)
    assert child.wait(live.PATIENCE) == 0
    assert house.sh("m", "sha256sum </tmp/sent").split()[0] == digest.hexdigest()


def shell_pipe(house):
    """a shell's pipe: exec between two programs, and a reader that leaves early"""
    house.create("m")
    line = ('head -c 3000000 /dev/zero | "$0" vm exec m -- cat | wc -c; '
            '"$0" vm exec m -- yes | head -n 2')
    done = subprocess.run(["sh", "-c", line, house.banger], env=house.env, capture_output=True,
                          timeout=live.PATIENCE, check=False)
    assert done.stdout == b"3000000\ny\ny\n", done
    left = house.sh("m", "pgrep -x yes || true")
    assert left == "", "the program outlived its reader"


def twenty_at_once(house):
    """20 programs at once end with 20 different codes"""
    house.create("m")
    children = [house.popen("vm", "exec", "m", "--", "sh", "-c", f"read x; echo {i}; exit {i}",
                            stdin=subprocess.PIPE) for i in range(100, 120)]
    for child in children:  # all of them run before the first may end
        child.stdin.write(b"go\n")
        child.stdin.flush()
    for i, child in enumerate(children, 100):
        out, err = child.communicate(timeout=live.PATIENCE)
        assert (child.returncode, out, err) == (i, f"{i}\n".encode(), b""), (i, out, err)


def ended_by_signal(house):
    """a program that a signal ends reports 128+n"""
    house.create("m")
    for name, number in (("TERM", 15), ("KILL", 9), ("SEGV", 11)):
        done = house.run("vm", "exec", "m", "--", "sh", "-c", f"kill -{name} $$")
        assert done.code == 128 + number, (name, done.code, done.err)
    assert house.run("vm", "exec", "m", "--", "no-such-program").code == 127
    assert house.run("vm", "exec", "m", "--", "/etc/passwd").code == 126


def signal_passes_on(house):
    """a signal for the CLI reaches the program, which may answer as it likes"""
    house.create("m")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        name = number.name[3:]
        child = house.popen("vm", "exec", "m", "--", "sh", "-c",
                            f"trap 'echo got {name}; exit 42' {name}; echo ready; "
                            "while :; do sleep 0.1; done")
        assert child.stdout.readline() == b"ready\n"
        child.send_signal(number)
        out, err = child.communicate(timeout=live.PATIENCE)
        assert (child.returncode, out) == (42, f"got {name}\n".encode()), (name, out, err)
    child = house.popen("vm", "exec", "m", "--", "sh", "-c", "echo ready; exec sleep 1000")
    assert child.stdout.readline() == b"ready\n"
    child.send_signal(signal.SIGTERM)
    assert child.wait(live.PATIENCE) == 128 + signal.SIGTERM


def ends_of_input(house):
    """end of input, -n, and standard files that are closed"""
    house.create("m")
    assert house.ok("vm", "exec", "m", "--", "wc", "-c", input=b"") == b"0\n"
    assert house.ok("vm", "exec", "m", "--", "wc", "-c", input=b"abc") == b"3\n"
    done = house.run("vm", "exec", "-n", "m", "--", "readlink", "/proc/self/fd/0", input=b"abc")
    assert done.out == b"/dev/null\n", done.out
    # a program that does not read its input is not waited for
    assert house.ok("vm", "exec", "m", "--", "echo", "x", input=bytes(4 * MIB)) == b"x\n"
    for closed, expected in (("<&-", b"out\n"), (">&-", b""), ("2>&-", b"out\n")):
        line = f'"$0" vm exec m -- sh -c "echo out; echo err >&2; exit 5" {closed}'
        done = subprocess.run(["sh", "-c", line, house.banger], env=house.env,
                              stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=live.PATIENCE, check=False)
        if closed == ">&-":
            assert done.returncode in (5, 125), (closed, done)
        else:
            assert done.returncode == 5, (closed, done)
        assert done.stdout == expected, (closed, done)


def program_leaves_a_child(house):
    """exec ends with its program, also when a child of that keeps the output open"""
    house.create("m")
    done = house.run("vm", "exec", "m", "--", "sh", "-c", "sleep 1000 & echo out; exit 3")
    assert (done.code, done.out) == (3, b"out\n"), (done.code, done.out)


def killed_client(house):
    """when its client is killed, the program gets a hang-up"""
    house.create("m")
    child = house.popen("vm", "exec", "m", "--", "sh", "-c",
                        "trap 'echo gone >/tmp/hup; exit' HUP; echo ready; "
                        "while :; do sleep 0.1; done")
    assert child.stdout.readline() == b"ready\n"
    child.kill()
    child.wait()
    assert house.sh("m", "until [ -s /tmp/hup ]; do sleep 0.1; done; cat /tmp/hup") == "gone\n"


def surroundings(house):
    """user, directory and environment are those that were asked for"""
    house.create("m")
    assert house.sh("m", "echo $HOME; pwd; id -un") == "/root\n/root\nroot\n"
    done = house.ok("vm", "exec", "-u", "nobody", "-w", "/usr", "-e", "A=b c", "-e", "E=", "m",
                    "--", "sh", "-c", 'id -un; pwd; echo "[$A][${E-unset}]"')
    assert done == b"nobody\n/usr\n[b c][]\n", done
    words = ["", "a b", "'", '"', "\\", "\n", "ä", "$HOME", "*"]
    out = house.ok("vm", "exec", "m", "--", "printf", "%s\\0", *words)
    assert out.split(b"\0")[:-1] == [w.encode() for w in words], out
    error = house.fails("vm", "exec", "nosuch", "--", "true", code=125)
    assert error["code"] == "not_found", error
    done = house.run("vm", "exec", "--timeout", "1s", "m", "--", "sleep", "1000")
    assert done.code == 125 and re.search(rb"timed out", done.err), done.err


def output_before_the_end(house):
    """output arrives while the program runs, not at its end"""
    house.create("m")
    child = house.popen("vm", "exec", "m", "--", "sh", "-c", "echo first; read x; echo $x",
                        stdin=subprocess.PIPE)
    assert select.select([child.stdout], [], [], live.PATIENCE)[0], "nothing came"
    assert child.stdout.readline() == b"first\n"
    out, _ = child.communicate(b"second\n", timeout=live.PATIENCE)
    assert out == b"second\n" and child.returncode == 0


if __name__ == "__main__":
    live.main([run_rm, bytes_both_ways, slow_reader, shell_pipe, twenty_at_once, ended_by_signal,
               signal_passes_on, ends_of_input, program_leaves_a_child, killed_client,
               surroundings, output_before_the_end])
