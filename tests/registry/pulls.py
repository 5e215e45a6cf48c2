#!/usr/bin/env python3
"""Pulls from Debian's docker-registry: forms, platforms, authorities, passwords, the cache."""
import base64
import json
import shutil
import sys
import threading
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
# pylint: disable=wrong-import-position
import ext4  # noqa: E402
import oci  # noqa: E402
import station  # noqa: E402
from rogue import Rogue, bearer  # noqa: E402
from station import live  # noqa: E402


def docker_config(house, document):
    d = house.dir / "docker"
    d.mkdir(exist_ok=True)
    (d / "config.json").write_text(json.dumps(document))
    house.env["DOCKER_CONFIG"] = str(d)


def pulled(house, ref, *flags, name="i"):
    house.ok("image", "pull", "--size", "64M", "--name", name, *flags, ref)
    disk = station.root_of(house, name)
    station.check_disk(disk)
    return disk


def forms(house):
    """OCI and Docker's schema 2, gzip, zstd and plain layers, a name and a digest"""
    registry = station.Debians(house.dir / "reg")
    try:
        image = station.small(("one", "two", "three"), ["gzip", "zstd", "plain"],
                              config={"Env": ["A=b"], "WorkingDir": "/w/", "Cmd": ["x", "y"],
                                      "Entrypoint": ["/e"], "ExposedPorts": {"80/tcp": {}}})
        ref = registry.push(f"oci:{image.save(house.dir / 'l')}:latest", "team/a:1")
        disk = pulled(house, ref, "--insecure")
        assert [station.read(disk, f"file-{i}") for i in range(3)] == [b"one", b"two", b"three"]
        info = house.json("image", "show", "i")
        digest = oci.digest_of(registry.manifest("team/a:1"))
        assert info["facts"]["reference"] == f"{ref}@{digest}", info
        config = info["facts"]["config"]
        assert (config["env"], config["workdir"], config["cmd"], config["entrypoint"],
                config["ports"]) == (["A=b"], "/w", ["x", "y"], ["/e"], [80]), config
        pulled(house, f"{registry.host}/team/a@{digest}", "--insecure", name="pinned")
        other = registry.push(f"oci:{station.small(('new',)).save(house.dir / 'n')}:latest",
                              "team/a:1")
        assert other == ref
        pulled(house, f"{ref}@{digest}", "--insecure", name="both")  # the tag moved meanwhile
        assert station.read(station.root_of(house, "both"), "file-0") == b"one"
        assert station.read(pulled(house, ref, "--insecure", name="moved"), "file-0") == b"new"
        docker = registry.push(f"oci:{station.small(('d',)).save(house.dir / 'd')}:latest",
                               "docker:1", "--format", "v2s2")
        assert station.read(pulled(house, docker, "--insecure", name="d"), "file-0") == b"d"
        error = house.fails("image", "pull", "--insecure", f"{registry.host}/team/none:1")
        assert error["code"] == "not_found", error
    finally:
        registry.stop()


def like_import(house):
    """a pulled image is, byte for byte, the same archive imported"""
    registry = station.Debians(house.dir / "reg")
    try:
        layout = station.small(("one", "two"), config={"User": "0"}).save(house.dir / "l")
        ref = registry.push(f"oci:{layout}:latest", "a:1")
        disk = pulled(house, ref, "--insecure")
        tar = house.dir / "tar"
        station.run("tar", "-C", layout, "-cf", tar, ".")
        house.ok("image", "import", "--size", "64M", "j", str(tar))
        assert disk.read_bytes() == station.root_of(house, "j").read_bytes()
    finally:
        registry.stop()


def authorities(house):
    """TLS: a private authority is trusted when it is named, a wrong name never, --insecure all"""
    tls, ca = station.authority(house.dir / "ca")
    wrong, _ = station.authority(house.dir / "other", "DNS:elsewhere.example")
    registry = station.Debians(house.dir / "reg", tls=tls)
    rogue = Rogue(tls=wrong)
    try:
        ref = registry.push(f"oci:{station.small().save(house.dir / 'l')}:latest", "a:1")
        error = house.fails("image", "pull", "--name", "x", ref)
        assert error["code"] == "unavailable" and "--ca" in error["hint"], error
        error = house.fails("image", "pull", "--name", "x", "--ca", str(house.dir / "other/ca.crt"),
                            ref)
        assert error["code"] == "unavailable", error
        pulled(house, ref, "--ca", str(ca))
        pulled(house, ref, "--insecure", name="j")
        error = house.fails("image", "pull", "--name", "x", "--ca", str(house.dir / "other/ca.crt"),
                            rogue.put(station.small()))
        assert error["code"] == "unavailable" and not rogue.count("/v2/"), error
        assert house.fails("image", "pull", "--ca", str(house.dir / "none"), ref, code=2)
    finally:
        registry.stop()
        rogue.close()


SECRET = "geheim-7781"
HELPER = """#!/bin/sh
read server
echo "$1 $server" >>"$0.asked"
[ "$server" = "HOST" ] || { echo "credentials not found in native keychain"; exit 1; }
echo '{"ServerURL": "HOST", "Username": "me", "Secret": "SECRET"}'
"""


def passwords(house):
    """a registry with passwords: docker's file, its helpers, none, a wrong one; kept nowhere"""
    tls, ca = station.authority(house.dir / "ca")
    registry = station.Debians(house.dir / "reg", tls=tls, login=("me", SECRET))
    try:
        ref = registry.push(f"oci:{station.small().save(house.dir / 'l')}:latest", "a:1")
        pull = ("image", "pull", "--ca", str(ca), "--size", "64M", "--name")
        docker_config(house, {})
        assert house.fails(*pull, "x", ref)["code"] == "denied"
        auth = {"auth": base64.b64encode(f"me:{SECRET}".encode()).decode()}
        docker_config(house, {"auths": {"https://" + registry.host: auth}})
        house.ok(*pull, "one", ref)
        assert house.fails(*pull, "x", "--anonymous", ref)["code"] == "denied"
        docker_config(house, {"auths": {registry.host: {"auth": "bWU6d3Jvbmc="}}})
        shutil.rmtree(house.state / "layers")
        assert house.fails(*pull, "x", ref)["code"] == "denied"
        helper = house.dir / "docker-credential-test"
        helper.write_text(HELPER.replace("HOST", registry.host).replace("SECRET", SECRET))
        helper.chmod(0o755)
        house.env["PATH"] = f"{house.dir}:{house.env['PATH']}"
        docker_config(house, {"credHelpers": {registry.host: "test"}})
        house.ok(*pull, "two", ref)
        docker_config(house, {"credsStore": "test"})
        shutil.rmtree(house.state / "layers")
        house.ok(*pull, "three", ref)
        asked = Path(f"{helper}.asked").read_text().splitlines()
        assert asked == [f"get {registry.host}"] * 2, asked
        house.ok("daemon", "stop")
        for path in house.state.rglob("*"):
            if path.is_file():
                data = path.read_bytes() if path.stat().st_size < 1 << 24 else b""
                assert SECRET.encode() not in data and auth["auth"].encode() not in data, path
    finally:
        registry.stop()


def tokens(house):
    """a token is asked for with the password of that registry and no other"""
    rogue = Rogue()
    try:
        ref = rogue.put(station.small())
        rogue.plan = bearer(rogue, user="me", password="word")
        docker_config(house, {"auths": {rogue.host: {"username": "me", "password": "word"},
                                        "127.0.0.1": {"username": "not", "password": "this"}}})
        pulled(house, ref, "--insecure")
        sent = [h.get("Authorization") for h in rogue.headers("/blobs/")]
        assert set(sent) == {"Bearer secret-token"}, sent
        docker_config(house, {"auths": {rogue.host: {"identitytoken": "it"}}})
        shutil.rmtree(house.state / "layers")
        rogue.asked.clear()
        rogue.plan = bearer(rogue)
        pulled(house, ref, "--insecure", name="j")
        assert [a[0] for a in rogue.asked if "/token" in a[1]] == ["POST"], rogue.asked
    finally:
        rogue.close()


def two_of_one_base(rogue):
    """Two images, a and b, of a layer that both have and one of their own; the common one's digest."""
    base = oci.tar_of([station.file_of("base", "x" * 9000)])
    ours = [oci.Image([base, oci.tar_of([station.file_of("own", w)])]) for w in "ab"]
    return [rogue.put(i, tag=w) for i, w in zip(ours, "ab")], ours[0].layers[0]["digest"]


def shared(house):
    """layers are fetched once: by two images, by two pulls at once, and never again"""
    rogue = Rogue()
    gate, arrived = threading.Event(), threading.Event()
    try:
        refs, layer = two_of_one_base(rogue)

        def plan(h, _count):
            if layer in h.path:
                arrived.set()
                gate.wait(live.PATIENCE)
            return False
        rogue.plan = plan
        events = house.events()
        words = ("image", "pull", "--insecure", "--size", "64M", "--name")
        first = [house.popen(*words, "a", refs[0])]
        assert arrived.wait(live.PATIENCE)
        first += [house.popen(*words, "a", refs[0]), house.popen(*words, "b", refs[1])]
        seen = 0
        while seen < 4:  # each of the two pulls wants two layers
            event = next(iter(events))
            seen += event.get("stage", "").startswith("layer") and event["state"] == "begun"
        gate.set()
        for child in first:
            out, err = child.communicate(timeout=live.PATIENCE)
            assert child.returncode == 0, (out, err)
        assert rogue.count(layer) == 1 and rogue.count("/blobs/") == 5, rogue.asked
        for name, word in zip("ab", "ab"):
            assert ext4.describe(station.root_of(house, name))[b"own"]["size"] == 1
            assert station.read(station.root_of(house, name), "own") == word.encode()
        rogue.asked.clear()
        pulled(house, refs[0], "--insecure", "--replace", name="a")
        assert rogue.count("/blobs/") == 0 and rogue.count("/manifests/") == 1
        pulled(house, refs[0], "--insecure", name="a")  # it is there
        assert rogue.count("/manifests/") == 1
    finally:
        gate.set()
        rogue.close()


def one_goes(house):
    """a pull that another one leans on is cancelled: the other fetches for itself"""
    rogue = Rogue()
    gate, arrived = threading.Event(), threading.Event()
    try:
        refs, layer = two_of_one_base(rogue)

        def plan(h, count):
            if layer in h.path and count == 1:
                arrived.set()
                gate.wait(live.PATIENCE)
                h.cut()
                return True
            return False
        rogue.plan = plan
        events = house.events()
        words = ("image", "pull", "--insecure", "--size", "64M", "--name")
        first = house.popen(*words, "a", refs[0])
        assert arrived.wait(live.PATIENCE)
        second = house.popen(*words, "b", refs[1])
        while True:
            event = next(iter(events))
            if event.get("stage") == f"layer {layer[7:19]}" and event["name"] == "b":
                break
        first.terminate()
        first.communicate(timeout=live.PATIENCE)
        out, err = second.communicate(timeout=live.PATIENCE)
        assert second.returncode == 0, (out, err)
        assert rogue.count(layer) == 2
        station.nothing_partial(house)
    finally:
        gate.set()
        rogue.close()


def damaged(house):
    """a kept layer that is not what it was is found out, and fetched anew"""
    rogue = Rogue()
    try:
        image = station.big(5)
        ref = rogue.put(image)
        pulled(house, ref, "--insecure")
        kept = house.state / "layers/sha256" / image.layers[0]["digest"][7:]
        data = bytearray(kept.read_bytes())
        data[5000] ^= 1
        kept.write_bytes(data)
        error = house.fails("image", "pull", "--insecure", "--replace", "--name", "i", ref)
        assert error["code"] == "invalid_value", error
        pulled(house, ref, "--insecure", "--replace")
        part = kept.rename(kept.with_suffix(".part"))
        part.write_bytes(bytes(1000) + part.read_bytes()[1000:5000])
        rogue.asked.clear()
        pulled(house, ref, "--insecure", "--replace")
        assert [h.get("Range") for h in rogue.headers("/blobs/")] == ["bytes=5000-", None]
        kept.rename(kept.with_suffix(".part"))  # killed behind its last byte
        rogue.asked.clear()
        pulled(house, ref, "--insecure", "--replace")
        assert not rogue.count("/blobs/"), rogue.asked
    finally:
        rogue.close()


def offline(house):
    """--offline asks nobody: what is cached is made of it, the rest is refused"""
    rogue = Rogue()
    try:
        image = station.small()
        ref = rogue.put(image)
        pinned = f"{rogue.host}/a@{oci.digest_of(image.text())}"
        assert house.fails("image", "pull", "--offline", "--name", "x", ref)["code"] == "not_found"
        assert house.fails("image", "pull", "--offline", "--name", "x", pinned)["code"] == \
            "not_found"
        assert not rogue.asked
        pulled(house, ref, "--insecure")
        rogue.asked.clear()
        pulled(house, pinned, "--offline", name="again")
        house.ok("image", "pull", "--offline", "--name", "i", ref)
        assert not rogue.asked
    finally:
        rogue.close()


def progress(house):
    """each layer tells its bytes, and --json prints one object a line; the cache has its ceiling"""
    (house.dir / "c/config.yaml").write_text("layer_cache: 1M\n")
    rogue = Rogue()
    try:
        image = station.big(1, layers=2)
        ref = rogue.put(image)
        done = house.run("--json", "image", "pull", "--insecure", "--size", "64M", "--name", "i",
                         "--progress", ref)
        assert done.code == 0 and json.loads(done.out)["name"] == "i", done.err
        lines = [json.loads(line) for line in done.err.splitlines()]
        for layer in image.layers:
            mine = [x for x in lines if x.get("stage") == f"layer {layer['digest'][7:19]}"]
            assert mine[0]["state"] == "begun" and mine[-1]["state"] == "done", mine
            assert mine[-1]["bytes"] == mine[-1]["total"] == layer["size"], mine
        kept = [p.stat().st_size for p in (house.state / "layers/sha256").iterdir()]
        assert sum(kept) <= 1 << 20, kept
        text = house.run("image", "pull", "--insecure", "--size", "64M", "--name", "j",
                         "--progress", ref).err.decode()
        assert text.count("layer ") == 2, text
    finally:
        rogue.close()


def in_vain(house):
    """references that are none are refused before anything is asked"""
    for ref in ("x/Case", "a:b:c", "a@sha256:12", "../x", "a//b", "-x.y/a", "a" * 700):
        done = house.run("image", "pull", "--", ref) if ref.startswith("-") else \
            house.run("image", "pull", ref)
        assert done.code == 2, (ref, done.code, done.err)
    error = house.fails("image", "pull", "127.0.0.1:1/a:1", code=1)
    assert error["code"] == "unavailable", error


if __name__ == "__main__":
    live.main([forms, like_import, authorities, passwords, tokens, shared, one_goes, damaged,
               offline, progress, in_vain], images=None)
