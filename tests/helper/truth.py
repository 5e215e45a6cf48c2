#!/usr/bin/env python3
"""What the helper tells of its things, and rules that somebody else takes away while it runs."""
import json
import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import rig as rigs  # noqa: E402  pylint: disable=wrong-import-position
from house import await_that, housed, nothing_left, taps  # noqa: E402  pylint: disable=wrong-import-position
from wire import sh  # noqa: E402  pylint: disable=wrong-import-position

BRIDGE, ADDRESS = "br-bngr", "10.87.48.1/20"


def things(rig, **which):
    listed = rig.ask("priv.list_things", **which)
    return {(t["entry"]["kind"], t["entry"]["name"]): t["there"] for t in listed["things"]}, listed


def made(rig, *ids):
    rig.ask("priv.ensure_bridge", bridge=BRIDGE, address=ADDRESS)
    for i, vm in enumerate(ids):
        rig.ask("priv.create_tap", tap=f"bngr-{vm}", bridge=BRIDGE)
        rig.ask("priv.ensure_nat", guest_ip=f"10.87.{48 + i // 250}.{2 + i % 250}", tap=f"bngr-{vm}",
                enable=True)


def listed(rig):
    """things are told as they are: all, of a machine, and those that somebody took away"""
    made(rig, "aa", "ab")
    told, _ = things(rig)
    assert told[("bridge", BRIDGE)] and told[("tap", "bngr-aa")] and told[("nat", "10.87.48.3")], told
    told, _ = things(rig, vm="ab")
    assert set(told) == {("tap", "bngr-ab"), ("nat", "10.87.48.3")} and all(told.values()), told
    sh("ip link del bngr-ab")
    told, _ = things(rig, vm="ab")
    assert told[("tap", "bngr-ab")] is False, told
    assert things(rig, vm="zz")[0] == {}
    error = None
    try:
        rig.ask("priv.list_things", after="x")
    except rigs.Refused as refused:
        error = refused
    assert error and error.code == "invalid_value" and error.field == "after", error


def pages(rig):
    """more things than an answer holds come by pages, each once"""
    names = [f"p{i:03}" for i in range(150)]
    made(rig, *names)
    _, first = things(rig, kind="tap")
    assert len(first["things"]) == 128 and first["more"], first["more"]
    last = first["things"][-1]["entry"]["name"]
    _, rest = things(rig, kind="tap", after=last)
    seen = [t["entry"]["name"] for t in first["things"] + rest["things"]]
    assert seen == [f"bngr-{n}" for n in names] and not rest["more"], (len(seen), rest["more"])


def ruleset():
    """The rows of banger's tables, without handles and counters."""
    rows = json.loads(sh("nft -j list ruleset"))["nftables"][1:]

    def plain(x):
        if isinstance(x, dict):
            return {k: plain(v) for k, v in x.items() if k not in ("handle", "packets", "bytes")}
        return [plain(y) for y in x] if isinstance(x, list) else x
    return sorted(json.dumps(plain(r), sort_keys=True) for r in rows
                  for v in r.values() if "banger" in (v.get("table"), v.get("name")))


def flushed(rig):
    """nft flush ruleset, a table deleted, a rule flushed: back within a moment, nobody asked"""
    made(rig, "aa", "ab")
    before = ruleset()
    assert before
    for command in ("nft flush ruleset", "nft delete table inet banger",
                    "nft delete table bridge banger", "nft flush table inet banger",
                    "nft flush set bridge banger own", "nft add table inet other"):
        sh(command)
        await_that(f"rules stay away after {command}: {ruleset()}", lambda: ruleset() == before)
    assert "table inet other" in sh("nft list ruleset"), "somebody else's table went"


def quiet(rig):
    """the helper's own changes, and those of other tables, wake nobody: no mending of its own"""
    made(rig, "aa")
    sh("nft add table inet other; nft add chain inet other c; nft delete table inet other")
    for i in range(20):
        rig.ask("priv.ensure_nat", guest_ip="10.87.48.2", tap="bngr-aa", enable=i % 2 == 0)
    generation = sh("nft -j list ruleset")
    end = time.monotonic() + 1.5  # longer than the rest before a mending
    while time.monotonic() < end:
        time.sleep(0.1)
        assert sh("nft -j list ruleset") == generation, "rules change by themselves"


@housed
def explained(house):
    """doctor --explain in system mode: the daemon's things and the helper's, there and gone"""
    house.ok("vm", "create", "--name", "m", timeout=120)
    vm = house.show("m")["vm"]

    def told():
        rows = json.loads(house.ok("doctor", "--explain", "m", "--json"))["resources"]
        return {(r["kind"], r["name"]): r for r in rows}
    rows = told()
    tap, address = f"bngr-{vm['id']}", house.show("m")["host_address"]
    for kind, name in (("tap", tap), ("nat", address), ("vmm", vm["id"]), ("process", str(vm["pid"])),
                       ("name", "m.vm"), ("address", address)):
        assert rows[(kind, name)]["there"], (kind, name, sorted(rows))
    jail = next(r for (kind, _), r in rows.items() if kind == "jail")
    uid = os.stat(f"/proc/{vm['pid']}").st_uid
    assert jail["there"] and f"uid {uid}" in jail["detail"], jail
    assert rows[("vmm", vm["id"])]["maker"] == "banger-helper"
    house.ok("vm", "stop", "m", timeout=60)
    rows = told()
    assert ("vmm", vm["id"]) not in rows and not any(k == "jail" for k, _ in rows), sorted(rows)
    assert rows[("tap", tap)]["there"], "its tap stays as long as it does"


@housed
def helper_returns(house):
    """the helper is away while rules and a tap are taken: they are back soon after it is"""
    house.ok("vm", "create", "--name", "m", timeout=120)
    pid, before = house.show("m")["vm"]["pid"], ruleset()
    house.rig.child.send_signal(signal.SIGKILL)
    house.rig.child.wait()
    sh("nft flush ruleset")
    sh(f"ip link del bngr-{house.show('m')['vm']['id']}")
    away = "no network"  # the daemon has tried, and nobody was there
    await_that("the daemon did not try", lambda: away in house.log.read_text())
    house.rig.start()
    await_that("the tap is not back", lambda: len(taps()) == 1)
    await_that("rules are not back", lambda: ruleset() == before)
    assert house.show("m")["vm"]["pid"] == pid
    assert house.inside("m", "echo works") == "works\n"


@housed
def orphan(house):
    """a VMM that the helper launched and no record names: ended, its jail, tap and files removed"""
    store = house.rig.state / "store.mdb"
    house.daemon.send_signal(signal.SIGTERM)
    house.daemon.wait()
    kept = store.read_bytes()
    house.start()
    house.ok("vm", "create", "--name", "m", timeout=120)
    pid = house.show("m")["vm"]["pid"]
    house.kill()
    store.write_bytes(kept)
    house.start()
    assert house.vms() == {}
    await_that("the VMM stays", lambda: not Path(f"/proc/{pid}").exists())
    nothing_left(house)


rigs.main([listed, pages, flushed, quiet, explained, helper_returns, orphan])
