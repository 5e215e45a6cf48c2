#!/usr/bin/env python3
"""Every request that the Firecracker driver can send, held against Firecracker's OpenAPI files.

They are looked for at $BANGER_FIRECRACKER_OPENAPI (a file or a directory), else as
firecracker*.yaml beside this script; the project does not need them.
"""
import json
import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOOL = HERE.parent.parent / "build/tests/tools/fc_requests"


def skip(why):
    print(f"1..0 # SKIP {why}")
    sys.exit(0)


try:
    import yaml
except ImportError:
    skip("python3-yaml is not installed")


def descriptions():
    named = os.environ.get("BANGER_FIRECRACKER_OPENAPI")
    at = Path(named) if named else HERE
    return [at] if at.is_file() else sorted(at.glob("firecracker*.yaml"))


class Bad(Exception):
    """What a request does wrong."""


KINDS = {"string": str, "integer": int, "boolean": bool, "object": dict, "array": list,
         "number": (int, float)}


class Description:
    def __init__(self, path):
        self.name = path.name
        self.doc = yaml.safe_load(path.read_text(encoding="utf-8"))
        self.version = [int(n) for n in re.findall(r"\d+", self.doc["info"]["version"])[:2]]

    def resolve(self, schema):
        while "$ref" in schema:
            schema = self.doc["definitions"][schema["$ref"].rsplit("/", 1)[1]]
        return schema

    def check(self, value, schema, at):
        schema = self.resolve(schema)
        kind = schema.get("type", "object")
        if not isinstance(value, KINDS[kind]) or (kind != "boolean" and isinstance(value, bool)):
            raise Bad(f"{at} is no {kind}: {value!r}")
        if "enum" in schema and value not in schema["enum"]:
            raise Bad(f"{at} is none of {schema['enum']}: {value!r}")
        if "minimum" in schema and value < schema["minimum"]:
            raise Bad(f"{at} is below {schema['minimum']}: {value!r}")
        if "maximum" in schema and value > schema["maximum"]:
            raise Bad(f"{at} is above {schema['maximum']}: {value!r}")
        if kind == "object":
            known = schema.get("properties", {})
            for key in schema.get("required", ()):
                if key not in value:
                    raise Bad(f"{at}.{key} is missing")
            for key, inner in value.items():
                if key not in known:
                    raise Bad(f"{at}.{key} is not known")
                self.check(inner, known[key], f"{at}.{key}")

    def path_of(self, path):
        for pattern, methods in self.doc["paths"].items():
            names = re.findall(r"{(\w+)}", pattern)
            match = re.fullmatch(re.sub(r"{\w+}", "([^/]+)", pattern), path)
            if match:
                return methods, dict(zip(names, match.groups()))
        raise Bad(f"there is no {path}")

    def request(self, q):
        methods, ids = self.path_of(q["path"])
        method = methods.get(q["method"].lower())
        if method is None:
            raise Bad(f"{q['path']} takes no {q['method']}")
        body = next((p for p in method.get("parameters", ()) if p["in"] == "body"), None)
        if (body is None) != (q["body"] is None):
            raise Bad("there is a body" if body is None else "there is no body")
        if body:
            self.check(q["body"], body["schema"], "body")
        for key, value in ids.items():
            if not re.fullmatch(r"\w+", value, re.ASCII) or q["body"].get(key) != value:
                raise Bad(f"id {value} of the path is not the body's")


# What a description of 1.16 must refuse, so that the check is known to check.
WRONG = (
    ({"method": "PUT", "path": "/vsock", "body": {"guest_cid": 2, "uds_path": "/x"}}, "below"),
    ({"method": "PUT", "path": "/vsock", "body": {"guest_cid": 3}}, "missing"),
    ({"method": "PUT", "path": "/vsock", "body": {"guest_cid": "3", "uds_path": "/x"}}, "integer"),
    ({"method": "PUT", "path": "/vsock", "body": {"guest_cid": 3, "uds_path": "/x", "a": 1}},
     "not known"),
    ({"method": "PUT", "path": "/actions", "body": {"action_type": "Start"}}, "none of"),
    ({"method": "PUT", "path": "/actions", "body": None}, "no body"),
    ({"method": "POST", "path": "/actions", "body": None}, "takes no"),
    ({"method": "PUT", "path": "/nothing", "body": {}}, "there is no"),
    ({"method": "PUT", "path": "/drives/a", "body": {"drive_id": "b", "is_root_device": False}},
     "not the body's"),
)


def check_one(d):
    done = subprocess.run([TOOL, *map(str, d.version)], capture_output=True, text=True,
                          check=True, timeout=60)
    requests = [json.loads(line) for line in done.stdout.splitlines()]
    faults = []
    for q in requests:
        try:
            d.request(q)
        except Bad as why:
            faults.append(f"{q['method']} {q['path']}: {why}")
    for q, word in WRONG:
        try:
            d.request(q)
            faults.append(f"{q} was taken")
        except Bad as why:
            if word not in str(why):
                faults.append(f"{q} was refused for another reason: {why}")
    return len(requests), sorted(set(faults))


def main():
    found = descriptions()
    if not found:
        skip("no OpenAPI file of Firecracker is at hand (BANGER_FIRECRACKER_OPENAPI names one)")
    if not TOOL.exists():
        skip("build/tests/tools/fc_requests is not built")
    print(f"1..{len(found)}")
    good = True
    for number, path in enumerate(found, 1):
        d = Description(path)
        count, faults = check_one(d)
        name = f"{count} requests against {d.name} (version {'.'.join(map(str, d.version))})"
        print(f"{'not ok' if faults else 'ok'} {number} - {name}")
        print("".join(f"# {fault}\n" for fault in faults), end="")
        good &= not faults
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
