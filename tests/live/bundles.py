#!/usr/bin/env python3
"""Images as files: export, pull file:, and what comes of files that are not as they should be."""
import hashlib
import http.server
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import live  # noqa: E402


def disks(house, name):
    """The image's directory, and the digest of each of its files with its length and holes."""
    at = house.state / "image" / house.json("image", "show", name)["id"]
    found = {}
    for path in sorted(at.iterdir()):
        with open(path, "rb") as f:
            end = f.seek(0, os.SEEK_END)
            sums, off = hashlib.sha256(), 0
            while off < end:
                try:
                    off = os.lseek(f.fileno(), off, os.SEEK_DATA)
                except OSError:
                    break
                hole = os.lseek(f.fileno(), off, os.SEEK_HOLE)
                while off < hole:
                    block = os.pread(f.fileno(), 4096, off)
                    if block.strip(b"\0"):
                        sums.update(off.to_bytes(8, "little") + block)
                    off += 4096
            kind = path.name.split("-")[0].split(".")[0]
            found[kind] = (path, end, sums.hexdigest())
    return found


def make(house, word, *flags):
    tree = house.dir / f"tree-{word}"
    live.busybox_tree(tree)
    (tree / "word").write_text(word)
    house.ok("image", "import", "--size", "256M", *flags, word, str(tree))


def bundle(house):
    """Image `far`, made and exported: the bundle's bytes and their digest."""
    make(house, "far")
    house.ok("image", "export", "far", cwd=house.dir)
    data = (house.dir / "far.tar.zst").read_bytes()
    return data, hashlib.sha256(data).hexdigest()


def images(house):
    return sorted(p.name for p in (house.state / "image").iterdir())


def round_trip(house):
    """an image that was exported and pulled again is the same, and boots"""
    make(house, "there", "--kernel", "debian")
    out = house.dir / "there.tar.zst"
    assert house.ok("image", "export", "there", cwd=house.dir).decode().strip() == out.name
    assert house.fails("image", "export", "there", str(out))["code"] == "exists"
    before = out.read_bytes()
    house.ok("image", "export", "--force", "there", str(out))
    assert out.read_bytes() == before, "the same image, and another bundle"
    assert len(before) < 8 << 20, len(before)
    was = disks(house, "there")
    for name, url in (("again", f"file:{out}"), ("third", f"file://{out}")):
        house.ok("image", "pull", "--name", name, url)
        now = disks(house, name)
        assert {k: v[1:] for k, v in was.items()} == {k: v[1:] for k, v in now.items()}
        for path, _, _ in now.values():
            subprocess.run(["e2fsck", "-fn", path], check=True, capture_output=True,
                           timeout=live.PATIENCE)
            assert path.stat().st_blocks * 512 < 64 << 20, path
    a, b = (house.json("image", "show", name) for name in ("there", "again"))
    for info in (a, b):
        for key in ("name", "id", "created"):
            del info[key]
        del info["facts"]["used"]
    assert a == b, (a, b)
    house.create("m", image="again")
    assert house.sh("m", "cat /word") == "there"


def whole_debian(house):
    """a Debian image round trip through a pipe: ext4 as it was, sparse, and read by tar"""
    out = house.dir / "debian.tar.zst"
    house.ok("image", "export", "debian", str(out))
    tar = subprocess.run(["tar", "--zstd", "-xOf", out, "banger-image.json"], check=True,
                         capture_output=True, timeout=live.PATIENCE).stdout
    told = json.loads(tar)
    assert told["version"] == 1 and [f["role"] for f in told["files"]] == ["root", "work"], told
    with open(out, "rb") as f:
        house.ok("image", "import", "piped", "-", stdin=f)
    was, now = disks(house, "debian"), disks(house, "piped")
    assert {k: v[1:] for k, v in was.items()} == {k: v[1:] for k, v in now.items()}


def config_kept(house):
    """services and the kernel's name are kept; flags of the import win"""
    make(house, "web", "--service", "web:80", "--kernel", "nowhere")
    house.ok("image", "export", "web", cwd=house.dir)
    house.ok("image", "pull", "--name", "same", f"file:{house.dir}/web.tar.zst")
    info = house.json("image", "show", "same")
    assert info["kernel"] == "nowhere" and info["facts"]["config"]["services"] == ["web:80"], info
    house.ok("image", "import", "--service", "x:1", "--kernel", "debian", "other",
             str(house.dir / "web.tar.zst"))
    info = house.json("image", "show", "other")
    assert info["kernel"] == "debian" and info["facts"]["config"]["services"] == ["x:1"], info
    for flag in ("--size=512M", "--user=me"):
        error = house.fails("image", "import", flag, "no", str(house.dir / "web.tar.zst"))
        assert error["code"] == "unsupported", error
    error = house.fails("image", "pull", f"file:{house.dir}/web.tar.zst")
    assert error["code"] == "exists", error
    house.ok("image", "pull", "--replace", f"file:{house.dir}/web.tar.zst")


def damaged(house):
    """bundles that are cut, changed or not bundles are refused and leave nothing"""
    make(house, "a")
    house.ok("image", "export", "a", cwd=house.dir)
    whole = (house.dir / "a.tar.zst").read_bytes()
    before = images(house)
    middle = len(whole) // 2
    changed = bytearray(whole)
    changed[middle] ^= 0xff
    tar = subprocess.run(["zstd", "-dc"], input=whole, check=True, capture_output=True,
                         timeout=live.PATIENCE).stdout
    at = tar.index(b'"version": 1')
    cases = {"empty": b"", "cut": whole[:middle], "changed": bytes(changed),
             "late": tar[:at] + b'"version": 9' + tar[at + 12:], "random": os.urandom(5000)}
    for name, data in cases.items():
        (house.dir / name).write_bytes(data)
        error = house.fails("image", "pull", f"file:{house.dir / name}")
        assert error["code"] not in ("internal", "timeout") and error["message"], (name, error)
        if name == "late":
            assert error["code"] == "unsupported" and "version 9" in error["message"], error
        assert images(house) == before, name
    assert house.fails("image", "pull", f"file:{house.dir}/nosuch.tar.zst")
    house.fails("image", "pull", "file://elsewhere/a.tar.zst", code=2)


def refused(house):
    """what cannot be exported is told, and no file is there then"""
    house.fails("image", "export", "nosuch", str(house.dir / "x"))
    house.fails("image", "export", "debian", str(house.dir / "no/where"))
    house.fails("image", "export", "debian", str(house.dir))
    at = next((house.state / "image").iterdir()) / "root.ext4"
    kept = house.dir / "kept.ext4"
    subprocess.run(["cp", "--sparse=always", at, kept], check=True, timeout=live.PATIENCE)
    house.ok("image", "register", "mine", str(kept))
    error = house.fails("image", "export", "mine", str(house.dir / "x"))
    assert error["code"] == "conflict" and "promote" in error["hint"], error
    assert not (house.dir / "x").exists() and not list(house.dir.glob("*banger-*"))


def interrupted(house):
    """Ctrl-C, a full reader and the daemon's end leave no file, and no worker"""
    out = house.dir / "x.tar.zst"
    for case in ("ctrl-c", "daemon"):
        events = house.events()
        child = house.popen("image", "export", "debian", str(out))
        events.await_event(stage="export", state="begun")
        if case == "ctrl-c":
            child.send_signal(signal.SIGINT)
        else:
            house.kill_daemon()
        _, err = child.communicate(timeout=live.PATIENCE)
        assert child.returncode == 130 if case == "ctrl-c" else child.returncode, err
        house.ok("image", "list")
        assert not list(house.dir.glob("*.tar.zst*")), case
        assert len(images(house)) == 1, images(house)
        assert not [n for n in live.processes_of(house.dir).values() if n != "bangerd"]
    read, write = os.pipe()
    events = house.events()
    child = house.popen("image", "export", "debian", "-", stdout=write)
    os.close(write)
    os.read(read, 4096)
    os.close(read)
    child.communicate(timeout=live.PATIENCE)
    assert child.returncode == 128 + signal.SIGPIPE, child.returncode
    next(e for e in events if e.get("state") in ("cancelled", "failed", "done") and
         "stage" not in e)


# ---- from the network ----

class Server:
    """Files over https on loopback, with ranges, by a certificate of its own."""

    def __init__(self, directory):
        self.files, self.cut, self.asked = {}, 0, []
        self.half_way, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()
        self.ca = directory / "ca.pem"
        key = directory / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                        "-keyout", key, "-out", self.ca], check=True, capture_output=True,
                       timeout=live.PATIENCE)
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                data = outer.files.get(self.path)
                if data is None:
                    self.send_error(404)
                    return
                match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
                first = int(match[1]) if match else 0
                outer.asked.append(first)
                if match and first >= len(data):
                    self.send_error(416)
                    return
                self.send_response(206 if match else 200)
                if match:
                    self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
                self.send_header("Content-Length", str(len(data) - first))
                self.end_headers()
                if not outer.go_on.is_set():
                    self.wfile.write(data[first:first + (len(data) - first) // 2])
                    first += (len(data) - first) // 2
                    outer.half_way.set()
                    outer.go_on.wait(live.PATIENCE)
                if outer.cut:
                    outer.cut -= 1
                    self.wfile.write(data[first:first + (len(data) - first) // 2])
                    self.wfile.flush()
                    self.connection.unwrap()
                    self.close_connection = True
                    return
                self.wfile.write(data[first:])

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.ca, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"https://localhost:{self.server.server_port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def from_https(house):
    """a bundle from https: verified, gone on with after a cut, kept; wrong ones leave nothing"""
    data, sha = bundle(house)
    with Server(house.dir) as server:
        server.files["/i/far.tar.zst"] = data
        server.files["/i/other.tar.zst"] = data[:-1] + b"\0"
        url, ca = f"{server.url}/i/far.tar.zst", ["--ca", str(server.ca)]
        before = images(house)
        error = house.fails("image", "pull", "--name", "x", url, *ca)
        assert error["field"] == "sha256", error
        error = house.fails("image", "pull", "--name", "x", "--sha256", sha, url)
        assert error["code"] == "unavailable", error
        error = house.fails("image", "pull", "--sha256", sha, f"{server.url}/none.tar.zst", *ca)
        assert error["code"] == "not_found", error
        error = house.fails("image", "pull", "--sha256", sha, f"{server.url}/i/other.tar.zst", *ca)
        assert error["code"] == "invalid_value", error
        error = house.fails("image", "pull", "--offline", "--name", "x", "--sha256", sha, url, *ca)
        assert error["code"] == "not_found" and "cached" in error["message"], error
        assert images(house) == before
        server.cut, server.asked = 2, []
        house.ok("image", "pull", "--name", "got", "--sha256", sha, url, *ca)
        assert len(server.asked) == 3 and 0 < server.asked[1] < server.asked[2], server.asked
        was, now = disks(house, "far"), disks(house, "got")
        assert {k: v[1:] for k, v in was.items()} == {k: v[1:] for k, v in now.items()}
        server.asked = []
        house.ok("image", "pull", "--name", "again", "--offline", "--sha256", sha, url)
        assert server.asked == [], server.asked


def on_first_use(house):
    """a name of the catalog is pulled when a machine wants it; offline and dead ends are told"""
    data, sha = bundle(house)
    with Server(house.dir) as server:
        server.files["/far.tar.zst"] = data
        url = f"{server.url}/far.tar.zst"
        (house.dir / "c/catalog.yaml").write_text(
            f"images:\n  - {{name: mine, bundle: '{url}', sha256: {sha}}}\n"
            "  - {name: dead, reference: 'localhost:1/a:1'}\n")
        house.ok("daemon", "restart")
        names = [i["name"] for i in house.json("image", "catalog")["images"]]
        assert names[:2] == ["mine", "dead"] and "debian" in names, names
        error = house.fails("vm", "create", "--offline", "--image", "mine")
        assert error["code"] == "not_found" and "offline" in error["message"], error
        assert "image pull mine" in error["hint"], error
        error = house.fails("vm", "create", "--image", "dead")
        assert error["code"] == "unavailable" and "'dead'" in error["message"], error
        assert house.vms() == {} and not house.leftovers()
        house.ok("image", "pull", "--ca", str(server.ca), "mine")
        house.ok("image", "delete", "mine")
        server.files.clear()
        house.create("m", image="mine")  # what was fetched is kept by its digest
        assert house.sh("m", "cat /word") == "far"
        house.ok("vm", "delete", "m")
        house.ok("image", "delete", "mine")
        before = [line for line in house.log() if "image.pull name=mine" in line]
        both = [house.popen("vm", "create", "--no-start", "--image", "mine") for _ in range(2)]
        for child in both:
            _, err = child.communicate(timeout=live.PATIENCE)
            assert child.returncode == 0, err
        pulls = [line for line in house.log() if "image.pull name=mine" in line]
        assert len(pulls) == len(before) + 1, pulls  # one for the two of them
        assert house.json("image", "show", "mine")["machines"] == 2
        error = house.fails("vm", "create", "--offline", "--image", "mine", "--kernel", "other")
        assert error["code"] == "not_found", error


def long_download(house):
    """a machine that waits for a download shows it, and its own time runs only behind that"""
    data, sha = bundle(house)
    with Server(house.dir) as server:
        server.files["/far.tar.zst"] = data
        (house.dir / "c/catalog.yaml").write_text(
            f"images:\n  - {{name: mine, bundle: '{server.url}/far.tar.zst', sha256: {sha}}}\n")
        (house.dir / "c/config.yaml").write_text("boot_timeout_ms: 5s\n")
        house.ok("daemon", "restart")
        server.go_on.clear()
        pull = house.popen("image", "pull", "--ca", str(server.ca), "mine")
        assert server.half_way.wait(live.PATIENCE)
        create = ("vm", "create", "--no-start", "--image", "mine")
        error = house.fails(*create, "--timeout", "1s")  # this is the time of it all
        assert error["code"] == "timeout", error
        maker = house.popen(*create, "--progress")
        try:
            maker.wait(8)
            raise AssertionError(maker.communicate())
        except subprocess.TimeoutExpired:
            server.go_on.set()
        _, err = maker.communicate(timeout=live.PATIENCE)
        assert maker.returncode == 0 and b"layer " in err, err
        _, err = pull.communicate(timeout=live.PATIENCE)
        assert pull.returncode == 0, err


def bad_catalog(house):
    """a catalog that is wrong is told with its line, and the daemon does not start"""
    house.ok("daemon", "stop")
    (house.dir / "c/catalog.yaml").write_text("images:\n  - name: a\n    referense: a\n")
    done = house.run("image", "catalog")
    assert done.code and b"catalog.yaml:3:5: " in done.err, done.err
    (house.dir / "c/catalog.yaml").unlink()
    house.ok("image", "catalog")


if __name__ == "__main__":
    live.main([round_trip, whole_debian, config_kept, damaged, refused, interrupted,
               from_https, on_first_use, long_download,
               bad_catalog])
