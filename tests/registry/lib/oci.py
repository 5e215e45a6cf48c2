"""OCI images made by hand: layers from tar entries, manifests, indexes; as an OCI layout on disk."""
import gzip
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def pack(tar, how):
    """A tar's bytes as a layer: how is gzip, zstd or plain."""
    if how == "gzip":
        return gzip.compress(tar, 1, mtime=0)
    if how == "zstd":
        zstd = shutil.which("zstd")
        return subprocess.run([zstd, "-q", "-3", "-c"], input=tar, stdout=subprocess.PIPE,
                              check=True).stdout
    return tar


def tar_of(entries, form=tarfile.PAX_FORMAT):
    """A tar of (TarInfo, bytes or None)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data) if data is not None else None)
    return out.getvalue()


def entry(name, kind=tarfile.REGTYPE, data=None, **fields):
    info = tarfile.TarInfo(name)
    info.type = kind
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    info.mtime = 1700000000
    for key, value in fields.items():
        setattr(info, key, value)
    if data is not None:
        info.size = len(data)
    return info, data


class Image:
    """The blobs of one image, and its manifest."""

    def __init__(self, tars, how="gzip", config=None, docker=False, arch="amd64", top=None):
        hows = how if isinstance(how, list) else [how] * len(tars)
        self.blobs, layers, diffs = {}, [], []
        for tar, one in zip(tars, hows):
            blob = pack(tar, one)
            kind = DOCKER_LAYER + ".gzip" if docker else \
                LAYER + {"gzip": "+gzip", "zstd": "+zstd", "plain": ""}[one]
            layers.append(self.add(blob, kind))
            diffs.append(digest_of(tar))
        self.config = {"architecture": arch, "os": "linux", "config": config or {},
                       "rootfs": {"type": "layers", "diff_ids": diffs}, **(top or {})}
        self.layers = layers
        self.manifest = {
            "schemaVersion": 2, "mediaType": DOCKER_MANIFEST if docker else MANIFEST,
            "config": self.add(json.dumps(self.config).encode(),
                               DOCKER_CONFIG if docker else CONFIG),
            "layers": layers}

    def add(self, data, kind):
        self.blobs[digest_of(data)] = data
        return {"mediaType": kind, "digest": digest_of(data), "size": len(data)}

    def text(self):
        return json.dumps(self.manifest).encode()

    def descriptor(self, **more):
        return {"mediaType": self.manifest["mediaType"], "digest": digest_of(self.text()),
                "size": len(self.text()), **more}

    def save(self, path, tag="latest"):
        """An OCI layout, which skopeo and umoci read."""
        path = Path(path)
        (path / "blobs/sha256").mkdir(parents=True, exist_ok=True)
        for data in [*self.blobs.values(), self.text()]:
            (path / "blobs/sha256" / digest_of(data)[7:]).write_bytes(data)
        (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        note = {"org.opencontainers.image.ref.name": tag}
        (path / "index.json").write_text(json.dumps(
            {"schemaVersion": 2, "manifests": [self.descriptor(annotations=note)]}))
        return path
