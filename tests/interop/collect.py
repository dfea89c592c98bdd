"""Reads, over HTTP, everything that the programs beside this one judge: log, keys, a passport, a trace,
exports.

usage: collect.py CREDENTIALS FOLDER, where CREDENTIALS is what `corpex demo --credentials` wrote.
"""

import json
import pathlib
import sys
import urllib.parse
import urllib.request

credentials = json.loads(pathlib.Path(sys.argv[1]).read_text())
folder = pathlib.Path(sys.argv[2])


def get(path, person=None):
    request = urllib.request.Request(credentials["server"] + path)
    if person:
        request.add_header("Authorization", "Bearer " + credentials["tokens"][person])
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def keep(name, content):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return content


def tiles(size):
    """The C2SP tlog-tiles paths of a tree of so many entries."""
    level = 0
    while size:
        for index in range((size + 255) // 256):
            width = min(size - index * 256, 256)
            partial = f".p/{width}" if width < 256 else ""
            assert index < 1000, "a demonstration is small"
            yield f"{level}/{index:03}{partial}"
            if level == 0:
                yield f"entries/{index:03}{partial}"
        level, size = level + 1, size // 256


keep("keys.json", get("/v1/exchange/keys"))
size = int(keep("checkpoint", get("/log/checkpoint")).split(b"\n")[1])
for tile in tiles(size):
    keep(f"tile/{tile}", get(f"/log/tile/{tile}"))
[entitlement] = json.loads(get("/v1/entitlements", "lab"))["items"]
keep("passport.json", get(f"/v1/entitlements/{entitlement['id']}/passport", "lab"))
query = urllib.parse.urlencode({"format": "prov", "subject": credentials["dataset"]})
keep("prov.json", get(f"/v1/trace/export?{query}", "compliance"))
[listing] = json.loads(get("/v1/listings?" + urllib.parse.urlencode({"dataset": credentials["dataset"]})))["items"]
dataset = f"/v1/datasets/{credentials['dataset']}/versions/{credentials['version']}"
for name, path in {
    "profile": "/v1/odrl-profile", "terms": f"/v1/terms/{listing['terms_id']}/odrl",
    "offer": f"/v1/listings/{listing['id']}/odrl", "catalog": "/v1/catalog", "croissant": f"{dataset}/croissant",
}.items():
    keep(f"exports/{name}.json", get(path))
print(f"ok   collected a log of {size} entries and a passport from {credentials['server']}")
