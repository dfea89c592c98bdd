"""Who trades on a fleet, and what: an operator, a provider with a corpus on the board, a lab with money."""

import base64
import http.client
import json
import pathlib
import subprocess
import tempfile
import time
import urllib.parse

PRICE = 100
# How long an answer is waited for that must be good, and how long it is asked for again, in seconds.
PATIENCE = 60
CARD = """---
pretty_name: Poems
language: [zh]
modality: text
domain: culture
provenance: {collection_method: other, source_licence: public domain, consent: not required, personal_data: none}
---
# Poems
"""


def terms(**other):
    amount = {"amount_minor": PRICE, "currency": "CNY"}
    return {
        "permitted_uses": ["pretrain"], "prohibited_uses": ["redistribute"], "territory": ["*"], "duration_days": None,
        "attribution": True, "affiliates": False, "price": {"model": "one_off", "amount": amount},
    } | other


class Answer:
    """What came of one request, and when; no status where nothing came."""

    def __init__(self, began, status, body, error=None):
        self.began, self.took, self.status, self.body, self.error = began, time.monotonic() - began, status, body, error

    def json(self):
        return json.loads(self.body)

    def __str__(self):
        return f"{self.status or self.error!r} after {self.took:.1f} s: {self.body[:200]!r}"


def ask(url, method="GET", path="", body=None, token=None, key=None, headers=None, timeout=15):
    """Sends one request, once."""
    began, parts, headers = time.monotonic(), urllib.parse.urlsplit(url + path), dict(headers or {})
    if isinstance(body, (dict, list)):
        body, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if key:
        headers["Idempotency-Key"] = key
    wire = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
    try:
        wire.request(method, f"{parts.path}?{parts.query}" if parts.query else parts.path, body, headers)
        answer = wire.getresponse()
        if answer.status in (302, 307):
            return Answer(began, answer.status, answer.headers["Location"].encode())
        return Answer(began, answer.status, answer.read())
    except (OSError, http.client.HTTPException) as error:
        return Answer(began, None, b"", error)
    finally:
        wire.close()


class Key:
    """The signing key of an organisation, which `corpex` made; openssl signs with it."""

    def __init__(self, file, key_id):
        self.key_id, self.der = key_id, pathlib.Path(f"{file}.der")
        self.der.write_bytes(bytes.fromhex("302e020100300506032b657004220420" + pathlib.Path(file).read_text().strip()))

    def envelope(self, payload):
        """A DSSE envelope around a statement."""
        kind, body = "application/vnd.in-toto+json", base64.b64decode(payload)
        with tempfile.NamedTemporaryFile() as message:
            message.write(f"DSSEv1 {len(kind)} {kind} {len(body)} ".encode() + body)
            message.flush()
            words = ["openssl", "pkeyutl", "-sign", "-rawin", "-keyform", "DER", "-inkey", self.der, "-in", message.name]
            signature = subprocess.run(words, check=True, capture_output=True).stdout
        return {
            "payloadType": kind, "payload": payload,
            "signatures": [{"keyid": self.key_id, "sig": base64.b64encode(signature).decode()}],
        }


class Market:
    """The people, with tokens and keys; what they made before anything breaks."""

    def __init__(self, fleet):
        self.fleet, self.url = fleet, f"http://{fleet.first.host}:8080"
        self.home = fleet.folder / "people"
        self.operator, self.officer = self.staff("operator"), self.staff("compliance")
        self.provider, _ = self.sign_up("poetry-house")
        self.lab, self.key = self.sign_up("verse-lab")
        self.shards = {f"data/{number}.jsonl": f'{{"text": "{number} 床前明月光"}}\n'.encode() * 400 for number in range(4)}
        self.dataset, self.listing = "poetry-house/poems", self.publish("poems", terms())
        self.drafts, self.deposited, self.bought, self.unpaid = 0, 0, {}, []
        self.deposit("start", 1_000_000)

    def must(self, method, path, body=None, token=None, key=None, headers=None):
        """A request that must succeed, if not at once."""
        until = time.monotonic() + PATIENCE
        answer = ask(self.url, method, path, body, token, key, headers, timeout=PATIENCE)
        while answer.status in (None, 503, 504) and time.monotonic() < until:
            time.sleep(0.5)
            answer = ask(self.url, method, path, body, token, key, headers, timeout=PATIENCE)
        if answer.status is None or answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer}")
        return json.loads(answer.body) if answer.body else None

    def cli(self, who, token, *words):
        """A command of a person's own."""
        known = {"CORPEX_CONFIG_DIR": str(self.home / who), "PATH": "/usr/bin:/bin"}
        command = [self.fleet.program, "--server", self.url, "--token", token, "--json", *map(str, words)]
        done = subprocess.run(command, env=known, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{words}: {done.stderr}")
        return json.loads(done.stdout)

    def staff(self, role):
        email = f"{role}@exchange.example"
        for words in (["create-user", "--email", email, "--role", role], ["issue-token", "--email", email]):
            done = self.fleet.corpex("admin", *words)
            if done.returncode:
                raise RuntimeError(f"{words}: {done.stderr}")
        return done.stdout.strip()

    def sign_up(self, handle):
        person = {"email": f"admin@{handle}.example", "password": "correct horse battery"}
        self.must("POST", "/v1/users", person)
        session = self.must("POST", "/v1/sessions", person)["access_token"]
        later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 30 * 24 * 3600))
        token = self.must("POST", "/v1/tokens", {"name": "torture", "scope": "write", "expires_at": later}, session)["token"]
        organisation = {"handle": handle, "legal_name": handle, "registration_number": handle, "country": "CN", "affiliations": []}
        self.must("POST", "/v1/organisations", organisation, token)
        self.must("POST", f"/v1/organisations/{handle}/verification", token=self.operator)
        made = self.cli(handle, token, "key", "generate", handle)
        self.cli(handle, token, "key", "register", handle)
        return token, Key(made["file"], made["key_id"])

    def publish(self, name, document):
        """A corpus on the board; the id of its listing."""
        source = self.home / "sources" / name
        (source / "data").mkdir(parents=True)
        for path, content in self.shards.items():
            (source / path).write_bytes(content)
        (source / "README.md").write_text(CARD)
        (source.parent / f"{name}.json").write_text(json.dumps(document))
        words = ["publish", source, "--dataset", f"poetry-house/{name}", "--terms", source.parent / f"{name}.json"]
        published = self.cli("poetry-house", self.provider, *words)
        items = self.must("GET", "/v1/checklist", token=self.officer)["items"]
        checklist = [{"key": item["key"], "finding": "compliant", "evidence": []} for item in items]
        passed = {"decision": "passed", "valid_days": 365, "checklist": checklist}
        self.must("POST", f"/v1/datasets/poetry-house/{name}/versions/1/assessments", passed, self.officer)
        wanted = {"dataset": f"poetry-house/{name}", "version": 1, "terms_id": published["terms_id"]}
        return self.must("POST", "/v1/listings", wanted, self.provider)["id"]

    def draft(self):
        """A new draft, to send shards to; its path."""
        self.drafts += 1
        name = f"draft-{self.drafts}"
        dataset = {"organisation": "poetry-house", "name": name, "title": "Poems", "modality": "text", "domain": "culture"}
        self.must("POST", "/v1/datasets", dataset | {"languages": ["zh"]}, self.provider)
        self.must("POST", f"/v1/datasets/poetry-house/{name}/versions", {"card": CARD}, self.provider)
        return f"/v1/datasets/poetry-house/{name}/versions/1"

    def deposit(self, reference, fen):
        self.must("POST", "/v1/deposits", self.of_deposit(reference, fen), self.operator, reference)
        self.deposited += fen

    @staticmethod
    def of_deposit(reference, fen):
        amount = {"amount_minor": fen, "currency": "CNY"}
        return {"organisation": "verse-lab", "amount": amount, "reference": reference}

    def wanted(self, listing=None):
        order = {"listing_id": listing or self.listing, "organisation": "verse-lab", "use": "pretrain"}
        return order | {"purpose": "pretraining of a small model of classical verse"}

    def purchase(self, quote, listing=None):
        return {"order": self.wanted(listing), "quote": quote["quote"], "envelope": self.key.envelope(quote["contract_payload"])}

    def all(self, path, token):
        """Every item of a list."""
        items, cursor = [], None
        while True:
            more = f"{path}{'&' if '?' in path else '?'}limit=100" + (f"&cursor={urllib.parse.quote(cursor)}" if cursor else "")
            page = self.must("GET", more, token=token)
            items, cursor = items + page["items"], page.get("next")
            if not cursor or not page["items"]:
                return items

    def balances(self):
        found = self.must("GET", "/v1/organisations/verse-lab/accounts", token=self.lab)["items"]
        return {account["kind"]: account["balance"]["amount_minor"] for account in found}
