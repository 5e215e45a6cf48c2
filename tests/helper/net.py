#!/usr/bin/env python3
"""The helper's bridge, taps and rules: what they refuse, make and leave alone (rows D1, F5)."""
import contextlib
import json
import mmap
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import rig as rigs  # noqa: E402  pylint: disable=wrong-import-position
from rig import msgpack  # noqa: E402  pylint: disable=wrong-import-position
from wire import BEYOND, ICMP, UPLINK_IP, Guest, Uplink, arp, frame, sh, source_of  # noqa: E402

BRIDGE, ADDRESS = "br-bngr", "10.87.48.1/20"
SHAPE = ("invalid_value", "too_large")
FOREIGN = """
table ip filter {
	chain FORWARD {
		type filter hook forward priority 0; policy accept;
		counter accept
	}
}
table ip nat {
	chain POSTROUTING {
		type nat hook postrouting priority 100; policy accept;
		ip saddr 172.17.0.0/16 masquerade
	}
}
table inet other {
	set out {
		type ipv4_addr
		elements = { 10.87.48.2 }
	}
}
"""
NAMES = ["", "eth0", "lo", "br0", "tap0", "../x", "a/b", "%d", "{0}%d", "{0}x;reboot", "{0}x y",
         "{0}x\n", "{0}\n", "{0}\0", "{0}x\0y", "{0}A", "{0}_", "{0}.", "{0}..", "{0}/x", "{0}é", " {0}x",
         "{0}x }} ; flush ruleset ; add rule {{", "{0}x\" , ", "{0}$x", "{0}`id`", "{0}0123456789",
         "{0}" + "x" * 60, "{0}" + "x" * 6000]


def links():
    return {row["ifname"]: row for row in json.loads(sh("ip -j -d link"))}


def rules(ours):
    """The ruleset's rows of our tables, or of all others, without counters."""
    rows = json.loads(sh("nft -j list ruleset"))["nftables"][1:]
    mine = [r for r in rows for v in r.values() if "banger" in (v.get("table"), v.get("name"))]
    chosen = mine if ours else [r for r in rows if r not in mine]
    return json.dumps(chosen)


def element(table, name):
    rows = json.loads(sh(f"nft -j list set {table} banger {name}"))["nftables"]
    return json.dumps(next(r["set"].get("elem", []) for r in rows if "set" in r))


def forwarding():
    return Path("/proc/sys/net/ipv4/ip_forward").read_text().strip()


def bridge(rig, name=BRIDGE, address=ADDRESS):
    return rig.ask("priv.ensure_bridge", bridge=name, address=address)


def tap(rig, name, ip=None, enable=True):
    rig.ask("priv.create_tap", tap=name, bridge=BRIDGE)
    if ip:
        rig.ask("priv.ensure_nat", guest_ip=ip, tap=name, enable=enable)


def wrong_names_are_refused(rig):
    """Every name that is not a bridge's or tap's by its shape is refused, with the field (H11, H23, H26)"""
    bridge(rig)
    before = rules(True), sorted(links())
    for shape in NAMES:
        name = shape.format("br-bngr-")
        if name != "br-bngr-0123456789":
            rig.refused(SHAPE, "bridge", "priv.ensure_bridge", bridge=name,
                        address=ADDRESS)
        rig.refused(SHAPE, "bridge", "priv.create_tap", bridge=name, tap="bngr-a")
        name = shape.format("bngr-")
        if name == "bngr-0123456789":
            continue
        for method, more in (("priv.create_tap", {"bridge": BRIDGE}), ("priv.delete_tap", {}),
                             ("priv.ensure_nat", {"guest_ip": "10.87.48.2", "enable": True})):
            rig.refused(SHAPE, "tap", method, tap=name, **more)
    for name in ("bngr-", "bngr", "bngr-0123456789a", "bngr-x--%d"):
        rig.refused(SHAPE, "tap", "priv.delete_tap", tap=name)
    assert (rules(True), sorted(links())) == before
    for name in ("bngr-0", "bngr-a-b", "bngr-0123456789"):
        tap(rig, name)
        rig.ask("priv.delete_tap", tap=name)


def wrong_addresses_are_refused(rig):
    """Every address outside what F5 allows is refused, with the field (H25)"""
    def address(value):
        rig.refused(SHAPE, "address", "priv.ensure_bridge", bridge=BRIDGE, address=value)
    for value in ("10.87.48.1", "10.87.48.1/", "10.87.48.1/16", "10.87.48.1/24", "10.87.48.1/021",
                  "10.87.48.0/20", "10.87.63.255/20", "10.87.64.1/20", "10.87.47.255/20",
                  "0.0.0.0/20", "127.0.0.1/20", "169.254.169.254/20", "224.0.0.1/20",
                  "255.255.255.255/20", "::1/20", "10.87.48.1/20 ", " 10.87.48.1/20",
                  "010.87.48.1/20", "10.87.48.1/20\n", "10.87.48.1/20\0", "x/20", "10.87.48.1/-4",
                  "10.87.48.1/4294967316"):
        address(value)
    assert BRIDGE not in links() and rules(True) == "[]"
    bridge(rig)
    tap(rig, "bngr-a")
    for value in ("10.87.48.0", "10.87.63.255", "10.87.48.1", "10.87.64.2", "10.87.47.2", "0.0.0.0",
                  "127.0.0.1", "224.0.0.1", "255.255.255.255", "169.254.169.254", "localhost",
                  "10.87.48.2/32", "10.87.48.2 ", "10.87.48.02", "10.87.48", "1", "0x0a573002",
                  "10.87.48.2\n", "10.87.48.2\0", "::ffff:10.87.48.2", "10.87.48.2 } ; drop"):
        rig.refused(SHAPE, "guest_ip", "priv.ensure_nat", guest_ip=value, tap="bngr-a",
                    enable=True)
    rig.refused("invalid_type", "enable", "priv.ensure_nat", guest_ip="10.87.48.2", tap="bngr-a",
                enable=1)
    assert element("inet", "out") == element("bridge", "own") == "[]"
    for value in ("10.87.48.2", "10.87.63.254"):
        rig.ask("priv.ensure_nat", guest_ip=value, tap="bngr-a", enable=True)
        assert element("inet", "out") == json.dumps([value])


def bridge_is_made_and_mended(rig):
    """The bridge is made, the same again, with another address, and mended after others' hands"""
    assert bridge(rig) == {"missing": []}
    made, first = links()[BRIDGE], rules(True)
    assert made["linkinfo"]["info_kind"] == "bridge" and "UP" in made["flags"]
    assert forwarding() == "1"
    assert "inet 10.87.48.1/20 brd 10.87.63.255" in sh(f"ip addr show {BRIDGE}")
    assert "inet6" not in sh(f"ip addr show {BRIDGE}")
    tap(rig, "bngr-a", "10.87.48.9")
    assert links()["bngr-a"]["master"] == BRIDGE and links()[BRIDGE]["address"] == made["address"]
    bridge(rig)
    assert links()[BRIDGE]["ifindex"] == made["ifindex"]
    strip = lambda text: [{k: {i: j for i, j in v.items() if i not in ("handle", "elem")}
                           for k, v in r.items()} for r in json.loads(text)]
    assert strip(rules(True)) == strip(first)
    bridge(rig, address="10.87.48.7/20")
    shown = sh(f"ip -4 addr show {BRIDGE}")
    assert "10.87.48.7/20" in shown and "10.87.48.1/" not in shown
    rig.refused(SHAPE, "guest_ip", "priv.ensure_nat", guest_ip="10.87.48.7",
                tap="bngr-a", enable=True)
    sh(f"nft flush ruleset && ip link del {BRIDGE} && sysctl -qw net.ipv4.ip_forward=0")
    rig.refused("conflict", "bridge", "priv.create_tap", tap="bngr-b", bridge=BRIDGE)
    assert "bngr-b" not in links()
    bridge(rig)
    tap(rig, "bngr-a")
    assert links()["bngr-a"]["master"] == BRIDGE and forwarding() == "1"
    assert element("inet", "out") == '["10.87.48.9"]'


def rules_are_mended(rig):
    """Whoever flushes all rules: the next change makes ours anew, and nothing else"""
    bridge(rig)
    tap(rig, "bngr-a", "10.87.48.2")
    sh("nft flush ruleset")
    tap(rig, "bngr-b", "10.87.48.3")
    assert element("inet", "out") == '["10.87.48.2", "10.87.48.3"]'
    sh("nft delete table bridge banger")
    rig.ask("priv.delete_tap", tap="bngr-b")
    assert element("inet", "out") == '["10.87.48.2"]' and rules(False) == "[]"


def foreign_bridge_is_refused(rig):
    """A bridge or table of our name that the helper did not make is refused and left alone"""
    for kind in ("bridge", "veth peer name peer"):
        sh(f"ip link add {BRIDGE} type {kind}")
        before = sh("ip -d link; ip addr; nft list ruleset")
        rig.refused("not_owned", "bridge", "priv.ensure_bridge", bridge=BRIDGE, address=ADDRESS)
        rig.refused("not_found", "bridge", "priv.create_tap", tap="bngr-a", bridge=BRIDGE)
        rig.refused("not_found", "bridge", "priv.sync_resolver_routing", bridge=BRIDGE,
                    resolver="127.0.0.1")
        assert sh("ip -d link; ip addr; nft list ruleset") == before and forwarding() == "0"
        rig.restart()
        assert BRIDGE in links()
        sh(f"ip link del {BRIDGE}")
    sh("nft add table inet banger")
    error = rig.refused("conflict", None, "priv.ensure_bridge", bridge=BRIDGE, address=ADDRESS)
    assert "banger" in error.message and forwarding() == "0"
    sh("nft delete table inet banger")
    bridge(rig)
    sh(f"ip link del {BRIDGE} && ip link add {BRIDGE} type bridge")
    rig.refused("not_owned", "bridge", "priv.ensure_bridge", bridge=BRIDGE, address=ADDRESS)


def overlap_is_refused(rig):
    """A subnet that somebody's address or route overlaps is refused, and it is named"""
    sh("ip link add d0 type veth peer name d1 && ip link set d0 up && ip link set d1 up")
    for make, undo, name in (
            ("ip addr add 10.87.50.9/24 dev d0", "ip addr flush dev d0", "10.87.50.9/24 of d0"),
            ("ip addr add 10.87.0.9/16 dev d0", "ip addr flush dev d0", "10.87.0.9/16 of d0"),
            ("ip route add 10.87.56.0/24 dev d0", "ip route del 10.87.56.0/24",
             "route 10.87.56.0/24 of d0"),
            ("ip route add 10.0.0.0/8 dev d0", "ip route del 10.0.0.0/8", "route 10.0.0.0/8")):
        sh(make)
        error = rig.refused("conflict", "address", "priv.ensure_bridge", bridge=BRIDGE,
                            address=ADDRESS)
        assert name in error.message and "10.87.48.0/20" in error.message, error
        assert BRIDGE not in links() and rules(True) == "[]" and forwarding() == "0"
        sh(undo)
    sh("ip addr add 10.87.64.9/24 dev d0 && ip route add default dev d0")
    bridge(rig)


def taps_of_others_stay(rig):
    """A link that the helper did not make is never joined, bound or deleted, whatever its name (H23)"""
    bridge(rig)
    sh("ip link add bngr-x type veth peer name peer && ip tuntap add bngr-y mode tap")
    before = sh("ip -j link show bngr-x; ip -j link show bngr-y; ip -j link show peer")
    for name in ("bngr-x", "bngr-y"):
        for method, more in (("priv.create_tap", {"bridge": BRIDGE}), ("priv.delete_tap", {}),
                             ("priv.ensure_nat", {"guest_ip": "10.87.48.2", "enable": True}),
                             ("priv.ensure_nat", {"guest_ip": "10.87.48.2", "enable": False})):
            rig.refused("not_owned", "tap", method, tap=name, **more)
    assert before == sh("ip -j link show bngr-x; ip -j link show bngr-y; ip -j link show peer")
    tap(rig, "bngr-z", "10.87.48.2")
    sh("ip link del bngr-z && ip tuntap add bngr-z mode tap")  # the name is somebody else's now
    rig.refused("not_owned", "tap", "priv.delete_tap", tap="bngr-z")
    assert "bngr-z" in links()
    rig.restart()
    assert {"bngr-x", "bngr-y", "bngr-z"} < set(links())


def taps_are_made_once(rig):
    """A tap is persistent, root's, isolated; asked for again it is the same; deleted twice is fine"""
    rig.refused("not_found", "bridge", "priv.create_tap", tap="bngr-a", bridge=BRIDGE)
    bridge(rig)
    tap(rig, "bngr-a", "10.87.48.2")
    row = links()["bngr-a"]
    info = row["linkinfo"]
    assert info["info_kind"] == "tun" and info["info_data"]["persist"] is True
    assert not info["info_data"]["multi_queue"] and info["info_data"]["user"] in (0, "root")
    assert info["info_slave_data"]["isolated"] is True and "UP" in row["flags"]
    assert row["master"] == BRIDGE and "inet6" not in sh("ip addr show bngr-a")
    tap(rig, "bngr-a", "10.87.48.2")
    assert links()["bngr-a"]["ifindex"] == row["ifindex"]
    for _ in range(2):
        rig.ask("priv.delete_tap", tap="bngr-a")
        assert "bngr-a" not in links()
    assert element("bridge", "taps") == element("bridge", "own") == element("inet", "out") == "[]"
    rig.refused("not_found", "tap", "priv.ensure_nat", guest_ip="10.87.48.2", tap="bngr-a",
                enable=True)
    rig.ask("priv.ensure_nat", guest_ip="10.87.48.2", tap="bngr-a", enable=False)
    assert element("bridge", "own") == "[]"


def an_address_has_one_tap(rig):
    """The last word about an address or a tap counts; disabling leaves the address to the tap"""
    bridge(rig)
    tap(rig, "bngr-a", "10.87.48.2")
    tap(rig, "bngr-b", "10.87.48.2")
    own = lambda: [x["concat"] for x in json.loads(element("bridge", "own"))]
    assert own() == [["bngr-b", "10.87.48.2"]]
    rig.ask("priv.ensure_nat", guest_ip="10.87.48.3", tap="bngr-b", enable=True)
    assert own() == [["bngr-b", "10.87.48.3"]] and element("inet", "out") == '["10.87.48.3"]'
    rig.ask("priv.ensure_nat", guest_ip="10.87.48.2", tap="bngr-b", enable=False)  # stale
    assert own() == [["bngr-b", "10.87.48.3"]] and element("inet", "out") == '["10.87.48.3"]'
    rig.ask("priv.ensure_nat", guest_ip="10.87.48.3", tap="bngr-b", enable=False)
    assert own() == [["bngr-b", "10.87.48.3"]] and element("inet", "out") == "[]"
    before = own()
    rig.restart()
    assert own() == before and element("inet", "out") == "[]"


def forwarding_comes_back(rig):
    """What ip_forward was comes back with the last thing, whatever happened between; 1 stays 1"""
    for value in ("0", "1"):
        Path("/proc/sys/net/ipv4/ip_forward").write_text(value)
        bridge(rig)
        bridge(rig)
        rig.restart()
        tap(rig, "bngr-a", "10.87.48.2")
        assert forwarding() == "1"
        assert rig.teardown() == 0
        assert forwarding() == value and set(links()) == {"lo"} and rules(True) == "[]"
        assert rig.teardown() == 0  # there is nothing to do
        rig.start()


def another_subnet(rig):
    """A helper that was given another subnet moves the bridge there, and refuses the old one"""
    bridge(rig)
    rig.stop()
    rig.subnet = "10.99.0.0/24"
    rig.start()
    rig.refused("invalid_value", "address", "priv.ensure_bridge", bridge=BRIDGE, address=ADDRESS)
    bridge(rig, address="10.99.0.1/24")
    shown = sh(f"ip -4 addr show {BRIDGE}")
    assert "10.99.0.1/24" in shown and "10.87" not in shown
    rig.stop()
    for subnet in ("10.99.0.0/15", "10.99.0.0/31", "10.99.0.0", "x", "10.99.0.0/24/2"):
        rig.subnet = subnet
        assert subprocess.run([str(rigs.HELPER), *rig.flags()], capture_output=True, timeout=20,
                              check=False).returncode == 2
    rig.subnet = "10.99.0.0/24"
    assert rig.teardown() == 0


def hardware_addresses_are_kept(rig):
    """A guest that takes another's hardware address does not get that guest's frames"""
    bridge(rig)
    for n in (2, 3):
        tap(rig, f"bngr-{n}", f"10.87.48.{n}")
    one, two = Guest("bngr-2", "10.87.48.2"), Guest("bngr-3", "10.87.48.3")
    sh(f"ip neigh replace {two.ip} lladdr {two.mac.hex(':')} dev {BRIDGE}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as host:
        host.bind(("10.87.48.1", 0))
        for mac in (one.mac, two.mac):
            one.send("10.87.48.1", b"echo", mac=mac, protocol=ICMP)
            host.sendto(b"for two", (two.ip, 7))
            assert not any(b"echo" in x for x in two.frames(b"for two"))
    for guest in (one, two):
        guest.close()


def foreign_tables_are_untouched(rig):
    """Foreign nft tables are byte-identical before, between and after (H26)"""
    subprocess.run(["nft", "-f", "-"], input=FOREIGN, text=True, check=True)
    before = rules(False)
    bridge(rig)
    assert rules(False) == before
    tap(rig, "bngr-a", "10.87.48.2")
    rig.restart()
    rig.ask("priv.ensure_nat", guest_ip="10.87.48.2", tap="bngr-a", enable=False)
    rig.ask("priv.delete_tap", tap="bngr-a")
    assert rules(False) == before
    assert rig.teardown() == 0
    assert rules(False) == before and rules(True) == "[]"


def missing_rules_are_named(rig):
    """Where another firewall drops what it does not know, the missing rule is named (D1)"""
    sh("nft 'add table ip filter; add chain ip filter DOCKER-USER; "
       "add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }'")
    sh("nft 'add table inet wall; "
       "add chain inet wall onward { type filter hook forward priority 5; policy drop; }'")
    missing = bridge(rig)["missing"]
    assert len(missing) == 2, missing
    assert "iptables -I DOCKER-USER -i br-bngr -j ACCEPT" in missing[0]
    assert "nft insert rule inet wall onward iifname br-bngr accept" in missing[1]
    sh("nft insert rule inet wall onward iifname br-bngr accept")
    assert len(bridge(rig)["missing"]) == 1


def guests_reach_only_what_they_may(rig):
    """Real frames: NAT out, nothing forged, no other guest, no host, no metadata, none in"""
    up = Uplink()
    bridge(rig)
    for n in (2, 3):
        tap(rig, f"bngr-{n}", f"10.87.48.{n}")
    one, two = Guest("bngr-2", "10.87.48.2"), Guest("bngr-3", "10.87.48.3")
    one.send(BEYOND, b"first")
    assert source_of(up.frames(b"first")[-1]) == UPLINK_IP
    bad = {"another guest's address": {"src": "10.87.48.3"}, "the bridge's": {"src": "10.87.48.1"},
           "nobody's": {"src": "10.87.48.99"}, "a foreign one": {"src": "192.0.2.1"}}
    for how in bad.values():
        one.send(BEYOND, b"forged", **how)
    one.send("169.254.169.254", b"forged")
    one.send("10.87.48.3", b"forged")  # by the gateway
    one.send("10.87.48.3", b"forged", to=two.mac)  # by the bridge
    one.send("10.87.48.3", b"forged", to=b"\xff" * 6)
    one.send_raw(arp(2, one.mac, "10.87.48.1", "10.87.48.3", to=two.mac, target=two.mac))
    one.send_raw(frame(b"\x33\x33\0\0\0\1", one.mac, 0x86dd, b"\x60" + b"forged" * 10))
    one.send(BEYOND, b"second")
    seen = up.frames(b"second")
    assert not any(b"forged" in x for x in seen), seen
    two.send(BEYOND, b"third")
    up.frames(b"third")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as host:
        host.sendto(b"for three", (two.ip, 7))
    seen = two.frames(b"\x08\x06")  # the host's question who has it
    assert not any(b"forged" in x or one.mac in x for x in seen), seen
    for guest in (one, two):
        guest.close()
    up.close()


def neither_host_nor_outside(rig):
    """A guest gets ping and answers of the host and no more; the outside cannot begin with a guest"""
    up = Uplink()
    bridge(rig)
    tap(rig, "bngr-2", "10.87.48.2")
    guest = Guest("bngr-2", "10.87.48.2")
    listener = subprocess.Popen([sys.executable, "-c", LISTEN], stdout=subprocess.PIPE, text=True)
    assert listener.stdout.readline() == "ready\n"
    for target in ("10.87.48.1", UPLINK_IP):
        guest.send(target, b"forged", port=5353)
    guest.send("10.87.48.1", b"echo", protocol=ICMP)
    guest.send_raw(arp(2, guest.mac, guest.ip, "10.87.48.1", to=guest.gateway,
                       target=guest.gateway))
    guest.frames(b"echo")  # the host's answer
    up.send(BEYOND, guest.ip, b"forged")
    up.send("198.51.100.254", UPLINK_IP, b"mine", port=5353)
    got = listener.communicate(timeout=20)[0]
    assert got == "mine\n", got
    guest.send(BEYOND, b"out")
    up.frames(b"out")
    rig.ask("priv.ensure_nat", guest_ip=guest.ip, tap=guest.tap, enable=False)
    guest.send(BEYOND, b"forged")
    guest.send("10.87.48.1", b"again", protocol=ICMP)
    assert not any(b"forged" in x for x in guest.frames(b"again"))
    rig.ask("priv.ensure_nat", guest_ip=guest.ip, tap=guest.tap, enable=True)
    guest.send(BEYOND, b"last")
    assert not any(b"forged" in x for x in up.frames(b"last"))
    guest.close()
    up.close()


LISTEN = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 5353))
print("ready", flush=True)
print(s.recv(100).decode())
"""


def many(rig, client, requests):
    """Sends all at once; the time until the last answer."""
    begun = time.monotonic()
    for method, params in requests:
        client.begin(method, **params)
    errors = [e for e in (client.receive()[2] for _ in requests) if e]
    return time.monotonic() - begun, errors


def batches(requests, size=250):
    return [requests[i:i + size] for i in range(0, len(requests), size)]


def a_thousand_taps(rig):
    """A thousand taps, and one more is refused with the number; the times are printed (D1, H29)"""
    bridge(rig)
    client = rig.client()
    client.ask("priv.ping")
    names = [f"bngr-{i}" for i in range(1000)]
    spent = {"create": 0, "bind": 0, "delete": 0}
    for part in batches(names):
        took, errors = many(rig, client, [("priv.create_tap", {"tap": t, "bridge": BRIDGE})
                                          for t in part])
        assert not errors, errors[0]
        spent["create"] += took
    error = rig.refused("busy", None, "priv.create_tap", tap="bngr-more", bridge=BRIDGE)
    assert "1000" in error.message
    for part in batches(list(enumerate(names))):
        took, errors = many(rig, client, [
            ("priv.ensure_nat", {"guest_ip": f"10.87.{49 + i // 250}.{1 + i % 250}", "tap": t,
                                 "enable": True}) for i, t in part])
        assert not errors, errors[0]
        spent["bind"] += took
    begun = time.monotonic()
    assert len([x for x in links() if x.startswith("bngr-")]) == 1000
    spent["list"] = time.monotonic() - begun
    rss, begun = rig.rss(), time.monotonic()
    rig.restart()
    spent["restart"] = time.monotonic() - begun
    client, other = rig.client(), rig.client()
    worst = 0
    for part in batches(names):
        begun = time.monotonic()
        for name in part:
            client.begin("priv.delete_tap", tap=name)
        for _ in part:
            at = time.monotonic()
            other.ask("priv.ping")
            worst = max(worst, time.monotonic() - at)
            error = client.receive()[2]
            assert error is None, error
        spent["delete"] += time.monotonic() - begun
    assert not [x for x in links() if x.startswith("bngr-")]
    assert element("bridge", "taps") == "[]"
    print("# 1,000 taps: " + ", ".join(f"{k} {v * 1000:.0f} ms" for k, v in spent.items()) +
          f"; worst ping meanwhile {worst * 1000:.0f} ms; {rss // 1024} KiB anonymous")


def deletion_does_not_block(rig):
    """While a hundred taps are deleted the helper answers others at once"""
    bridge(rig)
    client, other = rig.client(), rig.client()
    names = [f"bngr-{i}" for i in range(100)]
    assert not many(rig, client, [("priv.create_tap", {"tap": t, "bridge": BRIDGE})
                                  for t in names])[1]
    begun = time.monotonic()
    for name in names:
        client.begin("priv.delete_tap", tap=name)
    worst = 0
    for name in names:
        at = time.monotonic()
        other.ask("priv.ping")
        worst = max(worst, time.monotonic() - at)
        assert client.receive()[2] is None
    print(f"# 100 deletions: {(time.monotonic() - begun) * 1000:.0f} ms; "
          f"worst ping meanwhile {worst * 1000:.1f} ms")
    assert not [x for x in links() if x.startswith("bngr-")]
    assert msgpack


def netlink_ports(pid):
    """Protocol and port of each netlink socket of a process."""
    inodes = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # it was closed meanwhile
            inodes.add(os.readlink(fd).removeprefix("socket:[")[:-1])
    rows = [r.split() for r in Path("/proc/net/netlink").read_text().splitlines()[1:]]
    return [(int(r[1]), int(r[2])) for r in rows if r[9] in inodes]


def forge(pid, sent):
    """Sends the helper's netlink sockets what only the kernel should: errors, ends, links, garbage."""
    socks = {}
    while True:
        for protocol, port in netlink_ports(pid):
            sock = socks.setdefault(protocol, socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol))
            for seq in (0, 1, int(time.time()), int(time.time()) + 1):
                for message in (struct.pack("=IHHIIiIHHII", 36, 2, 0, seq, port, -1, 20, 16, 0, seq, 0),
                                struct.pack("=IHHII", 16, 3, 0, seq, port),
                                struct.pack("=IHHIIi", 20, 2, 0, seq, port, 0),
                                struct.pack("=IHHIIBxHiII", 0xfffffff0, 16, 2, seq, port, 0, 1, 1, 1, 0),
                                bytes(7), bytes(40000)):
                    with contextlib.suppress(OSError):
                        sock.sendto(message, socket.MSG_DONTWAIT, (port, 0))
                    sent.seek(0)
                    sent.write_byte(1)


@contextlib.contextmanager
def forger(pid):
    sent = mmap.mmap(-1, 4096)
    child = os.fork()
    if child == 0:
        try:
            forge(pid, sent)
        finally:
            os._exit(1)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL and sent[0] == 1, "nothing was forged"


def forged_netlink_is_ignored(rig):
    """Netlink messages that the kernel did not send change nothing (H28)"""
    bridge(rig)
    with forger(rig.child.pid):
        for i in range(30):
            tap(rig, f"bngr-f{i}", f"10.87.48.{i + 2}")
            assert links()[f"bngr-f{i}"]["master"] == BRIDGE
        for i in range(30):
            rig.ask("priv.delete_tap", tap=f"bngr-f{i}")
        bridge(rig)
    assert not [x for x in links() if x.startswith("bngr-f")]
    assert "bngr-f" not in rules(True)


rigs.main([wrong_names_are_refused, wrong_addresses_are_refused, bridge_is_made_and_mended,
           rules_are_mended, foreign_bridge_is_refused, overlap_is_refused, taps_of_others_stay,
           taps_are_made_once, an_address_has_one_tap, forwarding_comes_back, another_subnet,
           hardware_addresses_are_kept, foreign_tables_are_untouched,
           missing_rules_are_named, forged_netlink_is_ignored, guests_reach_only_what_they_may, neither_host_nor_outside,
           deletion_does_not_block, a_thousand_taps])
