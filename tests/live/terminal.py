#!/usr/bin/env python3
"""Programs on a terminal: size, name, Ctrl-C, and the caller's terminal as it was."""
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import live  # noqa: E402
from term import Terminal  # noqa: E402


def size_and_name(house):
    """the guest's terminal has the caller's size, and follows it"""
    house.create("m")
    t = Terminal(house, "vm", "exec", "-t", "m", "--", "sh", "-c",
                 "trap 'stty size' WINCH; tty; stty size; echo $TERM; while read x; do "
                 "echo read $x; done", rows=31, cols=97)
    t.expect(rb"/dev/pts/\d+\r\n31 97\r\nxterm\r\n")
    t.resize(43, 121)
    t.type(b"\n")  # a shell runs its trap between commands
    t.expect(rb"43 121\r\n")
    t.type(b"\x04")
    assert t.end() == 0


def ctrl_c(house):
    """Ctrl-C interrupts the guest's program, not the CLI"""
    house.create("m")
    t = Terminal(house, "vm", "exec", "-t", "m", "--", "sh", "-c",
                 # said by the program that is to be hit: one that is forked but not yet run
                 # would still have the shell's trap, and lose the signal
                 "trap 'echo caught' INT; sh -c 'echo ready; exec sleep 1000'; echo after; exit 9")
    t.expect(rb"ready\r\n")
    t.type(b"\x03")
    t.expect(rb"caught\r\nafter\r\n")
    assert t.end() == 9
    t = Terminal(house, "vm", "exec", "-t", "m", "--", "sh", "-c", "echo ready; exec sleep 1000")
    t.expect(rb"ready\r\n")
    t.type(b"\x03")
    assert t.end() == 130


def login_shell(house):
    """without a program it is a shell that one can type into"""
    house.create("m")
    t = Terminal(house, "vm", "exec", "m")
    t.expect(rb"[#$] ")
    t.type(b"echo $((6 * 7))\n")
    t.expect(rb"[\r\n]42\r\n")
    t.type(b"exit 4\n")
    assert t.end() == 4


def restored_after_signals(house):
    """the caller's terminal is as it was, also when CLI or machine end early"""
    house.create("m")
    t = Terminal(house, "vm", "exec", "-t", "m", "--", "sh", "-c", "echo ready; exec sleep 1000")
    t.expect(rb"ready\r\n")
    t.child.send_signal(signal.SIGTERM)
    assert t.end() == 128 + signal.SIGTERM
    t = Terminal(house, "vm", "exec", "-t", "m", "--", "sh", "-c", "echo ready; exec sleep 1000")
    t.expect(rb"ready\r\n")
    house.ok("vm", "kill", "m")
    assert t.end() == 125


def raw_bytes(house):
    """-T keeps a program off the terminal; on one, control characters reach the guest"""
    house.create("m")
    t = Terminal(house, "vm", "exec", "-T", "m", "--", "sh", "-c",
                 "test -t 1 && echo tty || echo none")
    t.expect(rb"none\r\n")
    assert t.end() == 0
    t = Terminal(house, "vm", "exec", "-t", "m", "--", "sh", "-c",
                 "stty raw -echo; echo ready; head -c 4 | od -An -tx1")
    t.expect(rb"ready")
    t.type(b"\x03\x1a\x04\xff")
    t.expect(rb"03 1a 04 ff")
    assert t.end() == 0


def progress_is_live(house):
    """on a terminal run shows its stages, and then the program's output alone"""
    t = Terminal(house, "vm", "run", "--rm", "--image", "debian", "--", "echo", "done")
    t.expect(rb"boot")
    t.expect(rb"done\r\n")
    assert t.end() == 0


if __name__ == "__main__":
    live.main([size_and_name, ctrl_c, login_shell, restored_after_signals, raw_bytes,
               progress_is_live])
