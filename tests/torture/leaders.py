"""Two who believe that they lead the log: one sleeps, or is cut off, while another takes over, and goes on in the middle of
its work. The log stays one log, and what is remembered of it never falls back."""

import datetime
import hashlib
import hmac
import http.client
import signal
import time
import urllib.parse

from fleet import NET, wait_until

LEASE = 3
SLEEPS = 6
MARK_PLACES = 32


def leader(fleet):
    return fleet.database.ask("SELECT owner FROM log_lease")


def run(verdict, fleet, market, traffic):
    sleepers(verdict, fleet, market, traffic)
    late_mark(verdict, fleet, market)


def sleepers(verdict, fleet, market, traffic):
    """Stops each process at any moment until its lease is another's, ends its connections, and lets it go on."""
    overthrown = 0
    with traffic("leaders") as trades:
        for count in range(SLEEPS):
            sleeper = fleet.all[count % len(fleet.all)]
            awake = [instance for instance in fleet.instances if instance is not sleeper]
            trades.choose = lambda lane, attempt: awake[(lane + attempt) % len(awake)]
            before = leader(fleet)
            time.sleep(trades.chance.random())
            sleeper.send(signal.SIGSTOP)
            its_own = f"client_addr = '{NET}.1.{sleeper.namespace.number}'"
            fleet.database.ask(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {its_own}")
            moved = wait_until(lambda: leader(fleet) != before, LEASE + 1.5)
            overthrown += moved is not None
            time.sleep(trades.chance.random())  # the new one is at work
            sleeper.send(signal.SIGCONT)
            trades.choose = lambda lane, attempt: fleet.instances[(lane + attempt) % 2]
            time.sleep(0.5)
            for instance in fleet.instances:
                state = fleet.folder / "monitor.state"
                seen = fleet.corpex("monitor", f"http://{instance.host}:8080/log", "--server", market.url, "--once", "--state", state)
                verdict.expect(seen.returncode == 0, f"leaders: {instance.name} shows one log", seen.stderr + seen.stdout)
        verdict.expect(overthrown, "leaders: another took over from one that slept", f"{overthrown} of {SLEEPS}")
        print(f"  leaders: {overthrown} of {SLEEPS} sleepers led, and lost it", flush=True)
    one_log(verdict, fleet)


def one_log(verdict, fleet):
    """Every place is given once, and none is missing."""
    ask = fleet.database.ask
    places = ask("SELECT COUNT(*), COUNT(DISTINCT entry_id), COALESCE(MAX(leaf_index), -1) + 1 FROM log_sequence")
    verdict.expect(len(set(places.split("|"))) == 1, "leaders: places are given once, without gaps", places)
    placed_or_waiting = "SELECT entry_id FROM log_sequence UNION SELECT entry_id FROM log_queue"
    entries = ask(f"SELECT COUNT(*) FROM log_entries WHERE id NOT IN ({placed_or_waiting})")
    verdict.expect(entries == "0", "leaders: every entry has its place, or waits for it", entries)


def late_mark(verdict, fleet, market):
    """The leader is cut off from the bucket while it writes down what is shown next. Another leads, and shows more. Then what
    the first one sent arrives."""
    one = fleet.all[0]
    for one in fleet.all:  # whoever leads now
        others, before = [process for process in fleet.all if process is not one], leader(fleet)
        one.send(signal.SIGSTOP)
        buy(market, next(process for process in others if process in fleet.instances))
        led = wait_until(lambda: leader(fleet) != before, LEASE + 2) is not None
        one.send(signal.SIGCONT)
        if led:
            break
    # Let it lead again: the others sleep until it does.
    for process in others:
        process.send(signal.SIGSTOP)
    before = leader(fleet)
    if one in fleet.instances:
        buy(market, one)
    led = wait_until(lambda: leader(fleet) != before, 2 * LEASE + 2) is not None
    for process in others:
        process.send(signal.SIGCONT)
    if not led:
        print("  leaders: the one to cut off does not lead again; nothing was tried", flush=True)
        return
    other, own = next(process for process in others if process in fleet.instances), leader(fleet)
    wait_until(lambda: fleet.database.ask("SELECT COUNT(*) FROM log_queue") == "0", 5)
    one.namespace.unplug("bucket")
    buy(market, other)
    overthrown = wait_until(lambda: leader(fleet) != own, 10) is not None
    buy(market, other)
    wait_until(lambda: published(fleet) == signed(fleet), 10)
    shown = published(fleet)
    one.namespace.plug("bucket")
    lowest = min((time.sleep(0.5), mark(fleet, market))[1] for _ in range(30))
    verdict.expect(overthrown, "leaders: another leads while the leader does not reach the bucket", own)
    verdict.expect(lowest >= shown, "leaders: the mark is at least as far as what was shown", f"{lowest} of {shown}")


def signed(fleet):
    return fleet.database.ask("SELECT MAX(tree_size) FROM log_checkpoints")


def published(fleet):
    return int(fleet.database.ask("SELECT MAX(tree_size) FROM log_publications") or 0)


def buy(market, instance):
    """A purchase, which takes places in the log."""
    url = market.url
    market.url = f"http://{instance.host}:8080"
    try:
        key = f"alone-{time.monotonic_ns()}"
        quote = market.must("POST", "/v1/quotes", market.wanted(), market.lab)
        bought = market.must("POST", "/v1/purchases", market.purchase(quote), market.lab, key)
        market.bought[key] = (bought["order"]["id"], bought["entitlement"]["id"])
    finally:
        market.url = url


def mark(fleet, market):
    """How far the mark says the log is: the largest of its places beside the corpora, read as the bucket's owner does."""
    vkey = market.must("GET", "/v1/exchange/keys")["log"]["vkey"]
    names = [f"log {vkey}", *(f"log {vkey} {place}" for place in range(1, MARK_PLACES))]
    digests = [hashlib.sha256(name.encode()).hexdigest()[:32] for name in names]
    notes = [read_object(fleet.settings, f"objects/{digest[30:]}/{digest}") for digest in digests]
    return max(int(note.splitlines()[1]) for note in notes if note)


def read_object(settings, key):
    """An object of the bucket, asked for with a signature (AWS Signature Version 4); nothing when it is not there."""
    where, region = urllib.parse.urlsplit(settings["CORPEX_S3_ENDPOINT"]), settings["CORPEX_S3_REGION"]
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    nothing, scope = hashlib.sha256(b"").hexdigest(), f"{now[:8]}/{region}/s3/aws4_request"
    path, signed_headers = f"/{settings['CORPEX_S3_BUCKET']}/{key}", "host;x-amz-content-sha256;x-amz-date"
    headers = {"host": where.netloc, "x-amz-content-sha256": nothing, "x-amz-date": now}
    request = "\n".join(["GET", path, "", *(f"{name}:{text}" for name, text in headers.items()), "", signed_headers, nothing])
    to_sign = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(request.encode()).hexdigest()])
    secret = f"AWS4{settings['AWS_SECRET_ACCESS_KEY']}".encode()
    for word in [*scope.split("/"), to_sign]:
        secret = hmac.digest(secret, word.encode(), "sha256")
    credential = f"{settings['AWS_ACCESS_KEY_ID']}/{scope}"
    headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={signed_headers}, Signature={secret.hex()}"
    wire = http.client.HTTPConnection(where.hostname, where.port, timeout=10)
    wire.request("GET", path, headers=headers)
    answer = wire.getresponse()
    body = answer.read().decode()
    if answer.status == 404:
        return None
    if answer.status != 200:
        raise RuntimeError(f"the bucket: {answer.status} {body[:300]}")
    return body
