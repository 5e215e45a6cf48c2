#!/usr/bin/env python3
"""Names: NAME.vm leads to a machine from its last step of start to its end, whatever ends it."""
import random
import socket
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "lib"), str(HERE.parent / "dns/lib")]
import live  # noqa: E402
import names  # noqa: E402
from names import Answer, over_tcp, over_udp, query  # noqa: E402

GARBAGE = 20000


def on_port(house, port=None):
    """The house's daemon shall answer there; before its first command."""
    house.port = port or names.free_port()
    (house.dir / "c/config.yaml").write_text(f"dns_listen: 127.0.0.1:{house.port}\n")


def address_of(house, name):
    """What the name leads to; None when it leads nowhere."""
    said = [Answer(ask(house.port, query(f"{name}.vm"))) for ask in (over_udp, over_tcp)]
    assert said[0].as_dict() == said[1].as_dict(), "UDP and TCP differ"
    assert said[0].rcode in (names.NOERROR, names.NXDOMAIN), vars(said[0])
    assert (said[0].rcode == names.NOERROR) == bool(said[0].sections[0])
    return socket.inet_ntoa(said[0].sections[0][0][4]) if said[0].sections[0] else None


def name_at(house, address):
    reverse = ".".join(reversed(address.split("."))) + ".in-addr.arpa"
    records = Answer(over_udp(house.port, query(reverse, "PTR"))).sections[0]
    return records[0][4] if records else None


def shown(house, name):
    return house.json("vm", "show", name)["host_address"]


def from_start_to_end(house):
    """a name lives as its machine does: created, stopped, started, deleted"""
    on_port(house)
    house.create("m")
    address = address_of(house, "m")
    assert address.startswith("127.") and address == shown(house, "m"), address
    assert name_at(house, address) == "m.vm."
    empty = Answer(over_udp(house.port, query("m.vm", "AAAA")))
    assert empty.rcode == 0 and not empty.sections[0] and empty.sections[1], vars(empty)
    assert "m.vm" in house.ok("vm", "show", "m").decode()
    house.create("n")
    assert shown(house, "n") != address
    assert address_of(house, "n") == shown(house, "n")
    status = house.json("daemon", "status")
    assert status["dns"]["records"] == 2 and status["dns"]["queries"] == 6, status["dns"]
    house.ok("vm", "stop", "m", "--timeout", "0")
    assert address_of(house, "m") is None and name_at(house, address) is None
    assert shown(house, "m") == address
    house.ok("vm", "start", "m")
    assert address_of(house, "m") == address, "its address is another one now"
    house.ok("vm", "delete", "m")
    assert address_of(house, "m") is None and name_at(house, address) is None
    assert address_of(house, "n")
    assert house.json("daemon", "status")["dns"]["records"] == 1


def vmm_dies(house):
    """a name ends with the machine's process, and outlives the daemon's own death"""
    on_port(house)
    house.create("m")
    address, pid = address_of(house, "m"), house.vm("m")["pid"]
    house.kill_daemon()
    events = house.events()  # another daemon: the machine is taken back, and so is its name
    assert house.vm("m")["pid"] == pid
    assert address_of(house, "m") == address, "its name was not rebuilt"
    live.end_process(pid)
    events.await_event(kind="vm.stopped", name="m")
    assert address_of(house, "m") is None
    assert house.vm("m")["reason"] == "vmm_died"


def taken_port(house):
    """a taken port is a warning, machines work all the same, and it is served when it is free"""
    with socket.socket(type=socket.SOCK_DGRAM) as thief:
        thief.bind(("127.0.0.1", 0))
        on_port(house, thief.getsockname()[1])
        house.create("m")
        status = house.json("daemon", "status")
        assert not status["dns"]["up"] and "in use" in status["dns"]["why"], status["dns"]
        assert any(str(house.port) in w for w in status["warnings"]), status["warnings"]
        assert status["dns"]["records"] == 1
        dns = [x for x in house.json("ping")["listeners"] if x["name"] == "dns"]
        assert dns == [{"name": "dns", "address": f"127.0.0.1:{house.port}", "up": False}], dns
        assert b"warning" in house.ok("daemon", "status")
        assert house.sh("m", "echo works") == "works\n"
    until_up(house)
    assert address_of(house, "m") == shown(house, "m")
    assert house.json("daemon", "status")["warnings"] == []


def until_up(house):
    """It is tried again by itself; the first answer tells."""
    deadline = names.time.monotonic() + live.PATIENCE
    while names.time.monotonic() < deadline:
        with socket.socket(type=socket.SOCK_DGRAM) as s:
            s.connect(("127.0.0.1", house.port))
            s.settimeout(0.5)
            try:
                s.send(query("vm", "SOA"))
                s.recv(2048)
                return
            except ConnectionRefusedError:
                names.select.select([], [], [], 0.2)
            except TimeoutError:
                pass
    raise live.Late("the port was never served")


def wrong_config(house):
    """a port that is none, and an address that is not the loopback's, are refused by name"""
    for value in ("127.0.0.1:0", "127.0.0.1:65536", "0.0.0.0:53", "10.0.0.1:53", "localhost:53"):
        (house.dir / "c/config.yaml").write_text(f"dns_listen: {value}\n")
        error = house.fails("config", "show")
        assert "dns_listen" in error["message"] + error.get("field", ""), error
    (house.dir / "c/config.yaml").write_text("")


def garbage(house):
    """20,000 mutated datagrams to the daemon itself: it answers, and keeps nothing of them"""
    on_port(house)
    house.ok("daemon", "start")
    pid, dice, seeds = house.daemon(), random.Random(4), [
        query("m.vm", edns=1232), query("vm", "SOA"), query("1.0.64.127.in-addr.arpa", "PTR")]
    with socket.socket(type=socket.SOCK_DGRAM) as s:
        s.connect(("127.0.0.1", house.port))
        for i in range(GARBAGE):
            data = bytearray(seeds[i % 3])
            data[dice.randrange(len(data))] = dice.randrange(256)
            s.send(bytes(data[:dice.randint(0, len(data))] if i % 5 == 0 else data))
            if i == GARBAGE // 4:
                before = live.memory(pid, "RssAnon")
            while names.select.select([s], [], [], 0)[0]:
                s.recv(2048)
    assert address_of(house, "m") is None
    assert house.daemon() == pid
    grown = live.memory(pid, "RssAnon") - before
    assert grown < 256 << 10, f"{grown} bytes more"


live.main([from_start_to_end, vmm_dies, taken_port, wrong_config, garbage])
