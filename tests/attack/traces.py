"""What is left behind: text that was slipped into headers and the log, and secrets in the log and the database."""

import base64
import json
import re
import sqlite3
import time

from exchange import answers

LINE = re.compile(rb"^(\d{4}-\d\d-\d\dT[\d:.]+Z +(TRACE|DEBUG|INFO|WARN|ERROR) |serving on http)")
MARK = "slipped-in-here"
PATHS = """
/TEXT /v1/TEXT /v1/datasets/TEXT/x /v1/datasets?q=TEXT /v1/datasets?cursor=TEXT /v1/datasets?limit=1&TEXT=TEXT /docs/TEXT
/v1/trace?of=TEXT /api/datasets/TEXT/x /datasets/TEXT/x/resolve/main/TEXT /objects/TEXT/TEXT?name=TEXT /v1/log/proofs/TEXT
/v1/device-logins/TEXT
""".split()
HEADERS = """
User-Agent X-Request-Id Idempotency-Key Referer X-Forwarded-For X-Forwarded-Host Forwarded Origin Accept Range If-Range Cookie
traceparent
""".split()


def inject(exchange):
    """Puts line ends and escape sequences wherever a client may put text: none of it becomes a header of the answer."""
    plain = f"\r\nX-Slipped: {MARK}\r\n\r\n<script>{MARK}</script>\x1b[31m{MARK}\x1b]0;{MARK}\x07"
    coded = "".join(f"%{byte:02x}" for byte in plain.encode())
    twice = coded.replace("%", "%25")
    escape, wide = f"\x1b[2J{MARK}", f"\u560d\u560aX-Slipped: {MARK}"
    operator, lab = exchange.tokens["operator"], exchange.tokens["lab"]
    short = [f"{ending}X-Slipped:%20{MARK}" for ending in ("%0d%0a", "%0a", "%e5%98%8d%e5%98%8a", "%c2%9b31m")]
    for text in (coded, twice, wide, *short):
        for path in (path.replace("TEXT", text) for path in PATHS):
            for token in (None, operator):
                told(exchange, f"GET {path} HTTP/1.1", [], token)
    for name in HEADERS:
        for value in (escape, coded, f"a\nX-Slipped: {MARK}", f"a\rX-Slipped: {MARK}", "x" * 5000, wide):
            told(exchange, "GET /v1/me HTTP/1.1", [f"{name}: {value}"], lab)
            sized = ["Content-Type: application/json", "Content-Length: 2"]
            told(exchange, "POST /v1/deposits HTTP/1.1", [f"{name}: {value}", *sized], operator, "{}")
    # What a token's header says is attacker's text as well.
    for text in (f"x\n2026-01-01T00:00:00Z  INFO {MARK}", f"x\x1b[31m{MARK}", f"x\r{MARK}", f"x\u009b31m{MARK}"):
        for header in ({"alg": text}, {"alg": "EdDSA", "typ": text}, {"alg": "EdDSA", "typ": "at+jwt", "kid": text}, {text: 1}):
            token = base64.urlsafe_b64encode(json.dumps(header).encode()).decode().rstrip("=")
            told(exchange, "GET /v1/me HTTP/1.1", [f"Authorization: Bearer {token}.e30.AAAA"], None)
        for field in ("email", "password", text):
            exchange.ask("POST", "/v1/sessions", {"email": "a@a.example", "password": "0123456789abcdef", field: text})
    # Secrets where they do not belong, as careless clients put them there.
    for who, secret in list(exchange.secrets.items()):
        value = secret.replace(" ", "%20")
        told(exchange, f"GET /v1/me?access_token={value}&token={value} HTTP/1.1", [], None)
        told(exchange, f"GET /v1/nothing?password={value} HTTP/1.1", [], operator)
        told(exchange, "GET /v1/me HTTP/1.1", [f"User-Agent: {value}", f"X-Request-Id: {value}", f"Cookie: session={value}"], None)
        told(exchange, "GET /v1/me HTTP/1.1", [f"Authorization: Basic {base64.b64encode(('x:' + secret).encode()).decode()}"], None)
        told(exchange, "GET /v1/me HTTP/1.1", [f"Authorization: Token {value}"], None)
        exchange.ask("POST", "/v1/sessions", {"email": "nobody@attack.example", "password": secret})
        exchange.ask("POST", "/v1/sessions/refresh", {"refresh_token": secret[:40] + "aaa"})
    exchange.alive("injections")


def told(exchange, first, lines, token, body=""):
    """Sends a request as it is, and looks for the mark among the headers of what comes back."""
    credential = [f"Authorization: Bearer {token}"] if token else []
    head = "\r\n".join([first, f"Host: {exchange.host}", "Connection: close", *credential, *lines])
    received, _ = exchange.raw(f"{head}\r\n\r\n{body}".encode(), patience=10)
    for answer in answers(received):
        kept = [name for name, value in answer.headers.items() if name == "x-slipped" or "\x1b" in value]
        exchange.expect(not kept and answer.status < 500, f"{first[:120]!r} with {lines!r:.120} puts nothing into headers", answer)


def use_secrets(exchange):
    """Uses every kind of credential that the exchange gives, so that each would be found where it was kept."""
    session = exchange.sign_in("traces@attack.example")
    refreshed = exchange.ask("POST", "/v1/sessions/refresh", {"refresh_token": session["refresh_token"]}).json()
    exchange.secrets["a second access token"] = refreshed["access_token"]
    exchange.secrets["a second refresh token"] = refreshed["refresh_token"]
    once = [("Idempotency-Key", "token-1")]
    tomorrow = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 86400))
    wanted = {"name": "trace", "scope": "read", "expires_at": tomorrow}
    made = exchange.ask("POST", "/v1/tokens", wanted, refreshed["access_token"], once)
    exchange.expect(made.status == 201, "an API token is made", made)
    if made.status == 201:
        exchange.secrets["a new API token"] = made.json()["token"]
        exchange.ask("GET", "/v1/me", token=made.json()["token"])
    codes = exchange.ask("POST", "/oauth/device", b"client_id=attack", media="application/x-www-form-urlencoded").json()
    if "device_code" in codes:
        exchange.secrets["the code of a device"] = codes["device_code"]
        exchange.ask("POST", f"/v1/device-logins/{codes['user_code']}/approval", {}, refreshed["access_token"])
        form = f"grant_type=urn:ietf:params:oauth:grant-type:device_code&client_id=attack&device_code={codes['device_code']}"
        token = exchange.ask("POST", "/oauth/token", form.encode(), media="application/x-www-form-urlencoded").json()
        exchange.expect("access_token" in token, "a device is signed in", token)
        exchange.secrets["the token of a device"] = token.get("access_token", "no token")


def search(exchange):
    """Reads the log and the database, once the server has stopped."""
    log = exchange.log.read_bytes()
    lines = log.split(b"\n")
    strange = [line for line in lines if line and not LINE.match(line)]
    exchange.expect(not strange, "every line of the log is the exchange's own", f"{len(strange)} others, such as {strange[:2]!r:.600}")
    raw = re.findall(rb"[^\n]*[\x00-\x08\x0b-\x1f\x7f][^\n]*", log)
    exchange.expect(not raw, "no control character is in the log", f"{len(raw)} lines, such as {raw[:1]!r:.400}")
    faults = [line for line in lines if b"panicked" in line or re.search(rb"error=(internal|unverified|log-misbehaved)", line)]
    exchange.expect(not faults, "no fault is in the log", f"{len(faults)}, such as {faults[:2]!r:.600}")
    hidden = [("a JWT", rb"eyJ[\w-]{20,}\.eyJ[\w-]{20,}\.[\w-]{80,}"), ("an API token", rb"cpx_[\w-]{43}")]
    hidden.append(("a link's signature", rb"signature=[0-9a-f]{64}"))
    for what, pattern in hidden:
        line = next((line for line in lines if re.search(pattern, line)), None)
        exchange.expect(line is None, f"{what} is not in the log", f"{line!r:.400}")
    with sqlite3.connect(exchange.data / "corpex.sqlite3") as database:
        dump = "\n".join(database.iterdump()).encode(errors="surrogateescape")
    files = b"".join(file.read_bytes() for file in sorted(exchange.data.glob("corpex.sqlite3*")))
    for what, secret in exchange.secrets.items():
        for form, needle in forms(secret):
            for place, text in [("log", log), ("dump of the database", dump), ("database's files", files)]:
                at = text.find(needle)
                around = text[max(0, at - 200) : at + 40]
                exchange.expect(at < 0, f"{what} is not in the {place} as {form}", f"{around!r}")
    print(f"traces: looked for {len(exchange.secrets)} secrets in {len(lines)} lines of log and {len(dump)} bytes of database", flush=True)


def forms(secret):
    """How a secret may be written down."""
    data = secret.encode()
    yield "it is", data
    yield "hexadecimal", data.hex().encode()
    yield "upper-case hexadecimal", data.hex().upper().encode()
    # Base64 depends on what stands before it, so three of its forms are looked for, without their edges.
    for before in range(3):
        for alphabet in (base64.b64encode, base64.urlsafe_b64encode):
            yield "base64", alphabet(bytes(before) + data)[4:-4]
    if len(data.removeprefix(b"cpx_")) == 43:
        bare = data.removeprefix(b"cpx_")
        yield "its bytes", base64.urlsafe_b64decode(bare + b"=")
        yield "its bytes in hexadecimal", base64.urlsafe_b64decode(bare + b"=").hex().encode()
