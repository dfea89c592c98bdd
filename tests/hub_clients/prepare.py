"""Fills a running exchange with corpora that a lab licensed, one that it did not, and one that it may not know of.

usage: prepare.py PROGRAM SERVER FOLDER. PROGRAM is a corpex with the settings of the exchange at SERVER in its
environment. FOLDER/corpora/mds is a corpus that mds.py wrote. What the clients need to know is written to
FOLDER/facts.json. CORPEX_CORPORA names a folder of corpora to send, one folder each, beside those that are made here.
"""

import datetime
import gzip
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import urllib.request

program, server, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
PASSWORD = "correct horse battery staple"
PROVIDER, LAB, STRANGER = "poetry-house", "verse-lab", "other-lab"


def api(method, path, body=None, token=None):
    request = urllib.request.Request(server + path, method=method)
    if token:
        request.add_header("Authorization", "Bearer " + token)
    if method == "POST":
        request.add_header("Idempotency-Key", os.urandom(16).hex())
    if body is not None:
        request.add_header("Content-Type", "application/json")
        request.data = json.dumps(body).encode()
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read() or b"null")


def command(person, *args):
    env = {**os.environ, "CORPEX_CONFIG_DIR": str(folder / "people" / person)}
    ran = subprocess.run([program, *args], env=env, capture_output=True, text=True)
    assert ran.returncode == 0, f"corpex {' '.join(args)}: {ran.stderr}"
    return ran.stdout


def staff(role):
    email = f"{role}@exchange.test"
    command(role, "admin", "create-user", "--email", email, "--role", role)
    return command(role, "admin", "issue-token", "--email", email).strip()


def in_a_month():
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=30)
    return end.strftime("%Y-%m-%dT%H:%M:%SZ")


def organisation(handle, operator):
    person = {"email": f"admin@{handle}.test", "password": PASSWORD}
    api("POST", "/v1/users", person)
    session = api("POST", "/v1/sessions", person)["access_token"]
    wish = {"name": "clients", "scope": "write", "expires_at": in_a_month()}
    token = api("POST", "/v1/tokens", wish, session)["token"]
    described = {
        "handle": handle, "legal_name": handle, "registration_number": handle, "country": "CN", "affiliations": [],
    }
    api("POST", "/v1/organisations", described, token)
    api("POST", f"/v1/organisations/{handle}/verification", token=operator)
    command(handle, "login", "--server", server, "--token", token)
    command(handle, "key", "generate", handle)
    command(handle, "key", "register", handle)
    return token


def make_corpora():
    """Corpora of forms that those at hand do not have: nested and unusual paths, compression, tar files, an empty file, an odd card, MDS."""
    line = lambda number: json.dumps({"id": number, "text": f"第{number}句"}, ensure_ascii=False) + "\n"
    odd = folder / "corpora" / "odd-paths"
    (odd / "数据 一" / "deep").mkdir(parents=True)
    (odd / "数据 一" / "train [1].jsonl").write_text("".join(map(line, range(500))))
    (odd / "数据 一" / "deep" / "train+%2.jsonl.gz").write_bytes(gzip.compress("".join(map(line, range(500, 900))).encode()))
    (odd / "LICENCE").write_text("")
    # What a card may not say to clients: they would call it in the place of their own.
    (odd / "README.md").write_text("---\nget: x\npop: x\nto_dict: x\nignore_metadata_errors: false\n---\n# Verses\n")
    samples = folder / "corpora" / "samples"
    (samples / "data").mkdir(parents=True)
    for shard in range(2):
        with tarfile.open(samples / "data" / f"train-{shard:05}.tar", "w") as tar:
            for number in range(shard * 50, shard * 50 + 50):
                for end, text in [("txt", f"第{number}句"), ("json", json.dumps({"id": number}))]:
                    member = tarfile.TarInfo(f"{number:06}.{end}")
                    member.size = len(text.encode())
                    tar.addfile(member, io.BytesIO(text.encode()))
    large = folder / "corpora" / "large"
    large.mkdir()
    (large / "train.txt").write_text("".join(f"{number:040}\n" for number in range(600_000)))
    return [odd, samples, large, folder / "corpora" / "mds"]


def publish(source, name):
    paths = ["--terms", str(folder / "terms.json"), "--provenance", str(folder / "provenance.json")]
    told = command(PROVIDER, "publish", str(source), "--dataset", f"{PROVIDER}/{name}", *paths, "--language", "zh-Hant", "--json")
    return json.loads(told)


def put_on_the_board(published, provider, compliance):
    items = api("GET", "/v1/checklist", token=compliance)["items"]
    found = [{"key": item["key"], "finding": "compliant", "evidence": []} for item in items]
    assessment = {"checklist": found, "decision": "passed", "valid_days": 365}
    path = f"/v1/datasets/{published['dataset']}/versions/{published['version']}/assessments"
    api("POST", path, assessment, compliance)
    listing = {key: published[key] for key in ("dataset", "version", "terms_id")}
    api("POST", "/v1/listings", listing, provider)


operator, compliance = staff("operator"), staff("compliance")
tokens = {handle: organisation(handle, operator) for handle in (PROVIDER, LAB, STRANGER)}
terms = {
    "permitted_uses": ["pretrain"], "prohibited_uses": ["redistribute"], "territory": ["*"], "duration_days": 20,
    "attribution": True, "affiliates": False, "price": {"model": "free"},
}
(folder / "terms.json").write_text(json.dumps(terms))
origin = {"collection_method": "other", "source_licence": "public domain", "consent": "not required", "personal_data": "none"}
(folder / "provenance.json").write_text(json.dumps(origin))

sources = make_corpora()
if given := os.environ.get("CORPEX_CORPORA"):
    sources += sorted(path for path in pathlib.Path(given).iterdir() if path.is_dir())
repos = {}
for source in sources:
    published = publish(source, source.name)
    put_on_the_board(published, tokens[PROVIDER], compliance)
    command(LAB, "buy", published["dataset"], "--use", "pretraining of a small language model")
    repos[source.name] = {"id": published["dataset"], "source": str(source)}
gated = publish(sources[0], "gated")
put_on_the_board(gated, tokens[PROVIDER], compliance)
secret = publish(sources[0], "secret")
facts = {
    "program": program, "server": server, "author": PROVIDER, "repos": repos, "gated": gated["dataset"], "secret": secret["dataset"],
    "tokens": {"lab": tokens[LAB], "stranger": tokens[STRANGER], "provider": tokens[PROVIDER]},
}
(folder / "facts.json").write_text(json.dumps(facts))
print(f"ok   {len(repos)} corpora are licensed to {LAB}: {', '.join(repos)}")
