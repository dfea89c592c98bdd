"""The headers that every answer must have, whatever it answers."""

ALWAYS = {
    "x-content-type-options": lambda value: value == "nosniff",
    "content-security-policy": lambda value: "default-src" in value,
    "referrer-policy": lambda value: value == "no-referrer",
    "cross-origin-resource-policy": lambda value: value in ("same-origin", "same-site", "cross-origin"),
}


def run(exchange):
    """Asks for something of every kind, and lists what is missing where."""
    missing, answered = {}, 0
    for what, answer, credential in kinds(exchange):
        answered += 1
        wanted = [name for name, good in ALWAYS.items() if not good(answer.headers.get(name, ""))]
        framed = "frame-ancestors" in answer.headers.get("content-security-policy", "")
        if not framed and "x-frame-options" not in answer.headers:
            wanted.append("x-frame-options or frame-ancestors")
        # Bytes of files are their reader's to keep; shared caches must not.
        if credential and answer.headers.get("cache-control") not in ("no-store", "private"):
            wanted.append(f"cache-control: no-store or private (has {answer.headers.get('cache-control')!r})")
        if answer.status == 401 and "www-authenticate" not in answer.headers:
            wanted.append("www-authenticate")
        if "server" in answer.headers or "x-powered-by" in answer.headers:
            wanted.append("silence about the server's make")
        for name in wanted:
            missing.setdefault(name, []).append(f"{what} ({answer.status})")
    exchange.checked += answered
    for name, where in missing.items():
        exchange.breach(f"{name} is missing in {len(where)} of {answered} kinds of answer: {', '.join(where[:12])}")


def kinds(exchange):
    """A name, the answer, and whether a credential was given."""
    lab, dataset = exchange.tokens["lab"], exchange.known["dataset"]
    licence = exchange.ask("GET", "/v1/entitlements", token=lab).json()["items"][0]
    links = exchange.ask("POST", f"/v1/entitlements/{licence['id']}/links", {"paths": ["data/poems-00000.jsonl"]}, lab).json()
    link = links["links"][0]["url"].removeprefix(exchange.url)
    version = f"/v1/datasets/{dataset}/versions/1"
    hub = f"/datasets/{dataset}/resolve/main/data/poems-00000.jsonl"
    commit = exchange.ask("HEAD", hub, token=lab).headers.get("x-repo-commit", "main")
    file = hub.replace("main", commit)
    open_ones = [
        "/healthz", "/readyz", "/metrics", "/openapi.yaml", "/docs", "/docs/", "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js",
        "/docs/nothing", "/nowhere", "/", "/.well-known/jwks.json", "/log/checkpoint", "/log/tile/0/000", "/log/tile/9/999", "/v1/exchange/keys",
        "/v1/catalog", "/v1/datasets", "/v1/datasets?limit=x", "/v1/me", "/v1/odrl-profile", "/v1/log/proofs/0", version, f"{version}/croissant",
        f"/api/datasets/{dataset}", "/api/datasets", "/api/models/x", hub, link, link.replace("expires=", "expires=1"), link.split("?")[0],
    ]
    closed = [
        "/v1/me", "/v1/tokens", "/v1/entitlements", "/v1/orders", "/v1/datasets", "/v1/deposits", "/v1/nothing", version, f"{version}/card",
        f"{version}/manifest", f"{version}/shards", f"{version}/preview", f"{version}/croissant", f"/v1/entitlements/{licence['id']}/passport",
        f"/v1/terms/{licence['terms_id']}", f"/v1/terms/{licence['terms_id']}/odrl", f"/v1/orders/{licence['order_id']}/contract/rendering",
        f"/v1/orders/{licence['order_id']}/certificate", "/v1/organisations/verse-lab/accounts", "/v1/events?organisation=verse-lab", "/v1/catalog",
        f"/api/datasets/{dataset}", "/api/whoami-v2", f"/api/datasets/{dataset}/revision/main", f"/api/datasets/{dataset}/tree/main", hub, file,
        file.replace("data/poems-00000.jsonl", "README.md"), f"/datasets/{dataset}/resolve/none/x",
        "/v1/organisations/verse-lab/statements?currency=CNY&from=2020-01-01T00:00:00Z&to=2030-01-01T00:00:00Z&format=csv",
    ]
    for path in open_ones:
        yield f"GET {path.split('?')[0]}", exchange.ask("GET", path), False
    for path in closed:
        yield f"GET {path.split('?')[0]} signed in", exchange.ask("GET", path, token=lab), True
    yield "GET /v1/audit/records signed in", exchange.ask("GET", "/v1/audit/records", token=exchange.tokens["operator"]), True
    yield "GET /v1/me with a bad token", exchange.ask("GET", "/v1/me", token="x"), True
    for method, path, body in [
        ("POST", "/v1/users", {}), ("POST", "/v1/sessions", {"email": "a@a.example", "password": "0123456789abcdef"}),
        ("POST", "/oauth/device", b"client_id=x"), ("POST", "/oauth/token", b"a=b"), ("POST", "/v1/quotes", b"{"), ("DELETE", "/v1/me", None),
        ("TRACE", "/v1/me", None), ("OPTIONS", "/v1/me", None), ("HEAD", "/healthz", None), ("PUT", "/objects/parts/0/1", b"x"),
    ]:
        yield f"{method} {path}", exchange.ask(method, path, body), False
