"""Access tokens that were forged, bent or borrowed: none may be believed."""

import base64
import hashlib
import hmac
import json
import socket
import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ORDER = 2**252 + 27742317777372353535851937790883648493


def b64(data):
    data = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def signed(key, header, claims):
    """A token as the exchange makes them, with any key, header and claims."""
    text = f"{b64(header)}.{b64(claims)}"
    return f"{text}.{b64(key.sign(text.encode()))}"


def run(exchange):
    """Presents every bad token to /v1/me: each is answered 401 with a problem."""
    session = exchange.sign_in("jwt@attack.example")
    token = session["access_token"]
    head, body, signature = token.split(".")
    header, claims = json.loads(unb64(head)), json.loads(unb64(body))
    own = Ed25519PrivateKey.from_private_bytes(bytes.fromhex((exchange.data / "keys" / "access.key").read_text().strip()))
    stranger = Ed25519PrivateKey.generate()
    for what, good in [("a token of the exchange", token), ("one made in the same way", signed(own, header, claims))]:
        answer = exchange.ask("GET", "/v1/me", token=good)
        exchange.expect(answer.status == 200, f"{what} is believed, so that the refusals mean something", answer)
    with socket.create_server(("127.0.0.1", 0)) as bait:
        where = f"http://127.0.0.1:{bait.getsockname()[1]}/keys"
        bad = dict(forged(stranger, header, claims, where, exchange))
        bad |= dict(unsigned(head, body, signature, header, claims, exchange))
        bad |= dict(of_wrong_claims(own, header, claims))
        bad["the refresh token"] = session["refresh_token"]
        bad["the refresh token as an API token"] = "cpx_" + session["refresh_token"]
        for what, text in bad.items():
            answer = exchange.ask("GET", "/v1/me", token=text)
            refused = answer.status == 401 and answer.is_problem() and "www-authenticate" in answer.headers
            exchange.expect(refused, f"GET /v1/me with {what} (Bearer {text[:120]}) is 401 with a problem", answer)
        bait.settimeout(1)
        try:
            bait.accept()
            exchange.breach(f"the exchange fetched {where}, which the header of a forged token named")
        except TimeoutError:
            exchange.checked += 1
    exchange.ask("DELETE", "/v1/sessions/current", token=token)
    time.sleep(5)
    answer = exchange.ask("GET", "/v1/me", token=token)
    exchange.expect(answer.status == 401, "the token of a session that was signed out of is 401 within 5 seconds", answer)


def forged(key, header, claims, where, exchange):
    """Tokens signed with a key of the attacker's, who says where to find it."""
    public = {"kty": "OKP", "crv": "Ed25519", "x": b64(key.public_key().public_bytes_raw())}
    yield "a stranger's signature", signed(key, header, claims)
    for name, value in [
        ("jku", where), ("x5u", where), ("jwk", public), ("x5c", [base64.b64encode(b"0" * 64).decode()]),
        ("x5t", "AAAA"), ("x5t#S256", "AAAA"),
    ]:
        yield f"a stranger's key in `{name}`", signed(key, header | {name: value}, claims)
        yield f"a stranger's key in `{name}` alone", signed(key, {"alg": "EdDSA", "typ": "at+jwt", name: value}, claims)
    for kid in [
        "unknown", "", "../../../../dev/null", "/dev/null", "' OR '1'='1", "x' UNION SELECT 'key' --", "\0", "a" * 1000,
        header["kid"].upper(), header["kid"] + "\0", "$(id)", "file:///etc/passwd", where, None, 1, [header["kid"]],
    ]:
        yield f"a stranger's signature and kid {kid!r}", signed(key, header | {"kid": kid}, claims)


def unsigned(head, body, signature, header, claims, exchange):
    """Tokens of another algorithm, without a signature, or with the real one bent."""
    for alg in ["none", "None", "NONE", "nOnE", "none ", "", None, "HS256 ", "EdDSA\0", "eddsa", "Ed25519", "RS256", "PS256"]:
        for end in ("", signature):
            yield f"alg {alg!r} and {'the' if end else 'no'} signature", f"{b64(header | {'alg': alg})}.{body}.{end}"
    keys = exchange.ask("GET", "/.well-known/jwks.json")
    for number, key in enumerate(keys.json()["keys"]):
        raw = unb64(key["x"])
        prefix = bytes.fromhex("302a300506032b6570032100")
        pem = b"-----BEGIN PUBLIC KEY-----\n" + base64.b64encode(prefix + raw) + b"\n-----END PUBLIC KEY-----\n"
        secrets = {"x": raw, "x in base64url": key["x"].encode(), "x in hex": raw.hex().encode(), "PEM": pem}
        secrets |= {"DER": prefix + raw, "kid": key["kid"].encode(), "nothing": b"", "JWK": json.dumps(key).encode()}
        for form, secret in secrets.items():
            for alg, digest in [("HS256", hashlib.sha256), ("HS384", hashlib.sha384), ("HS512", hashlib.sha512)]:
                text = f"{b64(header | {'alg': alg, 'kid': key['kid']})}.{body}"
                yield f"{alg} by public key {number} as {form}", f"{text}.{b64(hmac.new(secret, text.encode(), digest).digest())}"
    raw = unb64(signature)
    s = int.from_bytes(raw[32:], "little")
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    bent = {f"cut by {cut}": signature[:-cut] for cut in (1, 2, 4, 43, 85)}
    bent |= {f"with {more!r} behind it": signature + more for more in ("A", "AA", "AAAA", "=", "==", "%00", ".", "." + signature)}
    bent |= {"S + L": b64(raw[:32] + (s + ORDER).to_bytes(32, "little")), "S = 0": b64(raw[:32] + bytes(32)), "zero": b64(bytes(64))}
    bent |= {"unused bits set": signature[:-1] + last[last.index(signature[-1]) + 1], "R and S swapped": b64(raw[32:] + raw[:32])}
    bent |= {"padding": signature + "==", "standard base64": base64.b64encode(raw).decode()}
    for what, text in bent.items():
        yield f"a signature {what}", f"{head}.{body}.{text}"
    for typ in ["JWT", "at+JWT2", "application/at+jwt2", "", None, "dpop+jwt", "refresh"]:
        yield f"typ {typ!r} under the old signature", f"{b64(header | {'typ': typ})}.{body}.{signature}"
    yield "other claims under the old signature", f"{head}.{b64(claims | {'exp': claims['exp'] + 9999})}.{signature}"
    yield "two dots only", ".."
    yield "a nested token", b64(f"{head}.{body}.{signature}".encode()) + "." + body + "." + signature
    yield "64 KiB of claims", f"{head}.{'A' * 3900}.{signature}"
    yield "JSON that is nested deeply in the header", f"{b64(b'[' * 1500)}.{body}.{signature}"


def of_wrong_claims(own, header, claims):
    """Tokens that the exchange's own key signed, and that say what they must not."""
    now = int(time.time())
    for name in claims:
        yield f"no `{name}`", signed(own, header, {key: value for key, value in claims.items() if key != name})
        for value in [None, True, -1, 1.5, 10**30, "1", "", [], {}, [claims[name]], {"$ne": None}]:
            if (name, value) not in [("jti", "1"), ("jti", "")]:
                yield f"`{name}` {value!r}", signed(own, header, claims | {name: value})
    for what, other in {
        "that expired": {"exp": now - 60, "iat": now - 660, "nbf": now - 660}, "that expires in the year 9999": {"exp": 253402300799},
        "not valid yet": {"nbf": now + 300}, "issued in the future": {"iat": now + 300}, "of another issuer": {"iss": "https://evil.example"},
        "for somebody else": {"aud": "https://evil.example"}, "of an issuer with a slash": {"iss": claims["iss"] + "/"},
        "of the user 0": {"sub": "user_" + "0" * 26}, "of no session": {"sid": "session_" + "0" * 26},
        "of another kind of subject": {"sub": claims["sid"]}, "with SQL for a session": {"sid": "' OR 1=1 --"},
    }.items():
        yield f"a token {what}", signed(own, header, claims | other)
    for name, value in [("crit", ["exp"]), ("typ", "JWT"), ("typ", None), ("kid", "unknown"), ("kid", None), ("alg", "HS256")]:
        yield f"`{name}` {value!r} in a signed header", signed(own, header | {name: value}, claims)
    # A header that is good is good whatever the key's other name says; the next key must be named as itself.
    yield "claims that are a list", signed(own, header, [claims])
    yield "claims that are no JSON", signed(own, header, b"{")
