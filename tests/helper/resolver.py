#!/usr/bin/env python3
"""What systemd-resolved is told, on a bus of the test's own with a stand-in (rows F6, D4)."""
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import rig as rigs  # noqa: E402  pylint: disable=wrong-import-position

STANDIN = rigs.TOP / "build/tests/tools/resolved"
BUS = Path("/run/dbus/system_bus_socket")
CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen>
<auth>EXTERNAL</auth><policy context="default"><allow send_destination="*" eavesdrop="false"/>
<allow receive_sender="*"/><allow own="*"/><allow user="*"/></policy></busconfig>"""
BRIDGE = {"bridge": "br-bngr"}
SYNC, CLEAR = "priv.sync_resolver_routing", "priv.clear_resolver_routing"


class Bus:
    """A bus daemon, and on it what plays resolved."""

    def __init__(self, *mode, service=True):
        BUS.parent.mkdir(exist_ok=True)
        config = Path("/run/bus.conf")
        config.write_text(CONFIG)
        self.children = [subprocess.Popen(["dbus-daemon", f"--config-file={config}", "--nofork",
                                           "--print-address"], stdout=subprocess.PIPE, text=True)]
        assert self.children[0].stdout.readline().startswith("unix:")
        if service:
            env = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={BUS}"}
            self.children.append(subprocess.Popen([str(STANDIN), *mode], stdout=subprocess.PIPE,
                                                  env=env, text=True))
            assert self.line() == "ready"

    def line(self):
        return self.children[1].stdout.readline().strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for child in reversed(self.children):
            child.kill()
            child.wait()
            child.stdout.close()
        BUS.unlink(missing_ok=True)


def index(name="br-bngr"):
    out = subprocess.run(["ip", "-o", "link", "show", name], capture_output=True, text=True,
                         check=True).stdout
    return int(out.split(":")[0])


def with_bridge(rig):
    rig.ask("priv.ensure_bridge", bridge="br-bngr", address="10.87.48.1/20")


def rest(i):
    return [f"SetLinkDomains ia(sb) {i} [(\"vm\" true)]", f"SetLinkDefaultRoute ib {i} false",
            *(f"{m} is {i} \"no\"" for m in ("SetLinkLLMNR", "SetLinkMulticastDNS",
                                             "SetLinkDNSSEC", "SetLinkDNSOverTLS")),
            "FlushCaches"]


def calls_are_exact(rig):
    """resolved is told of server, port and ~vm on the bridge's link, and nothing else; and untold"""
    with_bridge(rig)
    i = index()
    with Bus() as bus:
        rig.ask(SYNC, resolver="127.0.0.1:42069", **BRIDGE)
        want = [f"SetLinkDNSEx ia(iayqs) {i} [(2 [127 0 0 1] 42069 \"\")]", *rest(i)]
        assert [bus.line() for _ in want] == want
        for resolver in ("10.87.48.1", "10.87.48.1:53"):
            rig.ask(SYNC, resolver=resolver, **BRIDGE)
            want = [f"SetLinkDNS ia(iay) {i} [(2 [10 87 48 1])]", *rest(i)]
            assert [bus.line() for _ in want] == want
        for _ in range(2):
            rig.ask(CLEAR, **BRIDGE)
            assert bus.line() == f"RevertLink i {i}"
        rig.ask(SYNC, resolver="127.0.0.1:1", **BRIDGE)
        for _ in range(8):
            bus.line()
        rig.restart()
        assert rig.teardown() == 0
        assert bus.line() == f"RevertLink i {i}"


def wrong_values_are_refused(rig):
    """Bridges that are not the helper's and resolvers of a wrong shape are refused, with the field"""
    with_bridge(rig)
    before = rig.log().count("telling")
    for value in ("", "localhost", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:-1",
                  "127.0.0.1:053", "127.0.0.1:53x", "127.0.0.1 :53", "127.0.0.1:53\n", "::1",
                  "[::1]:53", "127.0.0.1:53\0", "127.1", "1.2.3.4:5:6", "127.0.0.1:42069#vm",
                  "256.0.0.1", "x" * 5000):
        rig.refused(("invalid_value", "too_large"), "resolver", SYNC, resolver=value, **BRIDGE)
    for name in ("eth0", "br0", "lo", "br-bngr-", "br-bngr\0", "br-bngr/..", "br-bngr-%d", "bngr-a"):
        rig.refused("invalid_value", "bridge", SYNC, resolver="127.0.0.1", bridge=name)
        rig.refused("invalid_value", "bridge", CLEAR, bridge=name)
    for name in ("br-bngr-b",):
        rig.refused("not_found", "bridge", SYNC, resolver="127.0.0.1", bridge=name)
        rig.refused("not_found", "bridge", CLEAR, bridge=name)
    rig.refused("missing_field", "resolver", SYNC, **BRIDGE)
    assert rig.log().count("telling") == before


def no_resolved(rig):
    """Where there is no bus, or nobody on it, the error is typed and its hint is the line needed"""
    with_bridge(rig)
    for bus in (None, Bus(service=False)):
        error = rig.refused("unavailable", None, SYNC, resolver="127.0.0.1:42069", **BRIDGE)
        assert "server=/vm/127.0.0.1#42069" in error.hint, error.hint
        rig.ask(CLEAR, **BRIDGE)
        if bus:
            bus.__exit__()
    assert rig.teardown() == 0


def refusals_are_told(rig):
    """A link that networkd manages, and a resolved without ports, are told as such"""
    with_bridge(rig)
    with Bus("busy"):
        rig.refused("conflict", "bridge", SYNC, resolver="127.0.0.1:42069", **BRIDGE)
    with Bus("old"):
        rig.refused("unsupported", None, SYNC, resolver="127.0.0.1:42069", **BRIDGE)
        rig.ask(SYNC, resolver="127.0.0.1", **BRIDGE)


def a_link_that_is_gone(rig):
    """With the bridge goes what resolved knew of it: nothing is said about another link"""
    with_bridge(rig)
    with Bus() as bus:
        rig.ask(SYNC, resolver="127.0.0.1:42069", **BRIDGE)
        for _ in range(8):
            bus.line()
        subprocess.run(["ip", "link", "del", "br-bngr"], check=True)
        rig.refused("conflict", "bridge", CLEAR, **BRIDGE)
        rig.restart()
        assert rig.teardown() == 0
        with_new_bridge(rig)
        rig.ask(CLEAR, **BRIDGE)
        assert bus.line() == f"RevertLink i {index()}"


def with_new_bridge(rig):
    rig.start()
    with_bridge(rig)


def hanging_bus(rig):
    """A bus that never answers costs its own request a deadline, and nobody else anything"""
    with_bridge(rig)
    with Bus("mute"), rigs.Client(rig.socket) as waiting:
        begun = time.monotonic()
        waiting.begin(SYNC, resolver="127.0.0.1:42069", **BRIDGE)
        worst = 0
        for _ in range(50):
            at = time.monotonic()
            rig.ask("priv.ping")
            worst = max(worst, time.monotonic() - at)
        error = waiting.receive()[2]
        assert error["code"] == "timeout", error
        assert worst < 1 and 3 < time.monotonic() - begun < 15


if not shutil.which("dbus-daemon") or not STANDIN.exists():
    print(f"1..0 # SKIP needs dbus-daemon and {STANDIN.name}")
    sys.exit(0)
rigs.main([calls_are_exact, wrong_values_are_refused, no_resolved, refusals_are_told,
           a_link_that_is_gone, hanging_bus])
