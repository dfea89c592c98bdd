"""Every signed payload, log entry, receipt and the passport itself is canonical JSON to rfc8785, byte for byte."""

import json

import rfc8785

import evidence


def canonical(text):
    return rfc8785.dumps(json.loads(text))


def same(name, text):
    assert canonical(text) == text, f"{name} is not canonical: {text[:200]!r}"
    return 1


count = same("the passport", evidence.passport_bytes)
count += sum(same(name, evidence.unbase64(envelope["payload"])) for name, envelope in evidence.envelopes())
count += sum(same(f"entry {number}", entry) for number, entry in enumerate(evidence.entries()))
count += sum(same("a receipt", evidence.unbase64(delivery["receipt"])) for delivery in evidence.passport["deliveries"])
print(f"ok   {count} documents are canonical JSON, byte for byte")
assert canonical(b" " + evidence.passport_bytes) != b" " + evidence.passport_bytes
