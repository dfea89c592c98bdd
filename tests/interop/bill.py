"""What the program is made of (scripts/sbom) is CycloneDX 1.5 to the library of its authors, names each part once, leads from the
program to every part of it, and says nothing of the machine that wrote it."""

import json

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import ComponentScope
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

import evidence

text = (evidence.folder / "corpex.cdx.json").read_text()
wrong = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
if wrong:
    raise ValueError(wrong)
bill = Bom.from_json(json.loads(text))
bill.validate()

leads_to = {entry.ref.value: {other.ref.value for other in entry.dependencies} for entry in bill.dependencies}
reached, waiting = set(), [bill.metadata.component.bom_ref.value]
while waiting:
    ref = waiting.pop()
    if ref not in reached:
        reached.add(ref)
        waiting.extend(leads_to[ref])
inside = {part.bom_ref.value for part in bill.components if part.scope is ComponentScope.REQUIRED}
if inside - reached:
    raise ValueError(f"nothing leads to {sorted(inside - reached)}")
names = {part.name for part in bill.components if part.bom_ref.value in inside}
for expected in ("openssl", "libpq", "sqlite", "zstd", "swagger-ui", "rust-std", "ring", "diesel"):
    if expected not in names:
        raise ValueError(f"{expected} is missing")
for machine in ("file:", "/home/", "/root/"):
    if machine in text:
        raise ValueError(f"{machine} is in it")
print(f"ok   {len(inside)} parts of the program, and {len(bill.components) - len(inside)} crates that help to build it")
