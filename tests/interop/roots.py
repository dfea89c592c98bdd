"""The log's root, and the proofs of a passport, are those that pymerkle computes from the entries alone."""

import base64

from pymerkle import InmemoryTree, InvalidProof, verify_consistency, verify_inclusion

import evidence


def tree_of(entries):
    tree = InmemoryTree(algorithm="sha256")
    for entry in entries:
        tree.append_entry(entry)
    return tree


tree = tree_of(evidence.entries())
size, root = tree.get_size(), tree.get_root()
signed = base64.b64decode((evidence.folder / "checkpoint").read_text().split("\n")[2])
assert root == signed, f"the log signed {signed.hex()}, and the entries have the root {root.hex()}"
print(f"ok   the signed root of {size} entries is {root.hex()}")

for number, statement in enumerate(evidence.passport["statements"]):
    head, checkpoint = statement["proof"].split("\n\n", 1)
    _, index, *path = head.split("\n")
    index, proven_size = int(index.removeprefix("index ")), int(checkpoint.split("\n")[1])
    proof = tree.prove_inclusion(index + 1, proven_size)
    assert proof.path[1:] == [base64.b64decode(hash) for hash in path], f"the path of entry {index} is another"
    leaf = tree.hash_buff(evidence.unbase64(statement["leaf"]))
    proven_root = base64.b64decode(checkpoint.split("\n")[2])
    verify_inclusion(leaf, proven_root, proof, index=index + 1, size=proven_size)
    verify_consistency(proven_root, root, tree.prove_consistency(proven_size), proven_size, size)
print(f"ok   {number + 1} inclusion proofs are those of pymerkle, under roots that lead to the signed one")

wrong = tree.hash_buff(evidence.flipped(evidence.unbase64(statement["leaf"]), 9))
evidence.refused("a leaf with one other bit", InvalidProof, lambda: verify_inclusion(wrong, proven_root, proof))
altered = tree_of([evidence.flipped(entry, 3) if number == 1 else entry for number, entry in enumerate(evidence.entries())])
assert altered.get_root() != signed
print("ok   an entry with one other bit gives another root")
