#!/usr/bin/env python3
"""`banger bench`: real boots and stub machines, its reports, what a leak looks like, Ctrl-C."""
import json
import os
import signal
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import live  # noqa: E402

STAGES = ["image", "disk", "network", "machine", "boot", "agent", "services", "name"]


class Page(HTMLParser):
    """Counts a page's tags and sees that each is closed; nothing in it may lead outside."""

    VOID = {"meta", "line", "rect", "circle", "polyline"}

    def __init__(self, text):
        super().__init__()
        self.tags, self.open = {}, []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags[tag] = self.tags.get(tag, 0) + 1
        for name, value in attrs:
            assert not name.startswith("on") and name not in ("src", "href"), (tag, name, value)
        if tag not in ("meta", "line", "polyline"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag


def ordered(x):
    assert 0 <= x["p50_ms"] <= x["p90_ms"] <= x["p99_ms"] <= x["max_ms"], x
    return x


def real(house):
    """two real boots at once: stages, memory, page, baseline; nothing is left"""
    page, base = house.dir / "bench.html", house.dir / "base.json"
    doc = house.json("bench", "--image", "debian", "--count", "2", "--concurrency", "2",
                     "--accel", "tcg",
                     "--html", str(page), "--save-baseline", str(base))
    run = doc["runs"][0]
    assert (run["made"], run["failed"], run["leaked"], doc["leaked"]) == (2, 0, 0, 0), run
    assert (doc["driver"], doc["stub"], doc["image"]) == ("qemu", False, "debian"), doc
    assert [s["stage"] for s in run["stages"]] == STAGES, run["stages"]
    for stage in run["stages"]:
        assert ordered(stage)["count"] == 2, stage
    whole = ordered(run["whole"])
    boot = next(s for s in run["stages"] if s["stage"] == "boot")
    assert whole["max_ms"] > boot["max_ms"] > 500, (whole, boot)  # an emulated kernel takes longer
    assert sum(b["count"] for b in run["histogram"]) == 2, run["histogram"]
    assert run["memory"]["machine_p50"] > 30 * 2**20, run["memory"]
    assert json.loads(base.read_text())["runs"][0]["whole"] == whole
    tags = Page(page.read_text()).tags
    assert tags["svg"] == 4 and tags["table"] == 1 and "script" not in tags, tags
    assert house.vms() == {}


def stubs(house):
    """50 stub machines beside their own baseline; a table and a histogram for people"""
    base = house.dir / "base.json"
    line = ("bench", "--stub", "--image", "debian", "--count", "50", "--concurrency", "4,16")
    doc = house.json(*line, "--save-baseline", str(base))
    assert [(r["concurrency"], r["made"], r["failed"], r["leaked"]) for r in doc["runs"]] == \
        [(4, 50, 0, 0), (16, 50, 0, 0)], doc
    assert doc["stub"] and doc["driver"] == "stub", doc
    again = house.json(*line, "--hold", "--baseline", str(base))
    assert [r["concurrency"] for r in again["ratios"]] == [4, 16], again["ratios"]
    assert again["ratios"][1]["p50_ms"] > 0 and again["ratios"][1]["throughput_per_s"] > 0
    text = house.ok(*line[:4], "--count", "5", "--baseline", str(base),
                    "--concurrency", "4").decode()
    for word in ("stub machines (no guest runs)", "P50 RATIO", "- boot", "leaked: nothing"):
        assert word in text, text
    assert "\x1b" not in text, "colours without a terminal"
    assert house.vms() == {}


def never_mistaken(house):
    """a stub machine says what it is, runs nothing, and is nobody's default"""
    house.create("s", "--driver", "stub")
    assert house.vm("s")["driver"] == "stub"
    assert b" stub " in house.ok("vm", "list")
    done = house.run("vm", "exec", "s", "--", "true")
    assert done.code == 125 and b"stub machine" in done.err, (done.code, done.err)
    assert house.run("vm", "cp", "/etc/hostname", "s:/").code == 1
    assert b"stub machine" in house.ok("vm", "logs", "s")
    pid = house.vm("s")["pid"]
    house.kill_daemon()
    assert house.vm("s")["pid"] == pid and house.vm("s")["state"] == "running"
    house.ok("vm", "health", "s")
    house.ok("vm", "stop", "s")
    house.ok("vm", "start", "s")
    house.ok("vm", "delete", "s")
    config = house.dir / "c/config.yaml"
    house.ok("daemon", "stop")
    config.write_text("driver: stub\n")
    done = house.run("config", "show")
    assert done.code != 0 and b"stub" in done.err, (done.code, done.err)
    config.unlink()


def soak(house, seconds):
    return house.popen("--json", "bench", "--stub", "--image", "debian", "--concurrency", "6",
                       "--for", seconds, "--seed", "7")


def interrupted(house):
    """Ctrl-C ends a soak with what was measured so far; SIGKILL leaves nothing either"""
    events = house.events()
    child = soak(house, "60s")
    for _ in range(20):
        events.await_event(kind="op.done")
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=live.PATIENCE)
    assert child.returncode == 130, (child.returncode, err)
    run = json.loads(out)["runs"][0]
    assert run["interrupted"] and run["made"] > 0 and run["leaked"] == 0, run
    assert run["failed"] == 0 and run["failures"] == [], run
    assert house.vms() == {} and not house.leftovers(), house.leftovers()
    child = soak(house, "60s")
    for _ in range(20):
        events.await_event(kind="op.done")
    child.kill()
    child.communicate()
    while house.vms():
        events.await_event(kind="vm.deleted")
    assert not house.leftovers(), house.leftovers()


def leaks(house):
    """a process and files that are left behind are reported by name, and the exit code is 1"""
    events = house.events()
    child = soak(house, "2s")
    first = events.await_event(kind="op.stage", stage="name", state="done")["vm"]
    stray = subprocess.Popen([f"banger-{first}", "1000"], executable="/bin/sleep")
    gone = events.await_event(kind="vm.deleted")["vm"]
    (house.state / "vm" / gone).mkdir()
    try:
        out, err = child.communicate(timeout=live.PATIENCE)
    finally:
        stray.kill()
        stray.wait()
        os.rmdir(house.state / "vm" / gone)
    assert child.returncode == 1, (child.returncode, err)
    doc = json.loads(out)
    found = {leak["kind"]: leak["what"] for leak in doc["runs"][0]["leaks"]}
    assert doc["leaked"] == 2 and set(found) == {"process", "files"}, found
    assert str(stray.pid) in found["process"] and found["files"].endswith(gone), found


def refusals(house):
    """what is wrong with the line is found before a machine is made"""
    for flags, field in ((("--concurrency", "1,x"), "concurrency"), (("--count", "0"), "count"),
                         (("--stub", "--driver", "qemu"), "stub"), (("--for", "5ms"), "for"),
                         (("--baseline", "/dev/null/x"), None),
                         (("--html", "/proc/none/x"), "html"),
                         (("--for", "5s", "--count", "9"), "for")):
        error = house.fails("bench", *flags, code=2)
        assert field is None or error.get("field") == field, (flags, error)
    failed = house.run("--json", "bench", "--image", "none:such", "--count", "3", "--stub")
    run = json.loads(failed.out)["runs"][0]
    assert failed.code == 1 and (run["made"], run["failed"]) == (0, 3), run
    assert sum(f["count"] for f in run["failures"]) == 3, run


if __name__ == "__main__":
    live.main([real, stubs, never_mistaken, interrupted, leaks, refusals])
