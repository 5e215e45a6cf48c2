"""The host itself: what the other shards stand on is there."""
import os

import host


def systemd():
    """systemd runs as process 1, resolved and D-Bus serve"""
    assert os.path.isdir("/run/systemd/system")
    host.ok("systemctl", "is-active", "dbus.socket", "systemd-resolved.service")


def modules():
    """device-mapper, loop, tun, bridge, nftables, vsock and KVM load"""
    for module in ("dm_mod", "dm_snapshot", "loop", "tun", "bridge", "nf_tables", "vhost_vsock",
                   "kvm_amd"):
        host.ok("modprobe", module)
    for device in ("/dev/kvm", "/dev/mapper/control", "/dev/net/tun", "/dev/vhost-vsock"):
        assert os.path.exists(device), device


def users():
    """dev is a user who may use sudo"""
    assert host.dev("sudo", "-n", "id", "-u").strip() == "0"


STEPS = (systemd, modules, users)
