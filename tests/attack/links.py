"""Signed links, bent in every part: only what was signed gives bytes."""

import hashlib
import hmac
import json
import time
import urllib.parse


def signed(key, method, path, parameters):
    """A query as the exchange signs it."""
    document = json.dumps([method, path, dict(sorted(parameters.items()))], separators=(",", ":"), ensure_ascii=False)
    signature = hmac.new(key, b"corpex link v1\n" + document.encode(), hashlib.sha256).hexdigest()
    return urllib.parse.urlencode(sorted((parameters | {"signature": signature}).items()))


def run(exchange):
    """Takes the link of a download apart: whatever is changed, no byte of an object comes back."""
    lab = exchange.tokens["lab"]
    licence = exchange.ask("GET", "/v1/entitlements", token=lab).json()["items"][0]["id"]
    paths = ["data/poems-00000.jsonl", "data/poems-00001.jsonl"]
    given = exchange.ask("POST", f"/v1/entitlements/{licence}/links", {"paths": paths}, lab)
    first, second = (urllib.parse.urlsplit(link["url"]) for link in given.json()["links"])
    fields = dict(urllib.parse.parse_qsl(first.query))
    exchange.secrets["the signature of a link"] = fields["signature"]
    content = exchange.ask("GET", f"{first.path}?{first.query}")
    exchange.expect(content.status == 200 and content.body, "the link as it was given gives the shard", content)
    key = bytes.fromhex((exchange.data / "keys" / "url.key").read_text().strip())
    plain = {name: value for name, value in fields.items() if name != "signature"}
    again = signed(key, "GET", first.path, plain)
    exchange.expect(exchange.ask("GET", f"{first.path}?{again}").status == 200, "a link signed in the same way is good", again)
    tries = [("GET", first.path, query, what) for query, what in bent(fields, first.query)]
    tries += [("GET", path, first.query, f"the path {path}") for path in elsewhere(first.path, second.path)]
    tries += [(method, first.path, first.query, method) for method in ("PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "get")]
    old = signed(key, "GET", first.path, plain | {"expires": str(int(time.time()) - 2)})
    tries.append(("GET", first.path, old, "a link that has expired"))
    tries.append(("GET", first.path, signed(key, "PUT", first.path, plain), "a link for PUT"))
    tries += [
        ("GET", first.path, signed(key, "GET", first.path, plain | {"expires": text}), f"a signed expiry of {text!r}")
        for text in ("", "-1", "1e99", "99999999999999999999999", "never")
    ]
    tries.append(("PUT", "/objects/parts/0/1", first.query, "a part with the link of a download"))
    for method, path, query, what in tries:
        answer = exchange.ask(method, f"{path}?{query}", b"x" if method in ("PUT", "POST", "PATCH") else None)
        refused = answer.status in (400, 403, 404, 405) and content.body[:40] not in answer.body
        exchange.expect(refused, f"{method} {path}?{query} ({what}) gives nothing", answer)
    head = exchange.ask("HEAD", f"{first.path}?{first.query}")
    exchange.expect(not head.body, "HEAD gives no bytes", head)


def bent(fields, query):
    """The query with each parameter changed, removed, doubled, renamed."""
    encode = urllib.parse.urlencode
    for name, value in fields.items():
        changed = value[:-1] + ("0" if value[-1] != "0" else "1")
        yield encode(fields | {name: changed}), f"`{name}` changed"
        yield encode(fields | {name: ""}), f"`{name}` empty"
        yield encode(fields | {name: value + "\0"}), f"`{name}` with a NUL behind it"
        yield encode({key: text for key, text in fields.items() if key != name}), f"`{name}` removed"
        yield f"{query}&{encode({name: value})}", f"`{name}` doubled"
        yield f"{encode({name: changed})}&{query}", f"`{name}` doubled before it"
        yield encode({key.upper() if key == name else key: text for key, text in fields.items()}), f"`{name}` in upper case"
        yield encode({f"{key}[]" if key == name else key: text for key, text in fields.items()}), f"`{name}[]`"
    yield encode(fields | {"expires": "9999999999"}), "a later expiry"
    yield encode(fields | {"signature": fields["signature"][:32]}), "half a signature"
    yield encode(fields | {"signature": "00" * 32}), "a signature of zeros"
    yield encode(fields | {"response-content-type": "text/html"}), "one parameter more"
    yield query.replace("&", ";"), "semicolons"
    yield "", "no query"


def elsewhere(path, other):
    """Other objects, and ways out of the store."""
    prefix, name = path.rsplit("/", 1)
    yield from (other, path + "/", path + "%00", path.upper(), f"{prefix}//{name}", f"{prefix}/./{name}")
    yield from ("/objects/../keys/url.key", "/objects/%2e%2e/keys", "/objects/..%2f..%2fkeys/url.key")
    yield "/objects/aa/..%2f..%2f..%2fkeys%2furl.key"
    yield from (f"{prefix}/..%2f{prefix.rsplit('/', 1)[1]}%2f{name}", f"//objects{path[8:]}", f"/objects/parts/{name}")
