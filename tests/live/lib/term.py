"""A program of banger on a terminal of its own."""
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

import live


class Terminal:
    """A CLI on a terminal of its own."""

    def __init__(self, house, *args, rows=24, cols=80):
        self.master, self.slave = pty.openpty()
        self.resize(rows, cols)
        self.modes = termios.tcgetattr(self.slave)
        self.seen = b""
        self.child = subprocess.Popen([house.banger, *args], env={**house.env, "TERM": "xterm"},
                                      stdin=self.slave, stdout=self.slave, stderr=self.slave,
                                      preexec_fn=self.adopt)

    def adopt(self):
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def resize(self, rows, cols):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def type(self, data):
        os.write(self.master, data)

    def expect(self, pattern, seconds=live.PATIENCE):
        """Reads until the pattern shows up behind what was matched before."""
        until = time.monotonic() + seconds
        while not (match := re.search(pattern, self.seen)):
            ready = select.select([self.master], [], [], max(0, until - time.monotonic()))[0]
            if not ready:
                raise live.Late(f"{pattern} did not come; seen: {self.seen!r}")
            self.seen += os.read(self.master, 65536)
        self.seen = self.seen[match.end():]
        return match

    def rest(self):
        """What came and was not matched; for a program that has ended."""
        return self.seen

    def end(self):
        code = self.child.wait(live.PATIENCE)
        assert termios.tcgetattr(self.slave) == self.modes, "the terminal was not restored"
        while select.select([self.master], [], [], 0)[0]:
            self.seen += os.read(self.master, 65536)
        os.close(self.master)
        os.close(self.slave)
        return code
