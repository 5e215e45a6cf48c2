"""What needs no machine: letters, requests, cold commands, an idle daemon."""
import json
import os
import time

from host import (BENCH, TOP, Host, Libvirt, Redis, Unavailable, call, memory, ms, need, runs,
                  switches)
from table import Figure

ROUNDS = 7
IDLE_SECONDS = float(os.environ.get("BENCH_IDLE_SECONDS", "150"))


def letters(host: Host):
    """Two actors of one process beside two processes of one Erlang scheduler, with its JIT."""
    missing = None
    try:
        erl = need("erl")
        call([need("erlc"), "-o", host.dir, TOP / "bench/letters.erl"])
    except Unavailable as e:
        missing = str(e)
    rows = []
    for how, name, count in (("ask", "letter, round trip", 300000),
                             ("tell", "letter, one way", 1000000)):
        ours, theirs = [], []
        for _ in range(ROUNDS):
            ours.append(float(call([BENCH / "letters", how, count])))
            if not missing:
                theirs.append(float(call([erl, "-noshell", "+S", "1", "-pa", host.dir, "-run",
                                          "letters", "main", how, count])))
        rows.append(Figure(name, "ns", ours, "Erlang/OTP", theirs, missing, ratio_max=1))
    return rows


def requests(daemon, redis, missing):
    rows = []
    for clients, count in ((1, 20000), (50, 100000)):
        ours, theirs = [], []
        for _ in range(ROUNDS):
            ours.append(json.loads(call([BENCH / "rpc", "banger", daemon.socket, clients, count])))
            if redis:
                theirs.append(json.loads(call([BENCH / "rpc", "redis", redis.socket, clients,
                                               count])))
        who = f"ping over the unix socket, {clients} client{'s' if clients > 1 else ''}"
        rows.append(Figure(f"{who}, p50", "us", [r["p50_us"] for r in ours], "redis",
                           [r["p50_us"] for r in theirs], missing, ratio_max=1.3))
        rows.append(Figure(f"{who}, rate", "1/s", [r["rate"] for r in ours], "redis",
                           [r["rate"] for r in theirs], missing, more_is_better=True))
    return rows


def cold(host, daemon, redis, missing):
    """A new process each time: exec, connect, one request, exit."""
    commands, virsh_missing = [daemon.command("vm", "list")], None
    if redis:
        commands.append([need("redis-cli"), "-s", redis.socket, "ping"])
    spans = runs(200, commands, env=daemon.env, warm_up=10)
    rows = [Figure("cold `banger vm list`", "ms", ms(spans[0]), "redis-cli ping",
                   ms(spans[1]) if redis else None, missing, ratio_max=1)]
    both = None
    try:
        virsh = Libvirt(host)
        both = runs(20, [commands[0], virsh.virsh], env={**daemon.env, **virsh.env}, warm_up=2)
    except Unavailable as e:
        virsh_missing = str(e)
    rows.append(Figure("cold `banger vm list`", "ms", ms(both[0]) if both else ms(spans[0]),
                       "virsh list", ms(both[1]) if both else None, virsh_missing, ratio_max=1))
    return rows


class Idle:
    """A daemon and a redis that nobody speaks to, watched while other things are measured."""

    def __init__(self, daemon, redis):
        self.pid, self.redis = daemon.pid(), redis.pid if redis else None
        time.sleep(3)  # the start is over
        self.began = time.monotonic()
        self.before = switches(self.pid), switches(self.redis) if redis else 0

    def figures(self, missing):
        left = self.began + IDLE_SECONDS - time.monotonic()
        if left > 0:
            print(f"bench: the idle daemon is watched for {left:.0f} s more", flush=True)
            time.sleep(left)
        spent = time.monotonic() - self.began
        ours = switches(self.pid) - self.before[0]
        theirs = [switches(self.redis) - self.before[1]] if self.redis else None
        own, rss = memory(self.pid)
        peer = memory(self.redis) if self.redis else None
        return [
            Figure("idle daemon, wake-ups", "count", [ours], "redis", theirs, missing, most=0,
                   note=f"no machine, context switches of all threads in {spent:.0f} s"),
            Figure("idle daemon, own memory", "MiB", [own / 1024], "redis",
                   [peer[0] / 1024] if peer else None, missing, most=8,
                   note="RssAnon + RssShmem"),
            Figure("idle daemon, VmRSS", "MiB", [rss / 1024], "redis",
                   [peer[1] / 1024] if peer else None, missing),
        ]


def try_redis(host, name):
    """A redis, or the reason why there is none."""
    try:
        return Redis(host, name), None
    except Unavailable as e:
        return None, str(e)
