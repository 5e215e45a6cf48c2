"""Frames for the tests of the helper's network: a guest behind a tap, and a way out that is watched.

Both ends of a tap are here: what a guest would send is written to the tap's descriptor, and what
leaves the host is read from the descriptor of another tap that plays the uplink.
"""
import fcntl
import json
import os
import select
import socket
import struct
import subprocess
import time

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454ca, 0x0002, 0x1000
UPLINK, UPLINK_IP, BEYOND = "up0", "198.51.100.1", "203.0.113.5"
IPV4, ARP = 0x0800, 0x0806
ICMP, UDP = 1, 17


def sh(command):
    """A command of the test's own; its output."""
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def open_tap(name):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return fd


def mac_of(link):
    row = json.loads(sh(f"ip -j link show dev {link}"))[0]  # /sys is another namespace's
    return bytes.fromhex(row["address"].replace(":", ""))


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def packet(src, dst, payload, protocol=UDP, port=9):
    """An IPv4 packet: UDP to a port, or an ICMP echo request."""
    if protocol == UDP:
        body = struct.pack("!4H", 4000, port, 8 + len(payload), 0) + payload
    else:
        body = struct.pack("!BBHHH", 8, 0, 0, 7, 1) + payload
        body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 1, 0, 64, protocol, 0,
                       socket.inet_aton(src), socket.inet_aton(dst))
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def frame(to, source, kind, payload):
    return to + source + struct.pack("!H", kind) + payload


def arp(op, source, ip, target_ip, to=b"\xff" * 6, target=bytes(6)):
    return frame(to, source, ARP, struct.pack("!HHBBH6s4s6s4s", 1, IPV4, 6, 4, op, source,
                                              socket.inet_aton(ip), target,
                                              socket.inet_aton(target_ip)))


class Guest:
    """Who sits at a tap with an address."""

    def __init__(self, tap, ip, bridge="br-bngr"):
        self.tap, self.ip, self.bridge = tap, ip, bridge
        self.mac = b"\x02\x62" + socket.inet_aton(ip)
        self.fd = open_tap(tap)
        self.gateway = mac_of(bridge)
        settle(tap)

    def send(self, dst, payload, src=None, to=None, mac=None, **how):
        os.write(self.fd, frame(to or self.gateway, mac or self.mac, IPV4,
                                packet(src or self.ip, dst, payload, **how)))

    def send_raw(self, data):
        os.write(self.fd, data)

    def frames(self, until, seconds=10):
        return read_frames(self.fd, until, seconds)

    def close(self):
        os.close(self.fd)


def settle(link, seconds=10):
    """Waits until the link has its carrier, and a bridge lets it pass."""
    end = time.monotonic() + seconds
    while "LOWER_UP" not in sh(f"ip link show dev {link}"):
        assert time.monotonic() < end, f"{link} stays down"
        time.sleep(0.01)


def read_frames(fd, until, seconds=10):
    """All frames up to the one in which `until` stands, that one included; else an assertion."""
    seen, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        if not select.select([fd], [], [], 0.2)[0]:
            continue
        try:
            seen.append(os.read(fd, 65536))
        except BlockingIOError:
            continue
        if until in seen[-1]:
            return seen
    raise AssertionError(f"{until} did not come; {len(seen)} other frames did")


class Uplink:
    """The host's way out: a default route to nowhere, whose frames are read here."""

    def __init__(self):
        self.fd = open_tap(UPLINK)
        sh(f"ip addr add {UPLINK_IP}/24 dev {UPLINK} && ip link set {UPLINK} up && "
           f"ip neigh add 198.51.100.254 lladdr 02:00:00:00:00:fe dev {UPLINK} && "
           f"ip route add default via 198.51.100.254")
        settle(UPLINK)

    def frames(self, until, seconds=10):
        return read_frames(self.fd, until, seconds)

    def send(self, src, dst, payload, **how):
        os.write(self.fd, frame(mac_of(UPLINK), bytes.fromhex("0200000000fe"), IPV4,
                                packet(src, dst, payload, **how)))

    def close(self):
        os.close(self.fd)


def source_of(data):
    return socket.inet_ntoa(data[26:30])
