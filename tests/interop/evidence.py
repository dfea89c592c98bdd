"""What collect.py put into a folder, taken apart: for the programs beside this one."""

import base64
import copy
import json
import pathlib
import sys

folder = pathlib.Path(sys.argv[1])
keys = json.loads((folder / "keys.json").read_text())
passport_bytes = (folder / "passport.json").read_bytes()
passport = json.loads(passport_bytes)


def unbase64(text):
    return base64.b64decode(text, validate=True)


def public_keys():
    """Every Ed25519 key of the passport, by its key id."""
    found = {key["key_id"]: unbase64(key["public_key"]) for key in passport["keys"]}
    found[keys["statement_key"]["key_id"]] = unbase64(keys["statement_key"]["public_key"])
    return found


def envelopes():
    """Every DSSE envelope of the passport, with a name."""
    for number, statement in enumerate(passport["statements"]):
        name = f"statements/{number} ({statement['kind']})"
        yield name, copy.deepcopy(statement["envelope"])
        if "receipt" in statement:
            yield f"the receipt of {name}", copy.deepcopy(statement["receipt"])


def entries():
    """Every entry of the log, in its order, from the entry bundles."""
    size, found = int((folder / "checkpoint").read_text().split("\n")[1]), []
    for index in range((size + 255) // 256):
        width = min(size - index * 256, 256)
        bundle = (folder / "tile" / "entries" / (f"{index:03}" + (f".p/{width}" if width < 256 else ""))).read_bytes()
        while bundle:
            length = int.from_bytes(bundle[:2], "big")
            found.append(bundle[2 : 2 + length])
            bundle = bundle[2 + length :]
    assert len(found) == size, f"the checkpoint says {size} entries, and the bundles hold {len(found)}"
    return found


def flipped(data, at=0):
    """The same bytes with one other bit."""
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def refused(what, error, action):
    """Expects that a tool refuses something, in its own way."""
    try:
        action()
    except error as reason:
        print(f"ok   refuses {what}: {type(reason).__name__}: {str(reason).splitlines()[0]}")
        return
    sys.exit(f"FAILED: {what} was accepted")
