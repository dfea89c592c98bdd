"""Addresses that nobody may make the exchange knock at."""

PRIVATE = """
https://localhost/ https://LOCALHOST/ https://localhost:8443/ https://127.0.0.1/ https://127.0.0.1./
https://127.1/ https://127.0.1/ https://0x7f000001/ https://0x7f.1/ https://2130706433/ https://017700000001/ https://0177.0.0.1/
https://0/ https://0.0.0.0/ https://[::]/ https://[::1]/ https://[0:0:0:0:0:0:0:1]/ https://[::ffff:127.0.0.1]/
https://[::ffff:7f00:1]/ https://[::127.0.0.1]/ https://[::ffff:0:127.0.0.1]/ https://[64:ff9b::7f00:1]/ https://[64:ff9b:1::7f00:1]/
https://[2002:7f00:1::]/ https://[2001:0:7f00:1::]/ https://[fd00::1]/ https://[fc00::1]/ https://[fdff:ffff::1]/ https://[fe80::1]/
https://[fec0::1]/ https://[ff02::1]/ https://[100::1]/ https://[2001:db8::1]/ https://[fd00:ec2::254]/
https://169.254.169.254/latest/meta-data/ https://169.254.1.1/ https://0xa9fea9fe/ https://2852039166/ https://[::ffff:169.254.169.254]/
https://10.0.0.1/ https://10.255.255.255/ https://172.16.0.1/ https://172.31.255.255/ https://192.168.0.1/ https://100.64.0.1/
https://100.127.255.254/ https://192.0.0.1/ https://192.0.0.192/ https://198.18.0.1/ https://224.0.0.1/ https://240.0.0.1/
https://255.255.255.255/ https://100.100.100.200/latest/meta-data/ https://①②⑦.⓪.⓪.①/ https://１２７.０.０.１/ https://127。0。0。1/
https://127.0.0.1%2f@example.com@localhost/ https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/ https:127.0.0.1/ https:\\\\127.0.0.1\\ https://127%2e0%2e0%2e1/
https://%31%32%37.0.0.1/
""".split()
WRONG = """
http://127.0.0.1/ http://example.com/ file:///etc/passwd file://localhost/etc/passwd gopher://127.0.0.1:6379/_INFO ftp://127.0.0.1/
dict://127.0.0.1:11211/stats ldap://127.0.0.1/ unix:///run/sock data:text/plain,x javascript:alert(1) jar:https://127.0.0.1!/
https://user:password@127.0.0.1/ https://example.com@127.0.0.1/ https://example.com:443@127.0.0.1/ https://127.0.0.1#@example.com/
https://127.0.0.1/#x // https:// https:/// x https://[::1 https://[::1%25lo]/ https://[fe80::1%25eth0]/ https://256.256.256.256/
https://0x1ffffffff/ https://127.0.0.1:99999/ https://exa%00mple.com/
""".split()
# Names that lead nowhere here, and to a cloud's secrets elsewhere: refused, whether they resolve or not.
NAMES = (
    "localhost.", "metadata.google.internal", "metadata.google.internal.", "metadata", "instance-data", "kubernetes.default.svc", "localhost.localdomain",
)


def run(exchange):
    """Asks for a webhook at each: all are refused, and those that name a private address with that for the reason."""
    token, made = exchange.tokens["lab"], "/v1/organisations/verse-lab/webhooks"
    for url in PRIVATE:
        answer = exchange.ask("POST", made, {"url": url}, token)
        # Some spellings are no URL to a strict reader, which refuses them as well.
        told = any(reason in answer.body for reason in (b"not a public address", b"user, password", b"is not a URL"))
        exchange.expect(answer.status == 422 and told, f"POST {made} of {url} is refused as private", answer)
    for url in WRONG:
        answer = exchange.ask("POST", made, {"url": url}, token)
        exchange.expect(answer.status == 422 and answer.is_problem(), f"POST {made} of {url} is refused", answer)
    strange = ["https://a.example/" + "a" * 3000, "https://a\r\nb/", "https://a\tb.localhost/", " https://localhost/ "]
    for url in [f"https://{name}/" for name in NAMES] + strange:
        answer = exchange.ask("POST", made, {"url": url}, token)
        exchange.expect(answer.status in (422, 503) and answer.is_problem(), f"POST {made} of {url[:60]!r} is refused", answer)
    kept = exchange.ask("GET", made, token=token)
    exchange.expect(kept.json()["items"] == [], "none of these webhooks was made", kept)
