"""The vectors of docs/vectors, judged by published tools and by the formats as docs/provenance.md describes them."""

import datetime
import json
import pathlib
import sys

import formats
import rfc8785
import verify_passport
from formats import Refused, sha256, unbase64
from pymerkle import InmemoryTree
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

import evidence

VECTORS = pathlib.Path(__file__).parents[2] / "docs" / "vectors"


def vectors(name):
    return json.loads((VECTORS / name).read_text())


def number(text):
    """As ECMAScript reads integers: those beyond 2^53 become doubles."""
    return int(text) if abs(int(text)) < 2**53 else float(text)


keys = {key["key_id"]: unbase64(key["public_key"]) for key in vectors("keys.json")["keys"]}
assert all(sha256(raw).hex() == key_id for key_id, raw in keys.items())

canonical = vectors("canonical-json.json")
for case in canonical["canonical"]:
    assert rfc8785.dumps(json.loads(case["text"], parse_int=number)) == case["canonical"].encode(), case
for case in canonical["refused"]:
    evidence.refused(case["why"], Refused, lambda: formats.read(case["text"].encode(), "it"))
print(f"ok   rfc8785 writes {len(canonical['canonical'])} texts as the vectors do")

for case in vectors("statements.json"):
    envelope = Envelope.from_dict(json.loads(json.dumps(case["envelope"])))
    assert envelope.pae() == unbase64(case["pae"]) == formats.pae(case["envelope"])
    assert sha256(envelope.pae()).hex() == case["pae_sha256"]
    known = [SSlibKey(id, "ed25519", "ed25519", {"public": keys[id].hex()}) for id in envelope.signatures]
    assert len(envelope.verify(known, len(known))) == len(known)
    assert sha256(b"\0", case["leaf"].encode()).hex() == case["leaf_hash"]
    formats.open_envelope(case["envelope"], f"urn:corpex:predicate:{case['kind']}:v1", keys)
print("ok   securesystemslib verifies every envelope of the vectors")

tree, small = InmemoryTree(algorithm="sha256"), vectors("tree.json")
for entry, leaf in zip(small["entries"], small["leaf_hashes"]):
    tree.append_entry(entry.encode())
    assert tree.get_leaf(tree.get_size()).hex() == leaf
for case in small["roots"]:
    assert tree.get_root(case["size"]).hex() == case["root"], case
for case in small["inclusion"]:
    proof = tree.prove_inclusion(case["index"] + 1, case["size"])
    assert [hash.hex() for hash in proof.path[1:]] == case["path"], case
    path, root = [bytes.fromhex(hash) for hash in case["path"]], tree.get_root(case["size"])
    formats.verify_inclusion(small["entries"][case["index"]].encode(), case["index"], case["size"], path, root, "it")
for case in small["consistency"]:
    path, sizes = [bytes.fromhex(hash) for hash in case["path"]], (case["old_size"], case["new_size"])
    formats.verify_consistency(*sizes, *(tree.get_root(size) for size in sizes), path)
print(f"ok   pymerkle has the {len(small['roots'])} roots and {len(small['inclusion'])} inclusion proofs of the vectors")

log = vectors("log.json")
entry, cosigned = log["proof"]["entry"].encode(), log["cosigned"]
at = datetime.datetime.fromisoformat(cosigned["at"]).timestamp()
assert formats.cosigned_at(cosigned["checkpoint"], cosigned["vkey"]) == at
assert formats.cosigned_at(log["checkpoint"], cosigned["vkey"]) is None
index, size, root = formats.open_proof(log["proof"]["text"], entry, log["vkey"])
tile, bundle = unbase64(log["tile"]["bytes"]), unbase64(log["bundle"]["bytes"])
assert (size, root) == formats.open_checkpoint(log["checkpoint"], log["vkey"])
assert tile[32 * index : 32 * index + 32] == sha256(b"\0", entry) and len(tile) == 32 * size
tree = InmemoryTree(algorithm="sha256")
while bundle:
    length = int.from_bytes(bundle[:2], "big")
    tree.append_entry(bundle[2 : 2 + length])
    bundle = bundle[2 + length :]
assert tree.get_root() == root
for case in log["paths"]:
    assert formats.tile_path(case["level"], case["index"], case["width"]) == case["path"], case
print(f"ok   the checkpoint, tile, bundle and proof of a log of {size} entries agree")

passport = (VECTORS / "passport.json").read_bytes()
exchange = json.loads(passport)["exchange_key"]
stranger = vectors("keys.json")["keys"][-1]["public_key"]
trusted = (log["vkey"], exchange, cosigned["vkey"])
opened, size, _ = verify_passport.verify(passport, *trusted)
report = vectors("passport-report.json")
assert [(kind, digest) for kind, digest, *_ in opened] == [(one["kind"], one["pae_sha256"]) for one in report["statements"]]
assert size == report["log"]["tree_size"]
evaluation = (VECTORS / "passport-evaluation.json").read_bytes()
opened, *_ = verify_passport.verify(evaluation, *trusted[:2])
print(f"ok   the passport of an evaluation, of {len(opened)} statements, verifies")
for whole, whom in ((passport, trusted), (evaluation, trusted[:2])):
    for at in range(0, len(whole), 101):
        try:
            verify_passport.verify(evidence.flipped(whole, at), *whom)
        except Refused:
            continue
        sys.exit(f"FAILED: a passport with one other bit in byte {at} was accepted")
rotated = (VECTORS / "passport-rotated.json").read_bytes()
opened, *_ = verify_passport.verify(rotated, log["vkey"], exchange)
evidence.refused("a rotated passport under a stranger's key", Refused, lambda: verify_passport.verify(rotated, log["vkey"], stranger))
print(f"ok   a passport of {len(opened)} statements over a rotation of keys verifies with the old ones")
print("ok   the passports of the vectors verify from the document alone, and not with one other bit")
