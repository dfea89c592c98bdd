"""A verifier of passports, written from docs/provenance.md alone. Prints what it checked, or fails with the reason.

usage: verify_passport.py PASSPORT [LOG_VKEY [EXCHANGE_KEY [WITNESS_VKEY…]]]: whom to trust. What is absent is taken from the
passport; a witness that is named must have cosigned every checkpoint.
The sections of the document are named in brackets. Predicates are not compared with their JSON Schemas here.
"""

import base64
import collections
import datetime
import re
import sys

import rfc8785
from formats import Refused, cosigned_at, members, open_envelope, open_proof, pae, read, require, sha256, unbase64
from formats import read_vkey, verify_inclusion, verify_receipt, verify_signature, write_vkey

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
ALONE, EXCHANGE, BOTH = "an organisation alone", "the exchange alone", "an organisation and the exchange"
SIGNERS = {"manifest": ALONE, "terms": ALONE, "key-registration": ALONE, "model-training": ALONE}  # [4]: the rest is EXCHANGE
SIGNERS |= {"offer": BOTH, "contract": BOTH, "deletion-attestation": BOTH}
REFERENCES = {f"{kind}_sha256": kind for kind in ("manifest", "terms", "assessment", "certificate", "offer", "contract", "entitlement", "evaluation")}
RECEIPT = ("v", "receipt", "entitlement", "user", "dataset", "version", "path", "sha256", "size_bytes", "issued_at")  # [10]
CLOCK_SKEW = 300  # seconds
CHAIN = {"assessment": ["manifest"], "contract": ["manifest", "terms"], "entitlement": ["contract"], "entitlement-change": ["entitlement"]}
CHAIN |= {"inspection": ["manifest"], "evaluation": ["manifest", "terms"], "evaluation-receipt": ["evaluation"]}


def successions(statements):  # [11]
    """Each takeover among the exchange's own keys: role, event, old key, new key, when. Both keys signed it."""
    found = []
    for document in statements:
        if document["kind"] == "exchange-key":
            said = read(unbase64(document["envelope"]["payload"]), "the payload")["predicate"]
            pair = {sha256(key).hex(): key for key in (unbase64(said["replaces"]), unbase64(said["public_key"]))}
            statement, signers = open_envelope(document["envelope"], "urn:corpex:predicate:exchange-key:v1", pair)
            require(len(pair) == 2 and sorted(signers) == sorted(pair), "a key of the exchange did not sign its takeover")
            old, new = pair
            subjects = [{"name": "key", "digest": {"sha256": new}}, {"name": "replaces", "digest": {"sha256": old}}]
            require(statement["subject"] == subjects, "a takeover is about other keys than it names")
            recorded_at = read(unbase64(document["leaf"]), "the log entry")["recorded_at"]
            found.append((said["role"], said["event"], *pair.values(), recorded_at))
    return found


def exchange_keys(role, trusted, takeovers):  # [11]
    """Every key of a role that a trusted one vouches for, by its key id: the key, since when, until when it signs."""
    links, reached = [link for link in takeovers if link[0] == role], set(trusted)
    for _ in links:
        reached |= {key for _, _, old, new, _ in links if {old, new} & reached for key in (old, new)}
    require(all(old in reached for _, _, old, _, _ in links), "no trusted key vouches for a key of the exchange")
    since = {key: min([at for _, event, _, new, at in links if (event, new) == ("activated", key)], default="") for key in reached}
    until = {key: min([at for _, event, old, _, at in links if (event, old) == ("retired", key)], default="9") for key in reached}
    return {sha256(key).hex(): (key, since[key], until[key]) for key in reached}


def verify_statement(document, exchange, logs, origin, owners):  # [12], one statement
    kind, envelope, leaf, proof = members(document, ("kind", "envelope", "leaf", "proof"), ("receipt",))
    known = {key_id: unbase64(key["public_key"]) for key_id, key in owners.items()}
    known |= {key_id: key for key_id, (key, *_) in exchange.items()}
    if kind == "exchange-key":
        known |= {key_id: key for key_id, (key, *_) in logs.items()}
    receipt, entry = document.get("receipt"), read(unbase64(leaf), "the log entry")
    statement, signers = open_envelope(envelope, f"urn:corpex:predicate:{kind}:v1", known)
    said, recorded_at, named = statement["predicate"], entry["recorded_at"], entry["signer_key_sha256"]
    require(INSTANT.fullmatch(recorded_at), "the log entry has no instant")
    require(len(set(signers)) == len(signers), "a key signs twice")
    good = [exchange[signer] for signer in signers if signer in exchange]
    parties = [owners[signer] for signer in signers if signer in owners]
    by = ALONE if len(parties) == len(signers) else BOTH if parties else EXCHANGE
    require(by == SIGNERS.get(kind, EXCHANGE), f"it is signed by {by}")
    replaced = [said["replaces"]] if kind == "key-registration" and "replaces" in said else []
    sides = [said["buyer"]["handle"]] + ([said["provider"]["handle"]] if "negotiation" in said else []) if kind == "contract" else []
    require(len(parties) == (0 if by == EXCHANGE else len(sides) or (2 if replaced else 1)), "too many keys, or too few, signed it")
    require({key["organisation"] for key in parties} == set(sides) or not sides, f"it speaks for {sides}, and others signed it")
    if kind == "exchange-key":
        require(named == sha256(unbase64(said["replaces"])).hex(), "the log entry names another key than the older")
    else:
        require(by == ALONE or any(since <= recorded_at < until for _, since, until in good), "no key of the exchange was good")
        require(named in signers and named not in replaced and (by == ALONE or named in exchange), "the log entry names another signer")
    if kind == "key-registration":
        need = {statement["subject"][0]["digest"]["sha256"], *replaced}
        require(need <= set(signers), "the registered key, or the one it replaces, did not sign")
    for key in parties:
        ended = [key[member] for member in ("revoked_at", "compromised_at") if member in key]
        require(key["registered_at"] <= recorded_at < min(ended, default="9"), f"the key of {key['organisation']} was not good")
        speaks_for = said.get("organisation") or said["dataset"].split("/")[0]
        require(sides or key["organisation"] == speaks_for, f"it speaks for {speaks_for}, and {key['organisation']} signed it")
    require((receipt is not None) == (by == ALONE), "a receipt is missing, or there is one too many")
    signature = next(unbase64(one["sig"]) for one in envelope["signatures"] if one["keyid"] == named)
    digest = sha256(pae(envelope)).hex()
    expected = {"v": 1, "kind": kind, "pae_sha256": digest, "signer_key_sha256": named, "recorded_at": recorded_at}  # [6]
    expected["signature_sha256"] = sha256(signature).hex()
    if receipt:
        created, by_key = verify_receipt(receipt, statement, envelope, kind, {id: key for id, (key, *_) in exchange.items()})
        require(any(exchange[one][1] <= recorded_at < exchange[one][2] for one in by_key), "the receipt: its key was not good")
        require(created <= recorded_at, "the receipt: it is of a later time than the log entry")
        expected["receipt_pae_sha256"] = sha256(pae(receipt)).hex()
        expected["receipt_signature_sha256"] = sha256(unbase64(receipt["signatures"][0]["sig"])).hex()
    require(rfc8785.dumps(expected) == unbase64(leaf), "the log entry does not commit to this envelope and receipt")
    places = []
    for key, _, until in logs.values():  # one of the log's keys, not retired by then, is enough
        try:
            places += [open_proof(proof, unbase64(leaf), write_vkey(origin, key))] if recorded_at < until else []
        except Refused as refusal:
            reason = refusal
    if not places:
        raise reason
    return kind, digest, statement, recorded_at, places[0]


def verify_witnesses(note, known, needed, recorded_at):  # [8] [12]
    """Every cosignature by a known witness verifies; those that are needed are there, and saw the entry."""
    seen = {vkey: cosigned_at(note, vkey) for vkey in known}
    entered = datetime.datetime.fromisoformat(recorded_at).timestamp()
    missing = [vkey for vkey in needed if seen[vkey] is None or seen[vkey] + CLOCK_SKEW < entered]
    require(not missing, f"the checkpoint lacks a cosignature by {', '.join(missing)}, or it is stale")


def verify_references(document, said):  # [12]
    """Each digest of another statement is of one that the passport holds, if it holds any of that kind."""
    for member, kind in REFERENCES.items():
        if member in document and said[kind]:
            require(document[member] in said[kind], f"{member} names another {kind} than the passport holds")
    manifest = said["manifest"].get(document.get("manifest_sha256"), {})
    for member in {"dataset", "version"} & document.keys() & manifest.keys():
        require(document[member] == manifest[member], f"{member} is not that of the manifest it names")


def verify_consent(contract, manifests, terms):  # [12]
    """Whose data is sold, and on whose terms: both are the provider's."""
    provider = contract["provider"]["handle"]
    require(manifests[contract["manifest_sha256"]]["dataset"].split("/")[0] == provider, "it sells what is not its provider's")
    require(terms[contract["terms_sha256"]]["organisation"] == provider, "it is on terms that are not its provider's")


def selected(selection, shard):  # [12]
    """Whether a shard matches every list of a selection; ranges of languages as in RFC 4647, basic filtering."""
    language = shard.get("language", "").lower()
    ranges = [wanted.lower() for wanted in selection.get("languages", [])]
    if ranges and not any(language == wanted or language.startswith(wanted + "-") for wanted in ranges):
        return False
    lists = (("domains", "domain"), ("licences", "licence"))
    return all(shard.get(facet) in selection[name] for name, facet in lists if selection.get(name))


def covered(part, statement):  # [12]
    """The path and the digest of each shard of a manifest that belongs to a part; of every shard where there is none."""
    shards = [(shard["name"], shard["digest"]["sha256"]) for shard in statement["subject"]]
    if part is None:
        return set(shards)
    described = statement["predicate"]["shards"]
    require([(shard["path"], shard["sha256"]) for shard in described] == shards, "a manifest describes other shards than its subjects")
    return {(shard["path"], shard["sha256"]) for shard in described if selected(part["selection"], shard)}


def licensed(digest, entitlement, recorded_at, contracts, changes, manifests):  # [12]
    """What an entitlement licenses: the shards of each dataset and version. It grants what its contract agrees on."""
    contract, part = contracts[entitlement["contract_sha256"]], entitlement.get("part")
    require(entitlement["granted_at"] == recorded_at, "it was recorded at another time than it says")
    for member in ("order", "dataset", "version", "manifest_sha256", "part"):
        require(entitlement.get(member) == contract.get(member), f"{member} is not what the contract agrees on")
    own = entitlement["manifest_sha256"]
    if part is not None:
        paths = sorted(path.encode() for path, _ in covered(part, manifests[own]))
        summed = sha256(*(path + b"\n" for path in paths)).hex()
        require((len(paths), summed) == (part["shards"], part["paths_sha256"]), "the part is not what its selection takes")
    joined = [one["manifest_sha256"] for one in changes if one.get("scope") == "joined" and one["entitlement_sha256"] == digest]
    found = {}
    for manifest in (manifests[one] for one in (own, *joined)):
        found.setdefault((manifest["predicate"]["dataset"], manifest["predicate"]["version"]), covered(part, manifest))
    return found


def verify_offer(contract, offers):  # [12]
    """A contract says what the private offer says on which it rests, and its provider made that offer."""
    offer = offers.get(contract.get("offer_sha256"))
    if offer:
        named = {**contract, "provider": contract["provider"]["handle"], "buyer": contract["buyer"]["handle"]}
        for member in ("provider", "buyer", "listing", "manifest_sha256", "terms_sha256", "price"):
            require(named[member] == offer[member], f"{member} is not what the offer says")
        require(contract["use"] in offer["uses"], "the use is not what the offer says")
        require("negotiation" in contract or offer["organisation"] == offer["provider"], "the provider did not make the offer")


def verify_manifest(digest, manifest, contracts, changes):  # [12]
    """A manifest is named by a contract, or it joined a subscription: the licence of a contract that licenses new versions."""
    joined = any(change.get("scope") == "joined" and change["manifest_sha256"] == digest for change in changes)
    sold = any(one["licence"].get("new_versions") and one["dataset"] == manifest["dataset"] for one in contracts)
    named = any(one["manifest_sha256"] == digest for one in contracts)
    require(not contracts or named or (joined and sold), "nothing licenses a manifest")


def verify_lot(lot, manifest, exchange):  # [4]
    """The seed of a sample: the exchange's signature under the digest of the manifest."""
    payload_type, payload, [signature] = members(lot, ("payloadType", "payload", "signatures"))
    keyid, signature = members(signature, ("keyid", "sig"))
    over = read(unbase64(payload), "the lot")
    require(payload_type == "application/vnd.corpex.lot+json" and over == {"manifest_sha256": manifest}, "the lot is over something else")
    require(keyid in exchange, "the lot is not the exchange's")
    verify_signature(exchange[keyid][0], unbase64(signature), pae(lot), "the lot")


def verify_evaluation(granted, recorded_at, said, exchange):  # [12]
    """It is on its provider's terms, ends as they say, and is of a sample that an inspection drew by the exchange's lot."""
    manifest, terms = granted["manifest_sha256"], said["terms"][granted["terms_sha256"]]
    require(said["manifest"][manifest]["dataset"].split("/")[0] == terms["organisation"], "it is on terms that are not its provider's")
    began, ends = (datetime.datetime.fromisoformat(granted[member]) for member in ("granted_at", "expires_at"))
    require(granted["granted_at"] == recorded_at, "it was recorded at another time than it says")
    require(ends - began == datetime.timedelta(terms["document"]["evaluation_days"]), "it does not end as its terms say")
    drawn = [one["sample"] for one in said["inspection"].values() if "sample" in one and one["manifest_sha256"] == manifest]
    lots = [sample["lot"] for sample in drawn if sample["sha256"] == granted["sample_sha256"]]
    require(lots, "no inspection that is in the passport drew its sample")
    verify_lot(lots[0], manifest, exchange)


def verify_sample_link(receipt, recorded_at, evaluations):  # [12]
    granted = evaluations[receipt["evaluation_sha256"]]
    require(all(receipt[member] == granted[member] for member in ("evaluation", "sample_sha256")), "it is for another sample")
    require(receipt["issued_at"] == recorded_at, "it was recorded at another time than it says")
    require(granted["granted_at"] <= receipt["issued_at"] < granted["expires_at"], "the evaluation did not hold then")


def verify_delivery(delivery, opened, licences):  # [10]
    receipt, batch, index, size, path = members(delivery, ("receipt", "batch", "leaf_index", "tree_size", "path"))
    require(0 <= batch < len(opened) and opened[batch][0] == "receipt-batch", "it names no batch of receipts")
    commitment, receipt = opened[batch][2]["predicate"], unbase64(receipt)
    require(commitment["count"] == size, "the batch has another number of receipts")
    root = bytes.fromhex(commitment["root_sha256"])
    verify_inclusion(receipt, index, size, [bytes.fromhex(hash) for hash in path], root, "its place in the batch")
    document = read(receipt, "the receipt")
    members(document, RECEIPT, ("affiliate", "seat"))
    require(document["v"] == 1 and INSTANT.fullmatch(document["issued_at"]), "it is no receipt of this form")
    require(document["issued_at"] <= opened[batch][3], "it is of a later time than the log entry of its batch")
    require(document["entitlement"] in licences, f"it is for {document['entitlement']}, which the passport does not hold")
    shards = licences[document["entitlement"]].get((document["dataset"], document["version"]), ())
    require((document["path"], document["sha256"]) in shards, f"the licence covers no such shard as {document['path']}")


def verify(text, log_vkey=None, exchange_key=None, *witnesses):
    try:
        return verify_whole(text, log_vkey, exchange_key, witnesses)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise Refused(f"it is malformed: {error!r}") from error


def verify_whole(text, log_vkey, exchange_key, witnesses):  # [12]
    passport = read(text, "the passport")
    names = ("passport_version", "statements", "keys", "exchange_key", "log_vkey", "witness_vkeys", "deliveries", "signature")
    version, statements, keys, key, vkey, _, deliveries, signature = members(passport, names)
    require(version == 1, f"its version is {version}")
    origin, takeovers = vkey.split("+")[0], successions(statements)
    exchange = exchange_keys("statement", {unbase64(exchange_key or key)}, takeovers)
    logs = exchange_keys("log", {read_vkey(log_vkey or vkey, 1)[2]}, takeovers)
    signer, log = sha256(unbase64(key)).hex(), sha256(read_vkey(vkey, 1)[2]).hex()
    require(signer in exchange, f"it names the exchange {key}, which is not the trusted one")
    require(log in logs and vkey.split("+")[0] == (log_vkey or vkey).split("+")[0], f"it names the log {vkey}, which is not the trusted one")
    owners = {key["key_id"]: key for key in keys}
    require(len(owners) == len(keys) and not owners.keys() & exchange.keys(), "a key is named twice")
    require(all(sha256(unbase64(key["public_key"])).hex() == id for id, key in owners.items()), "a key id is not that of its key")
    opened, roots, places = [], {}, set()
    for number, document in enumerate(statements):
        try:
            opened.append(verify_statement(document, exchange, logs, origin, owners))
            verify_witnesses(document["proof"].split("\n\n", 1)[1], {*passport["witness_vkeys"], *witnesses}, witnesses, opened[-1][3])
            index, size, root = opened[-1][4]
            require(roots.setdefault(size, root) == root, f"the log signed two roots for {size} entries")
            require(index not in places, "its place in the log is another's")
            places.add(index)
        except (Refused, ValueError, KeyError, TypeError) as error:
            raise Refused(f"statements/{number} ({document.get('kind')}): {error}") from error
    said, manifests = collections.defaultdict(dict), {}
    for kind, digest, statement, *_ in opened:
        said[kind][digest] = statement["predicate"]
        manifests |= {digest: statement} if kind == "manifest" else {}
    require(manifests, "there is no manifest")
    contracts, changes = said["contract"], said["entitlement-change"].values()
    for kind, digest, statement, recorded_at, _ in opened:
        if kind == "manifest":
            verify_manifest(digest, statement["predicate"], contracts.values(), changes)
        verify_references(statement["predicate"], said)
        for target in CHAIN.get(kind, []):
            require(said[target], f"the {kind} refers to a {target} that the passport does not hold")
        if kind == "contract":
            verify_consent(statement["predicate"], said["manifest"], said["terms"])
            verify_offer(statement["predicate"], said["offer"])
        if kind == "evaluation":
            verify_evaluation(statement["predicate"], recorded_at, said, exchange)
        if kind == "evaluation-receipt":
            verify_sample_link(statement["predicate"], recorded_at, said["evaluation"])
        key, stated = owners.get(statement["subject"][0]["digest"]["sha256"], {}), statement["predicate"]  # [11]
        if kind == "key-registration" and key:
            table = (key["organisation"], key["registered_at"])
            require(table == (stated["organisation"], recorded_at), "the key table contradicts the log")
        for member in {"revoked_at", "compromised_at"} & stated.keys() if kind == "key-revocation" and key else ():
            require(key.get(member, "9") <= stated[member], "the log ended a key earlier than the key table says")
    licences = {}
    for kind, digest, statement, recorded_at, _ in opened:
        if kind == "entitlement":
            granted = statement["predicate"]
            licences[granted["entitlement"]] = licensed(digest, granted, recorded_at, contracts, changes, manifests)
    for delivery in deliveries:
        verify_delivery(delivery, opened, licences)
    unsigned = rfc8785.dumps({name: value for name, value in passport.items() if name != "signature"})
    envelope = {"payloadType": "application/vnd.corpex.passport.v1+json", "payload": base64.b64encode(unsigned).decode()}
    key, since, until = exchange[signer]
    require(signature["keyid"] == signer, "it is not signed by the exchange's key")
    require(since <= max(recorded_at for *_, recorded_at, _ in opened) < until, "the exchange's key was not good any more")
    verify_signature(key, unbase64(signature["sig"]), pae(envelope), "the passport")
    return opened, max(roots), len(deliveries)


if __name__ == "__main__":
    try:
        statements, size, count = verify(open(sys.argv[1], "rb").read(), *sys.argv[2:])
    except Refused as refusal:
        sys.exit(f"REFUSED: {refusal}")
    for kind, digest, _, recorded_at, (index, _, _) in statements:
        print(f"ok   {kind} {digest} recorded {recorded_at}, entry {index}")
    print(f"ok   {len(statements)} statements in a log of {size} entries, {count} deliveries")
