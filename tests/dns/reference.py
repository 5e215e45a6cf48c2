#!/usr/bin/env python3
"""The responder answers as a reference server does: 1,000 mixed queries, beside NSD."""
import random
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import names  # noqa: E402
from names import Answer, Namesd, Nsd, query  # noqa: E402

QUERIES = 1000
SUBNET = "172.30.0.0/20"
SUBNET_ZONES = [f"{i}.30.172.in-addr.arpa" for i in range(16)]
HERE = {f"calm-{i}": f"127.{64 + i % 3}.{i % 5}.{i + 1}" for i in range(40)}
THERE = {f"leased-{i}": f"172.30.{i % 16}.{i + 2}" for i in range(20)}


def reverse(address):
    return ".".join(reversed(address.split("."))) + ".in-addr.arpa"


def some_name(dice):
    """A name of every sort: there, absent, above, below, and in nobody's zone."""
    known, address = dice.choice([*HERE.items(), *THERE.items()])
    label = "".join(dice.choice("abcxyz019-_") for _ in range(dice.randint(1, 63)))
    return dice.choice((
        f"{known}.vm", f"{known}.vm", f"{known}.vm", reverse(address), reverse(address),
        f"{label}.vm", f"{label}.{known}.vm", f"{known}x.vm", "vm", f"{label}.{label}.vm",
        ".".join(reverse(address).split(".")[1:]), ".".join(reverse(address).split(".")[2:]),
        f"{label}.{reverse(address)}", reverse(f"127.{dice.randint(0, 255)}.0.1"),
        f"0{reverse(address)}", f"x.{dice.choice(SUBNET_ZONES)}", dice.choice(SUBNET_ZONES),
        "127.in-addr.arpa", "in-addr.arpa", "arpa", "16.30.172.in-addr.arpa",
        "1.2.0.10.in-addr.arpa", "example.org", f"{known}.vm.example.org", "vmm", "."))


def some_case(dice, text):
    return "".join(c.upper() if dice.random() < 0.3 else c for c in text)


def some_query(dice, ident):
    kind = dice.choice(["A"] * 8 + ["AAAA", "PTR", "PTR", "NS", "SOA", "MX", "TXT", "CNAME", "SRV",
                                    "HTTPS", "odd", "ANY", "ANY", "OPT"])
    name = some_name(dice)
    flags = dice.choice((0x0100, 0x0100, 0x0000))
    edns = dice.choice((None, None, 512, 1232, 4096, 0, 65535))
    version = edns is not None and dice.random() < 0.05
    if dice.random() < 0.02:
        flags |= dice.choice((1, 2, 6, 9)) << 11  # of these opcodes both know nothing
    elif not version:
        flags |= dice.choice((0, 0, 0x0010, 0x0020, 0x0630, 0x0080))  # mean nothing in a query
    qclass = dice.choice([1] * 20 + [3, 4])
    return qclass, query(some_case(dice, name), kind, qclass, ident, flags, edns,
                         version=version,
                         do=edns is not None and dice.random() < 0.3,
                         options=dice.choice((b"", b"", b"\0\x0c\0\x04\0\0\0\0")))


def comparable(data, qclass):
    if data is None:
        return None
    said = Answer(data).as_dict()
    if said["rcode"] in (names.NOTIMP, names.BADVERS) or qclass != 1:
        # whether the question of a query that is not understood comes back is each one's choice
        said["question"] = None
    return said


def same_as_reference():
    """1,000 mixed queries get the same rcode, flags, answer and authority as from NSD"""
    ours = Namesd()
    try:
        assert ours.first == "up", ours.first
        ours.publish(HERE)
        ours.publish(THERE, SUBNET)
        soa = Answer(names.over_udp(ours.port, query("vm", "SOA"))).sections[0][0]
        theirs = Nsd({**HERE, **THERE}, soa[4][2], SUBNET_ZONES)
        try:
            compare(ours, theirs)
        finally:
            theirs.close()
    finally:
        ours.close()


def compare(ours, theirs):
    dice, different, rcodes = random.Random(9267), [], {}
    for ident in range(QUERIES):
        qclass, data = some_query(dice, ident)
        ask = names.over_tcp if dice.random() < 0.1 else names.over_udp
        mine, other = (comparable(ask(s.port, data), qclass) for s in (ours, theirs))
        rcodes[mine["rcode"]] = rcodes.get(mine["rcode"], 0) + 1
        if mine != other:
            different.append(f"{data.hex()}\n  ours   {mine}\n  theirs {other}")
    assert not different, f"{len(different)} of {QUERIES} differ:\n" + "\n".join(different[:12])
    wanted = (names.NOERROR, names.NXDOMAIN, names.NOTIMP, names.REFUSED, names.BADVERS)
    assert all(rcodes.get(r, 0) >= 5 for r in wanted), f"too few of a kind: {rcodes}"


ALPHA = names.name_of("alpha.vm") + b"\0\1\0\1"
OPT = b"\0\0\x29\x10\0\0\0\0\0\0\0"
MALFORMED = {
    "no question": ((0, 0, 0, 0), b""),
    "an answer": ((1, 1, 0, 0), ALPHA + b"\0\0\1\0\1\0\0\0\0\0\4abcd"),
    "an authority": ((1, 0, 1, 0), ALPHA + b"\0\0\1\0\1\0\0\0\0\0\4abcd"),
    "a record that is not there": ((1, 0, 0, 1), ALPHA),
    "two OPTs": ((1, 0, 0, 2), ALPHA + OPT + OPT),
    "an OPT of a name": ((1, 0, 0, 1), ALPHA + b"\1a" + OPT),
    "an option that is cut": ((1, 0, 0, 1), ALPHA + OPT[:-1] + b"\6\0\x0a\0\x08zz"),
    "a pointer to itself": ((1, 0, 0, 0), b"\xc0\x0c\0\1\0\1"),
    "a pointer past the end": ((1, 0, 0, 0), b"\xff\xff\0\1\0\1"),
    "a label of 64": ((1, 0, 0, 0), b"\x40" + b"a" * 64 + b"\0\0\1\0\1"),
    "a name of 256": ((1, 0, 0, 0), (b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1"),
}


def malformed_as_reference():
    """malformed queries, and one cut at each byte, get what NSD gives: FORMERR, or nothing"""
    rows = {what: struct.pack(">HHHHHH", 7, 0x0100, *counts) + data
            for what, (counts, data) in MALFORMED.items()}
    whole = query("alpha.vm", edns=1232, options=b"\0\x0c\0\x04\0\0\0\0")
    rows.update({f"{n} bytes of {len(whole)}": whole[:n] for n in range(len(whole) + 1)})
    ours = Namesd()
    try:
        ours.publish({"alpha": "127.104.1.2"})
        theirs = Nsd({"alpha": "127.104.1.2"}, 2)
        try:
            for what, data in rows.items():
                mine, other = (comparable(names.over_udp(s.port, data, 0.2), 1)
                               for s in (ours, theirs))
                assert mine == other, f"{what}:\n  ours   {mine}\n  theirs {other}"
        finally:
            theirs.close()
    finally:
        ours.close()


names.main([same_as_reference, malformed_as_reference])
