"""What a name costs: the daemon's responder beside NSD, 10,000 names, asked by dnsperf."""
import os
import random
import re
import sys

from host import TOP, Unavailable, call, need
from table import Figure

sys.path.insert(0, str(TOP / "tests/dns/lib"))
import names  # noqa: E402  pylint: disable=wrong-import-position

NAMES, ROUNDS, SECONDS, OUTSTANDING = 10000, 5, 3, 100
TICK = os.sysconf("SC_CLK_TCK")
NAMESD = TOP / "build/tests/tools/namesd"


def cpu_seconds(pids):
    """CPU time of the processes so far."""
    ticks = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICK


def one_run(dnsperf, port, pids, questions, clients):
    """Queries a second, and microseconds of the server's CPU for each."""
    before = cpu_seconds(pids)
    said = call([dnsperf, "-s", "127.0.0.1", "-p", port, "-d", questions, "-l", SECONDS, "-c",
                 clients, "-q", OUTSTANDING])
    spent = cpu_seconds(pids) - before
    rate = float(re.search(r"Queries per second:\s+([\d.]+)", said)[1])
    done = int(re.search(r"Queries completed:\s+(\d+)", said)[1])
    lost = int(re.search(r"Queries lost:\s+(\d+)", said)[1])
    if re.search(r"Response codes:\s+NOERROR (\d+)", said)[1] != str(done):
        raise Unavailable(f"port {port}: wrong answers")
    return rate, spent / done * 1e6, lost


def measure(host):
    dnsperf = need("dnsperf")
    here = {f"name-{i}": f"127.{64 + (i >> 16)}.{i >> 8 & 255}.{i & 255}" for i in range(NAMES)}
    order = list(here)
    random.Random(9267).shuffle(order)
    questions = host.dir / "questions"
    questions.write_text("".join(f"{name}.vm A\n" for name in order), encoding="ascii")
    ours, theirs, missing = names.Namesd(NAMESD), None, None
    try:
        ours.publish(here)
        try:
            theirs = names.Nsd(here, 1)
        except names.Skip as why:
            missing = str(why)
        return figures(dnsperf, ours, theirs, missing, questions)
    finally:
        ours.close()
        if theirs:
            theirs.close()


def figures(dnsperf, ours, theirs, missing, questions):
    mine, other = [], []
    for _ in range(ROUNDS):
        mine.append(one_run(dnsperf, ours.port, [ours.pid], questions, 1))
        if theirs:
            other.append(one_run(dnsperf, theirs.port, theirs.pids(), questions, 1))
    lost = f"lost: {sum(r[2] for r in mine)} of ours, {sum(r[2] for r in other)} of NSD's"
    note = (f"{NAMES} names, A over UDP, {OUTSTANDING} queries under way; dnsperf shares the host; "
            f"{lost}")
    return [
        Figure("DNS, queries answered", "1/s", [r[0] for r in mine], "NSD", [r[0] for r in other],
               missing, ratio_max=1, more_is_better=True, note=note),
        Figure("DNS, the server's CPU for a query", "us", [r[1] for r in mine], "NSD",
               [r[1] for r in other], missing, ratio_max=1),
    ]
