"""Bodies that are small and become large, deep or meaningless."""

import gzip
import time
import zlib

MEMORY = 128  # MiB that the server may grow by over all of them


def run(exchange):
    """Sends each where anybody may send, and where members may: each is refused soon, with little memory."""
    before = exchange.memory()
    lab, operator = exchange.tokens["lab"], exchange.tokens["operator"]
    places = [
        ("POST", "/v1/users", None), ("POST", "/v1/sessions", None), ("POST", "/v1/organisations", lab),
        ("POST", "/v1/deposits", operator), ("POST", "/v1/quotes", lab),
    ]
    for method, path, token in places:
        for what, body, headers in bad_json():
            began = time.monotonic()
            answer = exchange.ask(method, path, body, token, [("Idempotency-Key", "body-1"), *headers])
            took = time.monotonic() - began
            refused = 400 <= answer.status < 500 and answer.is_problem()
            exchange.expect(refused and took < 5, f"{method} {path} of {what} is refused within 5 s", f"{took:.1f} s, {answer}")
    for number in numbers():
        body = b'{"organisation":"verse-lab","amount":{"amount_minor":%s,"currency":"CNY"},"reference":"r"}' % number
        answer = exchange.ask("POST", "/v1/deposits", body, operator, [("Idempotency-Key", "number-1")])
        refused = 400 <= answer.status < 500 and answer.is_problem()
        exchange.expect(refused, f"a deposit of {number[:40]!r} is refused", answer)
    forms = {"10 MiB": b"device_code=" + b"a" * (10 << 20), "100,000 fields": b"&".join(b"a%d=1" % n for n in range(100_000))}
    forms |= {"bytes that are no UTF-8": b"grant_type=%ff%fe&device_code=%00", "percent signs": b"%" * 4000}
    for what, form in forms.items():
        answer = exchange.ask("POST", "/oauth/token", form, media="application/x-www-form-urlencoded")
        exchange.expect(400 <= answer.status < 500, f"POST /oauth/token of {what} is refused", answer)
    for query in ["a=1&" * 10_000, "q=" + "(" * 5000, "q=" + "a*" * 3000, "limit=99999999999999999999"]:
        path = f"/v1/datasets?{query}"
        began = time.monotonic()
        answer = exchange.ask("GET", path)
        soon = time.monotonic() - began < 5
        exchange.expect(answer.status < 500 and soon, f"GET {path[:40]}… of {len(path)} bytes is answered within 5 s", answer)
    grown = exchange.memory() - before
    exchange.expect(grown < MEMORY, f"the server grew by less than {MEMORY} MiB", f"{grown} MiB")
    print(f"bodies: the server grew by {grown} MiB", flush=True)
    exchange.alive("bad bodies")


def bad_json():
    """What it is, its bytes, and the headers that go with it."""
    zeros = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(zeros.compress(bytes(1 << 20)) for _ in range(256)) + zeros.flush()
    yield "256 MiB in gzip", bomb, [("Content-Encoding", "gzip")]
    person = b'{"email":"gzip@attack.example","password":"0123456789abcdef"}'
    yield "honest JSON in gzip", gzip.compress(person), [("Content-Encoding", "gzip")]
    for coding in ("deflate", "br", "zstd", "identity, gzip", "gzip, gzip", "compress", "x"):
        yield f"gzip declared as {coding}", gzip.compress(person), [("Content-Encoding", coding)]
    yield "100,000 brackets", b"[" * 100_000, []
    yield "100,000 braces", b'{"a":' * 100_000, []
    yield "brackets in a field", b'{"email":' + b"[" * 900 + b"]" * 900 + b"}", []
    yield "a string of 10 MiB", b'{"email":"' + b"a" * (10 << 20) + b'"}', []
    yield "bytes that are no UTF-8", b'{"email":"\xff\xfe","password":"\xc0\x80"}', []
    yield "an overlong slash", b'{"email":"\xc0\xaf@a.example","password":"0123456789abcdef"}', []
    yield "UTF-16", '{"email":"a@b.example"}'.encode("utf-16"), []
    yield "a byte order mark", b"\xef\xbb\xbf{}", []
    yield "half a surrogate", b'{"email":"\\ud800@a.example","password":"0123456789abcdef"}', []
    yield "NUL in a string", b'{"email":"a\\u0000@a.example","password":"0123456789abcdef"}', []
    yield "a field twice", b'{"email":"a@a.example","email":"b@a.example","password":"0123456789abcdef"}', []
    yield "a field too many", b'{"__proto__":{"admin":true},"email":"c@a.example","password":"0123456789abcdef"}', []
    yield "an infinite number", b'{"email":1e999999,"password":-1e999999}', []
    yield "NaN", b'{"email":NaN}', []
    yield "nothing", b"", []
    yield "two documents", b"{}{}", []
    yield "a comment", b'/**/{"email":"d@a.example"}', []


def numbers():
    """Numbers that are no amount of money."""
    long = [b"9" * 1000, b"1" + b"0" * 100_000, b"9223372036854775808", b"1e400", b"1e18"]
    return long + b'1.5 -1 -0 0 0x10 01 "1" NaN null true [1]'.split()
