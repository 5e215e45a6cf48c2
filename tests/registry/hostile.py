#!/usr/bin/env python3
"""Registries that lie, stall, cut off and redirect; manifests and layers that are made to hurt."""
import json
import shutil
import sys
import tarfile
import threading
import time
import zlib
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
# pylint: disable=wrong-import-position
import oci  # noqa: E402
import station  # noqa: E402
from rogue import Rogue, bearer  # noqa: E402
from station import live  # noqa: E402


def refused(house, ref, *flags, code=None, word=None):
    """A pull that must fail, in words, and leave nothing to be seen."""
    error = house.fails("image", "pull", "--insecure", "--name", "bad", *flags, ref)
    assert error["message"] and error["code"] != "internal", error
    assert code is None or error["code"] == code, error
    assert word is None or word in error["message"], error
    assert house.json("image", "list") == []
    station.nothing_partial(house)
    return error


def pulled(house, ref, *flags, name="good"):
    house.ok("image", "pull", "--insecure", "--size", "64M", "--name", name, *flags, ref)
    station.nothing_partial(house)
    station.check_disk(station.root_of(house, name))
    return station.root_of(house, name)


def blob_plan(change):
    """A plan that answers blobs of layers (the larger ones) by change(handler, data, count)."""
    def plan(h, count):
        data = h.server.rogue.blobs.get(h.path.rpartition("/")[2])
        if "/blobs/" not in h.path or data is None or len(data) < 4096:
            return False
        return change(h, data, count)
    return plan


def with_rogue(test):
    def run(house):
        rogue = Rogue()
        try:
            test(house, rogue)
        finally:
            rogue.close()
    run.__doc__, run.__name__ = test.__doc__, test.__name__
    return run


@with_rogue
def wrong_bytes(house, rogue):
    """bytes that have another digest are refused, and not kept"""
    ref = rogue.put(station.big(1))
    rogue.plan = blob_plan(lambda h, data, _: h.say(200, bytes(len(data))) or True)
    refused(house, ref, code="invalid_value", word="digest")
    whole, parts = station.kept(house)
    assert len(whole | parts) == 2, (whole, parts)  # manifest and config
    rogue.plan = None
    pulled(house, ref)


@with_rogue
def lies_about_length(house, rogue):
    """short, long and endless bodies end at the declared size"""
    ref = rogue.put(station.big(1))
    rogue.plan = blob_plan(lambda h, data, _: h.say(200, data[:1000]) or True)
    refused(house, ref, code="invalid_value")
    rogue.plan = blob_plan(lambda h, data, _: h.say(200, data + b"more") or True)
    shutil.rmtree(house.state / "layers")
    refused(house, ref, code="invalid_value", word="more than")

    def endless(h, data, _):
        h.send_response(200)
        h.send_header("Transfer-Encoding", "chunked")
        h.end_headers()
        while True:
            h.wfile.write(b"10000\r\n" + bytes(65536) + b"\r\n")
        return data
    rogue.plan = blob_plan(endless)
    shutil.rmtree(house.state / "layers")
    refused(house, ref, code="invalid_value", word="more than")
    used = sum(p.stat().st_size for p in (house.state / "layers").rglob("*") if p.is_file())
    assert used < 3 << 20, used


@with_rogue
def dropped_connections(house, rogue):
    """a connection that drops is gone on with, by ranges or without them"""
    image = station.big(4)
    ref = rogue.put(image)

    def drop(h, data, count):
        at = int(h.headers.get("Range", "bytes=0-")[6:-1])
        if count > 3:
            return False
        h.send_response(206 if at else 200)
        if at:
            h.send_header("Content-Range", f"bytes {at}-{len(data) - 1}/{len(data)}")
        h.send_header("Content-Length", str(len(data) - at))
        h.end_headers()
        h.wfile.write(data[at:at + 1000000])
        h.cut()
        return True
    rogue.plan = blob_plan(drop)
    pulled(house, ref)
    layer = image.layers[0]["digest"]
    ranges = [h["Range"] for h in rogue.headers(layer) if "Range" in h]
    assert len(ranges) == 3 and len(set(ranges)) == 3, ranges
    rogue.ranges = False
    shutil.rmtree(house.state / "layers")
    rogue.asked.clear()
    rogue.plan = blob_plan(lambda h, data, count: count == 1 and (
        h.say(200, data[:1000000], length=len(data)) or True))
    pulled(house, ref, "--replace")
    assert rogue.count(layer) == 2


@with_rogue
def other_range(house, rogue):
    """another range than was asked for is no answer"""
    ref = rogue.put(station.big(2))

    def plan(h, data, count):
        if count == 1:
            h.say(200, data[:1000000], length=len(data))
        else:
            h.say(206, data[1500000:], {"Content-Range": f"bytes 1500000-{len(data) - 1}/9"})
        return True
    rogue.plan = blob_plan(plan)
    refused(house, ref, code="invalid_value", word="range")


@with_rogue
def busy_registry(house, rogue):
    """429 and 503 are waited for as they ask; without end they are an error"""
    ref = rogue.put(station.small())
    rogue.plan = lambda h, count: count == 1 and (
        h.say(429 if "blobs" in h.path else 503, headers={"Retry-After": "1"}) or True)
    begun = time.monotonic()
    pulled(house, ref)
    assert time.monotonic() - begun > 2
    house.ok("image", "delete", "good")
    rogue.plan = lambda h, _: "manifests" in h.path and (
        h.say(429, headers={"Retry-After": "86400"}) or True)
    refused(house, ref, code="busy", word="86400")
    rogue.plan = lambda h, _: "manifests" in h.path and (h.say(500) or True)
    refused(house, ref, code="unavailable", word="500")


@with_rogue
def sign_in_loops(house, rogue):
    """401 for ever, from the registry or its tokens, is an end; a token that expires is renewed"""
    ref = rogue.put(station.small())
    rogue.plan = bearer(rogue)
    pulled(house, ref)
    assert rogue.count("/token") == 1
    token = rogue.headers("/token")[0]
    assert "Authorization" not in token, token
    house.ok("image", "delete", "good")
    shutil.rmtree(house.state / "layers")
    rogue.asked.clear()
    rogue.plan = bearer(rogue, wrong=1)  # each address refuses the first time
    pulled(house, ref)
    house.ok("image", "delete", "good")
    shutil.rmtree(house.state / "layers")
    rogue.plan = bearer(rogue, wrong=10**9)
    refused(house, ref, code="denied")
    rogue.plan = bearer(rogue, user="u", password="p")
    refused(house, ref, code="denied", word="password")
    rogue.plan = lambda h, _: h.say(401, headers={"WWW-Authenticate": "Basic realm=x"}) or True
    refused(house, ref, code="denied", word="password")
    for value in ('Bearer realm="ftp://x/"', "Negotiate", 'Bearer realm="', "x" * 60000):
        rogue.plan = lambda h, _, v=value: h.say(401, headers={"WWW-Authenticate": v}) or True
        refused(house, ref)


@with_rogue
def redirects(house, rogue):
    """a blob elsewhere is fetched, and the credentials are not taken there"""
    other = Rogue()
    try:
        ref = rogue.put(station.small())
        other.blobs = rogue.blobs
        auth = bearer(rogue)

        def plan(h, count):
            if auth(h, count):
                return True
            if "/blobs/" in h.path:
                h.say(307, headers={"Location": f"http://localhost:{other.port}{h.path}"})
                return True
            return False
        rogue.plan = plan
        pulled(house, ref)
        assert other.count("/blobs/") == 2
        assert not [h for h in other.headers("/") if "Authorization" in h], other.asked
        assert [h for h in rogue.headers("/blobs/") if "Authorization" in h]
        house.ok("image", "delete", "good")
        shutil.rmtree(house.state / "layers")
        rogue.plan = lambda h, _: "/blobs/" in h.path and (
            h.say(307, headers={"Location": h.path}) or True)
        refused(house, ref, code="unavailable")
        rogue.plan = lambda h, _: "/blobs/" in h.path and (
            h.say(307, headers={"Location": "file:///etc/passwd"}) or True)
        refused(house, ref, code="unavailable")
    finally:
        other.close()


@with_rogue
def silence(house, rogue):
    """a registry that says nothing, or a byte now and then, is given up"""
    (house.dir / "c/config.yaml").write_text("pull_timeout_ms: 1s\n")
    ref = rogue.put(station.big(1))
    free = threading.Event()
    rogue.plan = blob_plan(lambda h, data, _: free.wait(60))
    begun = time.monotonic()
    error = house.fails("image", "pull", "--insecure", "--name", "bad", ref)
    assert error["code"] == "timeout" and time.monotonic() - begun < 60, error
    free.set()
    station.nothing_partial(house)


silence.deadline = 100


@with_rogue
def strange_manifests(house, rogue):
    """documents that are no manifest, two at once, too deep, too long, of schema 1"""
    image = station.small()
    zeros = "0" * 64
    layer = {"mediaType": oci.LAYER, "digest": "sha256:" + zeros, "size": 5}
    good = image.manifest

    def one(document, **kw):
        text = document if isinstance(document, bytes) else json.dumps(document).encode()
        rogue.blobs.update(image.blobs)
        refused(house, rogue.put_text(text, oci.MANIFEST, tag="t"), **kw)

    one({"schemaVersion": 1, "name": "a", "tag": "t", "fsLayers": []}, code="unsupported",
        word="schema 1")
    one({**good, "manifests": []}, code="invalid_value", word="at once")
    one({**good, "layers": []}, code="invalid_value", word="no layers")
    one({**good, "layers": [layer] * 10000}, code="too_large")
    one(b"[" * 100000, code="invalid_value")
    one(b"\xff\xfe{", code="invalid_value")
    one(b"{}", code="invalid_value")
    one(b" " * (5 << 20), code="too_large")
    for digest in ("sha256:../../../../etc/passwd", "sha256:" + "A" * 64, "sha256:" + "0" * 63,
                   "sha512:" + "0" * 128, "sha256:" + zeros + "/..", 7, None):
        one({**good, "layers": [{**layer, "digest": digest}]}, code="invalid_value", word="digest")
        one({**good, "config": {**good["config"], "digest": digest}}, code="invalid_value")
    for size in (0, -1, 2**62, "5", None):
        one({**good, "layers": [{**good["layers"][0], "size": size}]})
    one({**good, "config": {**good["config"], "size": 1 << 40}}, code="too_large")
    one({**good, "config": good["layers"][0]})  # a config that is a layer


@with_rogue
def strange_indexes(house, rogue):
    """indexes without end, of nothing, of other platforms; the first that fits is taken"""
    image = station.small()
    rogue.put(image)

    def index(*manifests):
        text = json.dumps({"schemaVersion": 2, "mediaType": oci.INDEX,
                           "manifests": list(manifests)}).encode()
        return text, {"mediaType": oci.INDEX, "digest": oci.digest_of(text), "size": len(text)}

    arm = {"platform": {"architecture": "arm", "os": "linux"}}
    windows = {"platform": {"architecture": "amd64", "os": "windows"}}
    here = {"platform": {"architecture": live_arch(), "os": "linux"}}
    note = {"annotations": {"vnd.docker.reference.type": "attestation-manifest"},
            "platform": {"architecture": "unknown", "os": "unknown"}}
    text, _ = index(image.descriptor(**note), image.descriptor(**windows), image.descriptor(**here),
                    image.descriptor(**here))
    pulled(house, rogue.put_text(text, oci.INDEX, tag="several"))
    house.ok("image", "delete", "good")
    text, _ = index(image.descriptor(**arm))
    refused(house, rogue.put_text(text, oci.INDEX, tag="arm"), code="invalid_value", word="linux/")
    text, one = index(image.descriptor())
    for _ in range(10):
        rogue.put_text(text, oci.INDEX, tag="deep")
        text, one = index(one)
    refused(house, rogue.put_text(text, oci.INDEX, tag="deep"), code="too_large", word="deep")
    text, _ = index(*[image.descriptor(**arm)] * 1000)
    refused(house, rogue.put_text(text, oci.INDEX, tag="many"), code="too_large")
    text, _ = index(image.descriptor(size=5))
    refused(house, rogue.put_text(text, oci.INDEX, tag="size"), code="invalid_value")


def live_arch():
    import os  # pylint: disable=import-outside-toplevel
    return {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]


@with_rogue
def bombs(house, rogue):
    """layers that unpack without end, or to nothing sound, end at a cap; the disk is as before"""
    zeros = tarfile.TarInfo("zeros")
    zeros.size = 3 << 30
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = packer.compress(zeros.tobuf())
    bomb += b"".join(packer.compress(bytes(1 << 24)) for _ in range(3 << 6)) + packer.flush()
    good = station.small()

    def layered(blob, kind):
        image = oci.Image([oci.tar_of([station.file_of("x", "x")])])
        image.manifest["layers"] = [image.add(blob, kind)]
        return rogue.put(image)

    refused(house, layered(bomb, oci.LAYER + "+gzip"), code="too_large", word="200 times")
    window = bytes.fromhex("28b52ffd00b0") + bytes(64)  # a window of 2 GiB and more
    refused(house, layered(window, oci.LAYER + "+zstd"), code="invalid_value", word="zstd")
    whole = oci.pack(oci.tar_of([station.file_of("x", "x" * 9000)]), "gzip")
    refused(house, layered(whole[:-9], oci.LAYER + "+gzip"), code="invalid_value")
    refused(house, layered(whole + b"rest", oci.LAYER + "+gzip"), code="invalid_value")
    refused(house, layered(b"no tar at all, but long enough" * 99, oci.LAYER), code="invalid_value")
    swapped = oci.Image([oci.tar_of([station.file_of("x", "y")])])
    swapped.manifest["config"] = good.manifest["config"]
    swapped.blobs.update(good.blobs)
    refused(house, rogue.put(swapped), code="invalid_value", word="digest")
    left = [p for p in house.state.rglob("*.ext4")]
    assert not left, left


bombs.deadline = 200


@with_rogue
def evil_entries(house, rogue):
    """names and links that lead out stay inside or are refused; the host is not touched"""
    def layer(*entries):
        return rogue.put(oci.Image([oci.tar_of(entries)]))

    mark = house.dir / "mark"
    for name in ("../x", "a/../../x", "a/../x"):
        refused(house, layer(station.file_of(name, "x")), code="invalid_value")
    refused(house, layer(oci.entry("x", tarfile.LNKTYPE, linkname="/etc/shadow")),
            code="invalid_value", word="hard link")
    refused(house, layer(oci.entry("x", tarfile.LNKTYPE, linkname="x")), code="invalid_value")
    refused(house, layer(station.file_of("a" * 300, "x")), code="too_large")
    refused(house, layer(station.file_of("/".join("d" * 1 for _ in range(400)) + "/x", "x")),
            code="too_large")
    disk = pulled(house, layer(
        oci.entry("out", tarfile.SYMTYPE, linkname=str(house.dir)),
        station.file_of("out/mark", "inside"), station.file_of("/etc/passwd", "root:x:0:0::/:/x\n"),
        oci.entry("null", tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666),
        station.file_of("suid", "x", mode=0o4755)))
    assert not mark.exists()
    assert station.read(disk, str(mark)) == b"inside"


@with_rogue
def many_layers(house, rogue):
    """60 layers, some of them the same, each fetched once; the daemon's memory stays flat"""
    words = [f"word {i % 40}" for i in range(60)]
    image = oci.Image([oci.tar_of([station.file_of(f"f{i % 40}", w)])
                       for i, w in enumerate(words)])
    ref = rogue.put(image)
    pulled(house, ref)
    assert all(rogue.count(d["digest"]) == 1 for d in image.layers)
    pid = house.daemon()
    before = live.memory(pid, "VmRSS")
    for _ in range(15):
        house.ok("image", "pull", "--insecure", "--size", "64M", "--replace", "--name", "good", ref)
    grown = live.memory(pid, "VmRSS") - before
    assert grown < 512 * 1024, grown


if __name__ == "__main__":
    live.main([wrong_bytes, lies_about_length, dropped_connections, other_range, busy_registry,
               sign_in_loops, redirects, silence, strange_manifests, strange_indexes, bombs,
               evil_entries, many_layers], images=None)
