#!/usr/bin/env python3
"""Who may speak to the helper, and what malformed, slow and hostile peers get (rows A5, A6, F11)."""
import array
import os
import socket
import stat
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import rig as rigs  # noqa: E402  pylint: disable=wrong-import-position
from rig import msgpack  # noqa: E402  pylint: disable=wrong-import-position

MALFORMED = {
    "text": b"GET / HTTP/1.0\r\n\r\n",
    "an ext type": b"\x94\x00\x01\xa9priv.ping\x91\xd4\x00\x00",
    "array32 of 2^29": b"\xdd\x20\x00\x00\x00",
    "array32 of 2^32-1": b"\xdd\xff\xff\xff\xff",
    "map32 of 2^28": b"\xdf\x10\x00\x00\x00",
    "str32 of 2^31-1": b"\xdb\x7f\xff\xff\xff",
    "bin32 of 2^32-1": b"\xc6\xff\xff\xff\xff",
    "bin one byte over the frame": b"\x94\x00\x01\xa9priv.ping\x91\x81\xa1k\xc6\x00\x01\x00\x00",
    "33 deep": b"\x91" * 33 + b"\xc0",
    "a thousand deep": b"\x91" * 1000 + b"\xc0",
    "a million deep": b"\x91" * 1000000,
    "params nil": b"\x94\x00\x01\xa9priv.ping\xc0",
    "msgid -1": b"\x94\x00\xff\xa9priv.ping\x90",
}


def ping_answers(rig):
    """priv.ping answers the version tuple, to owner and root"""
    for uid in (rigs.OWNER, 0):
        version = rig.client(uid).ask("priv.ping")
        assert set(version) == {"version", "commit", "built"}, version


def others_are_turned_away(rig):
    """A third uid is turned away before a byte is parsed (H1)"""
    os.chmod(rig.socket, 0o666)  # as if the file system said yes
    client = rig.client(rigs.THIRD)
    try:
        client.ask("priv.ping")
        raise AssertionError("it was served")
    except (rigs.Closed, ConnectionResetError, BrokenPipeError):
        pass
    rig.wait_for(lambda: "turned away" in rig.log(), "no line about it")
    assert f"uid={rigs.THIRD}" in rig.log()
    rig.ask("priv.ping")


def socket_is_the_owners(rig):
    """The socket is 0600 and the owner's, in a directory that only root may write"""
    st, up = os.stat(rig.socket), os.stat(rig.socket.parent)
    assert stat.S_IMODE(st.st_mode) == 0o600 and st.st_uid == rigs.OWNER
    assert up.st_uid == 0 and not up.st_mode & 0o022


def malformed_closes(rig):
    """Malformed bytes close the connection, at once or byte by byte, and cost no memory (H6-H8)"""
    before = rig.rss()
    for name, data in MALFORMED.items():
        for step in (len(data), 1):
            if step == 1 and len(data) > 4000:
                continue
            client = rig.client()
            try:
                for at in range(0, len(data), step):
                    client.send(data[at:at + step])
                client.receive()
                raise AssertionError(f"{name}: it was answered")
            except (rigs.Closed, ConnectionResetError, BrokenPipeError):
                client.close()
    rig.ask("priv.ping")
    assert rig.rss() - before < 1024 * 1024, rig.rss() - before


def wrong_is_answered(rig):
    """What is merely wrong gets a typed error, and the connection lives (H10)"""
    client = rig.client()

    def code(method, params):
        client.msgid += 1
        client.send(msgpack.packb([0, client.msgid, method, [params]]))
        return client.receive()[2]

    assert code("priv.nothing", {})["code"] == "unknown_method"
    assert code("vm.list", {})["code"] == "unknown_method"
    for method, params, want, field in (
            ("priv.ping", {"x": 1}, "unknown_field", "x"),
            ("priv.delete_tap", {}, "missing_field", "tap"),
            ("priv.delete_tap", {"tap": 5}, "invalid_type", "tap"),
            ("priv.delete_tap", {"tap": "bngr-\0a"}, "invalid_value", "tap"),
            ("priv.kill_process", {"pid": float("nan")}, "invalid_type", "pid"),
            ("priv.kill_process", {"pid": 1}, "invalid_value", "pid"),
            ("priv.kill_process", {"pid": 2 ** 63}, "invalid_value", "pid")):
        error = code(method, params)
        assert (error["code"], error["field"]) == (want, field), (method, params, error)
    assert client.ask("priv.ping")


def refusals_are_logged(rig):
    """Each refusal is one log line with method, field and reason, its values escaped (F10)"""
    rig.refused("invalid_value", "tap", "priv.delete_tap", tap="eth0\n\x1b[2Jx")
    rig.refused("invalid_value", "tap", "priv.delete_tap", tap="eth0")
    lines = [x for x in rig.log().splitlines() if "refused" in x]
    assert len(lines) == 2 and all("priv.delete_tap" in x and "field=tap" in x for x in lines)
    assert "\x1b" not in rig.log()


def descriptors_are_closed(rig):
    """Descriptors that a peer sends are closed; the helper's count stays flat (H4)"""
    client = rig.client()
    client.ask("priv.ping")
    before = rig.fds()
    null = os.open("/dev/null", os.O_RDONLY)
    gift = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null] * 253))]
    for i in range(200):
        frame = msgpack.packb([0, 1000 + i, "priv.ping", [{}]])
        try:
            client.sock.sendmsg([frame], gift)
        except PermissionError:  # SO_PASSRIGHTS: the kernel refuses for the helper
            client.send(frame)
        assert client.receive()[2] is None
    os.close(null)
    assert rig.fds() <= before, (before, rig.fds())


def slow_peers_are_dropped(rig):
    """A thousand that send one byte and no more are dropped by a deadline; others are served (H5)"""
    before = rig.fds()
    slow = [rig.client() for _ in range(1000)]
    for client in slow:
        client.send(b"\x94")
    begun = time.monotonic()
    rig.ask("priv.ping")
    answered = time.monotonic() - begun
    for client in slow:
        try:
            client.receive()
            raise AssertionError("it was answered")
        except (rigs.Closed, ConnectionResetError):
            client.close()
    rig.wait_for(lambda: rig.fds() <= before, "connections stayed")
    assert answered < 5, answered
    print(f"# a valid request among them: {answered * 1000:.1f} ms")


rigs.main([ping_answers, others_are_turned_away, socket_is_the_owners, malformed_closes,
           wrong_is_answered, refusals_are_logged, descriptors_are_closed, slow_peers_are_dropped])
