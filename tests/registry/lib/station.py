"""What the registry tests share: Debian's registry on the loopback, authorities, small images."""
import contextlib
import shutil
import socket
import subprocess
import sys
import tarfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "live/lib"))
import live  # noqa: E402  pylint: disable=wrong-import-position
import oci  # noqa: E402  pylint: disable=wrong-import-position


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            raise live.Skip(f"{program} is not installed")


def run(*args, **kw):
    done = subprocess.run([str(a) for a in args], capture_output=True, timeout=120, check=False, **kw)
    assert done.returncode == 0, (args, done.stdout[-500:], done.stderr[-500:])
    return done.stdout


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Debians:
    """docker-registry, as Debian has it."""

    def __init__(self, directory, tls=None, login=None):
        need("docker-registry", "skopeo")
        self.dir, self.port = Path(directory), free_port()
        self.host = f"127.0.0.1:{self.port}"
        self.login, self.child = login, None
        self.dir.mkdir(parents=True, exist_ok=True)
        text = ("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
                f"storage: {{filesystem: {{rootdirectory: {self.dir}/data}}}}\n"
                f"http:\n  addr: {self.host}\n")
        if tls:
            text += f"  tls: {{certificate: {tls[0]}, key: {tls[1]}}}\n"
        if login:
            need("htpasswd")
            line = run("htpasswd", "-Bbn", *login)
            (self.dir / "users").write_bytes(line)
            text += f"auth: {{htpasswd: {{realm: r, path: {self.dir}/users}}}}\n"
        (self.dir / "config.yml").write_text(text)
        self.start()

    def start(self):
        with open(self.dir / "log", "ab") as log:
            self.child = subprocess.Popen(["docker-registry", "serve", str(self.dir / "config.yml")],
                                          stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        end = time.monotonic() + live.PATIENCE
        while True:  # it has no other sign of being ready than that it listens
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            assert self.child.poll() is None and time.monotonic() < end, (self.dir / "log").read_text()
            time.sleep(0.02)

    def stop(self):
        self.child.kill()
        self.child.wait()

    def push(self, source, name, *more):
        """Copies what skopeo can read into it; answers the reference."""
        credentials = ["--dest-creds", ":".join(self.login)] if self.login else []
        run("skopeo", "copy", "-q", "--insecure-policy", "--dest-tls-verify=false", *credentials,
            *more, source, f"docker://{self.host}/{name}")
        return f"{self.host}/{name}"

    def manifest(self, name):
        """The manifest as it lies there: skopeo writes its own."""
        return run("skopeo", "inspect", "--raw", "--tls-verify=false",
                   f"docker://{self.host}/{name}")


def authority(directory, *names):
    """A private authority and a server's certificate; answers (certificate, key) and the CA's file."""
    need("openssl")
    d = Path(directory)
    d.mkdir(parents=True, exist_ok=True)
    new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    run(*new, "-x509", "-days", "2", "-subj", "/CN=test authority", "-keyout", d / "ca.key",
        "-out", d / "ca.crt")
    run(*new, "-subj", "/CN=server", "-keyout", d / "key", "-out", d / "csr")
    (d / "ext").write_text("subjectAltName=" + ",".join(names or ("IP:127.0.0.1",)))
    run("openssl", "x509", "-req", "-in", d / "csr", "-CA", d / "ca.crt", "-CAkey", d / "ca.key",
        "-CAcreateserial", "-days", "2", "-extfile", d / "ext", "-out", d / "crt")
    return (d / "crt", d / "key"), d / "ca.crt"


def file_of(name, data, **fields):
    return oci.entry(name, tarfile.REGTYPE, data if isinstance(data, bytes) else data.encode(),
                     **fields)


def small(words=("one",), how="gzip", **kw):
    """An image of a layer for each word; nothing in it that boots."""
    tars = [oci.tar_of([file_of(f"file-{i}", word)]) for i, word in enumerate(words)]
    return oci.Image(tars, how, **kw)


def big(megabytes, seed=1, layers=1, how="plain"):
    """An image whose layers do not compress."""
    import random  # pylint: disable=import-outside-toplevel
    dice = random.Random(seed)
    return oci.Image([oci.tar_of([file_of(f"big-{i}", dice.randbytes(megabytes << 20))])
                      for i in range(layers)], how)


def root_of(house, name):
    return house.state / "image" / house.json("image", "show", name)["id"] / "root.ext4"


def check_disk(path):
    """e2fsck finds nothing to mend."""
    run("e2fsck", "-fn", path)


def read(path, name):
    return run("debugfs", "-R", f"cat {name}", path)


def visible(house):
    """Images, and what lies in their directory: nothing that is half made."""
    names = {i["id"] for i in house.json("image", "list")}
    there = {p.name for p in (house.state / "image").iterdir()} if \
        (house.state / "image").is_dir() else set()
    return names, there


def nothing_partial(house):
    names, there = visible(house)
    assert names == there, (names, there)
    for image in house.json("image", "list"):
        assert (house.state / "image" / image["id"] / "root.ext4").exists()


def kept(house):
    """Blobs that are whole, and parts, by their hex digits."""
    d = house.state / "layers/sha256"
    names = [p.name for p in d.iterdir()] if d.is_dir() else []
    return {n for n in names if "." not in n}, {n[:64] for n in names if n.endswith(".part")}

