"""Every payload of a passport is an in-toto statement to in-toto-attestation."""

import json

from google.protobuf import json_format
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement

import evidence


def read(text):
    statement = Statement.copy_from_pb(json_format.Parse(text, statement_pb2.Statement()))
    statement.validate()
    return statement.pb


for name, envelope in evidence.envelopes():
    payload = evidence.unbase64(envelope["payload"])
    statement = read(payload)
    named = [subject.name for subject in statement.subject]
    print(f"ok   {name}: {statement.predicate_type} about {', '.join(named)}"[:160])

document = json.loads(payload)
evidence.refused("a statement about nothing", ValueError, lambda: read(json.dumps(document | {"subject": []})))
evidence.refused("another type", ValueError, lambda: read(json.dumps(document | {"_type": "https://example.org/"})))
unknown = json.dumps(document | {"note": ""})
evidence.refused("an unknown member", json_format.ParseError, lambda: read(unknown))
