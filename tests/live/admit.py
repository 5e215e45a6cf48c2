#!/usr/bin/env python3
"""Admission and preflight: what the host cannot carry is refused with the numbers."""
import re
import socket
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


def all_at_once(house):
    """preflight: everything that is wrong with a request, and nothing made"""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        house.create("there", "--no-start", "-p", f"{port}:80")
        words = ("vm", "create", "--name", "there", "--image", "nosuch", "--kernel", "neither",
                 "--driver", "firecracker", "--layer", "dm", "--memory", "900G", "--disk", "60T",
                 "-p", f"{port}:80")
        error = house.fails(*words)
        fields = [p.get("field") for p in error["problems"]]
        codes = {p["code"] for p in error["problems"]}
        assert {"name", "net", "layer", "memory", "disk", "publish"} <= set(fields), error
        assert {"exists", "not_found", "conflict", "no_memory", "no_space"} <= codes, error
        texts = " ".join(p["message"] for p in error["problems"])
        assert "nosuch" in texts and "neither" in texts and "there" in texts, texts
        assert error["code"] == "exists" and error["message"] == error["problems"][0]["message"]
        assert all(p["message"] for p in error["problems"])
        done = house.run(*words)
        assert done.code == 1 and done.err.count(b"banger: ") == len(error["problems"]), done.err
        assert list(house.vms()) == ["there"]
        assert [p.name for p in (house.state / "vm").iterdir()] == [house.vm("there")["id"]]
        assert house.fails("vm", "start", "there")["code"] == "conflict"


if __name__ == "__main__":
    live.main([admission, all_at_once])
