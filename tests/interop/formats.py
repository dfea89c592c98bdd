"""The formats of docs/provenance.md, read by their text alone. Its sections are named in brackets.

Everything here says yes, or raises Refused with the reason.
"""

import base64
import hashlib
import json
import re

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

STATEMENT = "https://in-toto.io/Statement/v1"
SVR = "https://in-toto.io/attestation/svr/v0.2"
NEWLINE = b"\n"
P = 2**255 - 19
SMALL_ORDER_Y = {  # [2]: the y coordinates of the eight points of small order
    0, 1, P - 1,
    int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"),
    int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"),
}


class Refused(Exception):
    """The passport, or a document in it, is worth nothing; says why."""


def require(condition, why):
    if not condition:
        raise Refused(why)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def unbase64(text):  # [1]
    try:
        decoded = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Refused(f"{text[:40]!r} is not base64: {error}") from error
    require(base64.b64encode(decoded).decode() == text, f"{text[:40]!r} is base64 in a second spelling")
    return decoded


def read(text, what):  # [1]
    """Parses canonical JSON."""
    try:
        document = json.loads(text)
        canonical = rfc8785.dumps(document)
    except (ValueError, rfc8785.CanonicalizationError) as error:
        raise Refused(f"{what} is not canonical JSON: {error}") from error
    require(canonical == text, f"{what} is not canonical JSON")
    return document


def members(document, required, optional=()):
    require(isinstance(document, dict), "an object was expected")
    require(set(required) <= set(document) <= {*required, *optional}, f"its members are {', '.join(sorted(document))}")
    return [document[name] for name in required]


def verify_signature(key, signature, message, what):  # [2]
    require(len(key) == 32 and len(signature) == 64, f"{what}: a key or signature has a wrong length")
    for point in (key, signature[:32]):
        y = int.from_bytes(point, "little") & (2**255 - 1)
        require(y < P and y not in SMALL_ORDER_Y, f"{what}: a point is of small order or not canonical")
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise Refused(f"{what}: the signature is wrong") from error


def pae(envelope):  # [3]
    payload_type, payload = envelope["payloadType"].encode(), unbase64(envelope["payload"])
    return b"DSSEv1 %d %b %d %b" % (len(payload_type), payload_type, len(payload), payload)


def open_envelope(envelope, predicate_type, known):  # [3] [4]
    """Checks every signature and the statement's form; gives the statement and the signers' key ids."""
    payload_type, payload, signatures = members(envelope, ("payloadType", "payload", "signatures"))
    require(payload_type == "application/vnd.in-toto+json", f"the payload type is {payload_type}")
    signers = []
    for keyid, signature in (members(one, ("keyid", "sig")) for one in signatures):
        require(keyid in known, f"the key {keyid} is not known")
        verify_signature(known[keyid], unbase64(signature), pae(envelope), f"key {keyid}")
        signers.append(keyid)
    statement = read(unbase64(payload), "the payload")
    kind, subjects, found, _ = members(statement, ("_type", "subject", "predicateType", "predicate"))
    require((kind, found) == (STATEMENT, predicate_type), f"it is a {found}, and {predicate_type} was expected")
    names = [members(subject, ("name", "digest"))[0] for subject in subjects]
    require(names and len(set(names)) == len(names), "its subjects are missing, or named twice")
    require(all(re.fullmatch("[0-9a-f]{64}", *members(s["digest"], ("sha256",))) for s in subjects), "a digest is malformed")
    return statement, signers


def verify_receipt(receipt, statement, envelope, kind, exchange):  # [5]
    """Gives when the exchange checked, and the key ids with which it signed."""
    svr, signers = open_envelope(receipt, SVR, exchange)
    require(signers and len(set(signers)) == len(signers), "the receipt: nobody signed it, or somebody twice")
    about = {"name": "_envelope_pae", "digest": {"sha256": sha256(pae(envelope)).hex()}}
    require(svr["subject"] == [*statement["subject"], about], "the receipt: it is about something else")
    verifier, created, properties = members(svr["predicate"], ("verifier", "timeCreated", "properties"))
    require(verifier["id"] == f"urn:corpex:exchange:{signers[0]}:v1", "the receipt: it names another verifier")
    needed = {"key-active", "schema-valid"} | ({"bytes-rehashed"} if kind == "manifest" else set())
    require(needed <= set(properties), f"the receipt: it does not assert {needed - set(properties)}")
    return created, signers


def root_from(leaf, index, size, path):  # [7]: PATH(m, D[n]), read backwards
    if size == 1:
        require(not path, "the log proof: it is longer than the tree is high")
        return leaf
    require(path, "the log proof: it is shorter than the tree is high")
    split = 1 << (size - 1).bit_length() - 1
    if index < split:
        return sha256(b"\1", root_from(leaf, index, split, path[:-1]), path[-1])
    return sha256(b"\1", path[-1], root_from(leaf, index - split, size - split, path[:-1]))


def verify_inclusion(entry, index, size, path, root, what):
    require(index < size, f"{what}: there is no entry {index} among {size}")
    require(root_from(sha256(b"\0", entry), index, size, path) == root, f"{what}: it leads to another root")


def roots_from(old, new, path, known):  # [7]: SUBPROOF(m, D[n], b), read backwards
    """The old root and the new one. `known` is the old root while it is still the left part of the new tree."""
    if old == new:
        require(len(path) == (0 if known else 1), "the consistency proof has a wrong length")
        return (known, known) if known else (path[0], path[0])
    require(path, "the consistency proof is too short")
    split = 1 << (new - 1).bit_length() - 1
    if old <= split:
        before, after = roots_from(old, split, path[:-1], known)
        return before, sha256(b"\1", after, path[-1])
    before, after = roots_from(old - split, new - split, path[:-1], None)
    return sha256(b"\1", path[-1], before), sha256(b"\1", path[-1], after)


def verify_consistency(old_size, new_size, old_root, new_root, path):
    require(0 < old_size <= new_size, "the log became smaller")
    require(roots_from(old_size, new_size, path, old_root) == (old_root, new_root), "the two roots are not of one log")


def tile_path(level, index, width):  # [9]
    groups = [f"{index % 1000:03}"]
    while index := index // 1000:
        groups.insert(0, f"x{index % 1000:03}")
    return f"{level}/{'/'.join(groups)}" + (f".p/{width}" if width < 256 else "")


def read_vkey(vkey, kind):  # [8]
    name, key_hash, encoded = vkey.split("+", 2)
    typed = unbase64(encoded)
    require(typed[0] == kind and sha256(name.encode(), b"\n", typed)[:4].hex() == key_hash, f"the vkey {vkey} is malformed")
    return name, bytes.fromhex(key_hash), typed[1:]


def write_vkey(name, key):
    typed = b"\1" + key
    return f"{name}+{sha256(name.encode() + NEWLINE + typed)[:4].hex()}+{base64.b64encode(typed).decode()}"


def read_note(note):  # [8]
    """The signed text, and the lines under it: name, key hash, signature."""
    text, lines = note.rsplit("\n\n", 1)
    require(lines.endswith("\n"), "the checkpoint does not end with a newline")
    signatures = []
    for line in lines[:-1].split("\n"):
        dash, name, encoded = line.split(" ")
        blob = unbase64(encoded)
        require(dash == "—" and name and "+" not in name and len(blob) > 4, f"the checkpoint has a malformed line {line!r}")
        signatures.append((name, blob[:4], blob[4:]))
    return text + "\n", signatures


def open_checkpoint(note, vkey):  # [8]
    name, key_hash, key = read_vkey(vkey, 1)
    text, lines = read_note(note)
    signed = [signature for signer, found, signature in lines if (signer, found) == (name, key_hash)]
    for signature in signed:
        verify_signature(key, signature, text.encode(), "the checkpoint")
    require(signed, f"the checkpoint carries no signature by {name}")
    origin, size, root = text.removesuffix("\n").split("\n")
    require(origin == name and str(int(size)) == size, f"the checkpoint is of {origin}, or its size is misspelt")
    return int(size), unbase64(root)


def cosigned_at(note, vkey):  # [8]
    """The last time at which a witness cosigned a checkpoint, in seconds since 1970; none if it did not."""
    name, key_hash, key = read_vkey(vkey, 4)
    text, lines = read_note(note)
    times = []
    for signature in [signature for signer, found, signature in lines if (signer, found) == (name, key_hash)]:
        times.append(int.from_bytes(signature[:8], "big"))
        message = f"cosignature/v1\ntime {times[-1]}\n{text}".encode()
        verify_signature(key, signature[8:], message, f"the cosignature of {name}")
    return max(times, default=None)


def open_proof(proof, entry, vkey):  # [9]
    head, note = proof.split("\n\n", 1)
    form, index, *path = [line for line in head.split("\n") if not line.startswith("extra ")]
    require(form == "c2sp.org/tlog-proof@v1" and re.fullmatch("index (0|[1-9][0-9]*)", index), "the log proof is malformed")
    size, root = open_checkpoint(note, vkey)
    verify_inclusion(entry, int(index[6:]), size, [unbase64(hash) for hash in path], root, "the log proof")
    return int(index[6:]), size, root
