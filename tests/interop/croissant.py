"""A version in Croissant is valid to mlcroissant, which loads every record with the licensee's token.

usage: croissant.py FOLDER CREDENTIALS, where CREDENTIALS is what `corpex demo --credentials` wrote.
"""

import json
import logging
import os
import pathlib
import sys

import evidence

credentials = json.loads(pathlib.Path(sys.argv[2]).read_text())
os.environ["CROISSANT_BASIC_AUTH_USERNAME"] = "lab"
os.environ["CROISSANT_BASIC_AUTH_PASSWORD"] = credentials["tokens"]["lab"]
import mlcroissant  # noqa: E402  (it reads the environment)

logging.getLogger("absl").setLevel(logging.ERROR)
document = json.loads((evidence.folder / "exports" / "croissant.json").read_text())
dataset = mlcroissant.Dataset(jsonld=document)
issues = dataset.metadata.ctx.issues
assert not issues.errors, issues.report()
print(f"ok   {dataset.metadata.name} is valid, with {len(issues.warnings)} warnings: {sorted(issues.warnings)}")

source = pathlib.Path(credentials["source_dir"])
names = {file["@id"]: file["name"] for file in document["distribution"]}
count = 0
for record_set in document["recordSet"]:
    [path] = {names[field["source"]["fileObject"]["@id"]] for field in record_set["field"]}
    wanted = [json.loads(line) for line in (source / path).read_text().splitlines()]
    keys = {field["@id"]: field["name"] for field in record_set["field"]}
    plain = lambda value: value.decode() if isinstance(value, bytes) else value
    loaded = [{keys[key]: plain(value) for key, value in record.items()} for record in dataset.records(record_set["@id"])]
    assert loaded == wanted, f"{path}: {loaded[:1]} for {wanted[:1]}"
    count += len(loaded)
print(f"ok   {count} records in {len(document['recordSet'])} record sets are those of the provider's files")

document["distribution"] = [{key: value for key, value in file.items() if key != "sha256"} for file in document["distribution"]]
evidence.refused("files without digests", mlcroissant.ValidationError, lambda: mlcroissant.Dataset(jsonld=document))
