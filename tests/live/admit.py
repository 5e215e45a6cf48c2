#!/usr/bin/env python3
"""Admission and preflight: what the host cannot carry is refused with the numbers."""
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import live  # noqa: E402

MIB = 2**20


def available():
    return int(re.search(r"MemAvailable:\s*(\d+)", Path("/proc/meminfo").read_text())[1]) * 1024


def admission(house):
    """memory and disk that are not there; what is promised to others that boot; --force"""
    error = house.fails("vm", "create", "--image", "debian", "--memory", "900G")
    assert (error["code"], error["field"]) == ("no_memory", "memory"), error
    assert "900 GiB" in error["message"] and "--force" in error["hint"], error
    error = house.fails("vm", "create", "--image", "debian", "--disk", "60T")
    assert (error["code"], error["field"]) == ("no_space", "disk"), error
    assert "60.0 TiB" in error["message"] and "free" in error["message"], error
    assert house.vms() == {}
    house.create("big", "--disk", "60T", "--no-start", "--force")
    most = f"{int(available() * 0.6) // MIB}M"
    house.ok("vm", "create", "-d", "--name", "one", "--image", "debian", "--memory", most)
    error = house.fails("vm", "create", "--name", "two", "--image", "debian", "--memory", most)
    assert error["code"] == "no_memory" and "booting" in error["message"], error
    house.ok("vm", "delete", "one")
    assert sorted(house.vms()) == ["big"]
    house.create("two", "--memory", "300M")
    assert house.sh("two", "echo works") == "works\n"


if __name__ == "__main__":
    live.main([admission])
