"""What people do while something is broken; and afterwards, that each acknowledged effect is there, exactly once."""

import base64
import collections
import hashlib
import itertools
import random
import threading
import time

from market import PRICE, ask

KINDS = ("deposit", "purchase", "upload", "verified upload", "download")
# What an exchange may answer for as long as something is away; the same request is then sent again.
COME_AGAIN = (408, 429, 503, 504)
# How long after the end of a fault everything must be as before, in seconds.
RECOVERY = 10
# How long somebody waits for a 503, at most: it is 1.5 s until a connection that broke is given up, and as long again until
# no new one could be made.
SOON = 4

Attempt = collections.namedtuple("Attempt", "kind instance began took status error")


class Traffic:
    """Some of each kind of trade, at once, from `start` to `finish`."""

    def __init__(self, verdict, fleet, market, seed, patience, name):
        self.verdict, self.fleet, self.market, self.name = verdict, fleet, market, name
        self.soon, self.recovery, self.kinds = SOON * patience, RECOVERY * patience, KINDS
        self.chance, self.ended, self.lock = random.Random(f"{seed} {name}"), threading.Event(), threading.Lock()
        self.attempts, self.done, self.given_up = [], {kind: {} for kind in KINDS}, []
        self.choose = lambda lane, attempt: self.fleet.instances[(lane + attempt) % 2]
        self.at = threading.local()
        self.draft = market.draft()

    def start(self):
        lanes = [work for work in (self.deposits, self.purchases, self.uploads, self.verified_uploads, self.downloads) for _ in "12"]
        self.lanes = [threading.Thread(target=self.lane, args=(lane, number), daemon=True) for number, lane in enumerate(lanes)]
        for lane in self.lanes:
            lane.start()
        time.sleep(2)  # so that everything is under way

    def lane(self, work, number):
        count, self.at.lane = 0, number
        while not self.ended.is_set():
            try:
                work(f"{self.name}-{number}-{count}")
            except Exception as error:  # a lane that ends would be silent
                self.verdict.breach(f"{self.name}: {work.__name__} failed: {error!r}")
                return
            count += 1
            time.sleep(0.2)

    def once(self, kind, method, path, body, token, key=None, headers=None, statuses=(200, 201)):
        """Sends a request again and again until it is acknowledged; what was answered, or None where it never was."""
        until = None
        for attempt in itertools.count():
            instance = self.choose(self.at.lane, attempt)
            answer = ask(f"http://{instance.host}:8080", method, path, body, token, key, headers)
            with self.lock:
                self.attempts.append(Attempt(kind, instance.name, answer.began, answer.took, answer.status, answer.error))
            if answer.status in statuses:
                return answer
            if answer.status is not None and answer.status not in COME_AGAIN:
                self.verdict.breach(f"{self.name}: {method} {path} of {instance.name}: {answer}")
                return None
            if self.ended.is_set():
                until = until or time.monotonic() + 30
                if time.monotonic() > until:
                    self.given_up.append(f"{kind} {key or path}")
                    return None
            time.sleep(0.2)

    def deposits(self, key):
        fen = self.chance.randint(1, 1000)
        if self.once("deposit", "POST", "/v1/deposits", self.market.of_deposit(key, fen), self.market.operator, key):
            self.done["deposit"][key] = fen

    def purchases(self, key):
        quoted = self.once("quote", "POST", "/v1/quotes", self.market.wanted(), self.market.lab)
        if quoted:
            purchase = self.market.purchase(quoted.json())
            bought = self.once("purchase", "POST", "/v1/purchases", purchase, self.market.lab, key)
            if bought:
                self.done["purchase"][key] = (bought.json()["order"]["id"], bought.json()["entitlement"]["id"])

    def uploads(self, key):
        content = f'{{"key": "{key}"}}\n'.encode() * 50
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        headers = {"Content-Digest": f"sha-256=:{digest}:", "Content-Type": "application/jsonl"}
        path = f"data/{key}.jsonl"
        if self.once("upload", "PUT", f"{self.draft}/shards/{path}", content, self.market.provider, headers=headers):
            self.done["upload"][path] = hashlib.sha256(content).hexdigest()

    def verified_uploads(self, key):
        """One whose bytes go to the bucket, and are read back by a job."""
        content, path = f'{{"upload": "{key}"}}\n'.encode() * 50, f"data/{key}.jsonl"
        sha256, token = hashlib.sha256(content).hexdigest(), self.market.provider
        declared = {"path": path, "size_bytes": len(content), "sha256": sha256, "media_type": "application/jsonl"}
        while not self.ended.is_set():
            opened = self.once("open upload", "POST", f"{self.draft}/uploads", declared, token)
            if not opened:
                return
            for part in opened.json()["urls"]:
                ask(part["url"], "PUT", "", content)
            where = f"/v1/uploads/{opened.json()['id']}"
            ended = self.once("complete upload", "POST", f"{where}/complete", b"", token, statuses=(200, 409, 422))
            if ended and ended.status == 200:
                state, until = "verifying", time.monotonic() + 3 * self.recovery
                while ended and state not in ("verified", "refused") and time.monotonic() < until:
                    time.sleep(0.1)
                    ended = self.once("look at upload", "GET", where, None, token)
                    state = ended.json()["state"] if ended else "unknown"
                self.verdict.expect(state in ("verified", "unknown"), f"{self.name}: an upload of the right bytes is verified", f"{where} {state}")
                if state == "verified":
                    self.done["verified upload"][path] = sha256
                return
            time.sleep(0.2)

    def downloads(self, key):
        licence = self.chance.choice(list(self.done["purchase"].values()) or [None])
        path = self.chance.choice(list(self.market.shards))
        if not licence:
            return
        if self.chance.random() < 0.5:
            wanted = {"paths": [path]}
            given = self.once("link", "POST", f"/v1/entitlements/{licence[1]}/links", wanted, self.market.lab)
            url = given and given.json()["links"][0]["url"]
        else:
            url = f"/datasets/{self.market.dataset}/resolve/main/{path}"
            while url and url.startswith("/"):  # first to the version that is the last now
                given = self.once("resolve", "GET", url, None, self.market.lab, statuses=(302, 307))
                url = given and given.body.decode()
        if url:
            answer = ask(url)
            if answer.status == 200:
                self.verdict.expect(answer.body == self.market.shards[path], f"{self.name}: a download has its bytes", answer)
                self.done["download"][key] = path
            elif answer.status is not None and answer.status not in (400, 403, 500, 503):
                self.verdict.breach(f"{self.name}: the bucket gave {answer}")

    # --- what must hold ------------------------------------------------------------------------------------

    def between(self, since, until, instance):
        """The attempts at an instance that began in this time."""
        with self.lock:
            return [a for a in self.attempts if since <= a.began < until and instance == a.instance]

    def told_soon(self, since, until, instance, kinds=None):
        """Whoever asked an instance meanwhile, or had asked and waited, had an answer soon."""
        asked = [a for a in self.between(0, until, instance) if a.began + a.took > since and (kinds is None or a.kind in kinds)]
        slow = [f"{a.kind} {a.status or a.error!r} after {a.took:.1f} s" for a in asked if a.took > self.soon]
        self.verdict.expect(not slow, f"{self.name}: {instance} answers within {self.soon} s ({len(asked)} requests)", slow[:10])
        statuses = collections.Counter(a.status for a in asked)
        times = sorted(a.took for a in asked) or [0]
        took = f"half of them within {times[len(times) // 2]:.1f} s, all within {times[-1]:.1f} s"
        print(f"  {self.name}: {instance} answered {dict(statuses)}, {took}", flush=True)

    def recovers(self, since, instances=None, kinds=("deposit", "purchase", "upload", "link", "resolve")):
        """Each instance does everything again within so many seconds; waits for that."""
        missing = lambda: [
            f"{kind} at {instance.name}" for instance in instances or self.fleet.instances for kind in kinds
            if not any(a.kind == kind and a.status in (200, 201, 302, 307) for a in self.between(since, time.monotonic(), instance.name))
        ]
        while missing() and time.monotonic() < since + self.recovery:
            time.sleep(0.1)
        left = missing()
        self.verdict.expect(not left, f"{self.name}: everything goes on within {self.recovery} s", left)
        print(f"  {self.name}: everything went on after {time.monotonic() - since:.1f} s", flush=True)

    def finish(self):
        """Ends the traffic, and checks that what was acknowledged is there, once."""
        self.ended.set()
        for lane in self.lanes:
            lane.join(60)
        expect, market, counts = self.verdict.expect, self.market, {kind: len(done) for kind, done in self.done.items()}
        expect(not any(lane.is_alive() for lane in self.lanes), f"{self.name}: every request came to an end", "one did not")
        expect(not self.given_up, f"{self.name}: everything is acknowledged in the end", self.given_up)
        expect(all(counts[kind] for kind in self.kinds), f"{self.name}: there was traffic of every kind", counts)
        market.deposited += sum(self.done["deposit"].values())
        references = collections.Counter(d["reference"] for d in market.all("/v1/deposits", market.operator))
        wrong = [key for key in self.done["deposit"] if references[key] != 1]
        more = [key for key in references if key.startswith(self.name + "-") and key not in self.done["deposit"]]
        expect(not wrong and not more, f"{self.name}: each deposit is there once, and no other", (wrong, more))
        market.bought |= self.done["purchase"]
        for what, path, place in (("order", "/v1/orders", 0), ("licence", "/v1/entitlements", 1)):
            found = collections.Counter(item["id"] for item in market.all(path, market.lab))
            bought = collections.Counter([ids[place] for ids in market.bought.values()] + (market.unpaid if what == "order" else []))
            expect(found == bought, f"{self.name}: each {what} is there once, and no other", (found - bought, bought - found))
        money, paid = market.balances(), PRICE * len(market.bought)
        expect(money["wallet"] == market.deposited - paid, f"{self.name}: the wallet holds what it must", (money, market.deposited, paid))
        shards = {shard["path"]: shard["sha256"] for shard in market.all(f"{self.draft}/shards", market.provider)}
        sent = self.done["upload"] | self.done["verified upload"]
        lost = [path for path, sha256 in sent.items() if shards.get(path) != sha256]
        expect(not lost, f"{self.name}: each shard is there", lost)
        self.log_and_events()
        print(f"  {self.name}: {counts}, {len(self.attempts)} requests", flush=True)

    def log_and_events(self):
        """Everything gets its place in the log, which continues what was seen of it; and each step is told of, once."""
        expect, market, fleet = self.verdict.expect, self.market, self.fleet
        waits = lambda: fleet.database.ask("SELECT (SELECT COUNT(*) FROM log_queue) + (SELECT COUNT(*) FROM outbox)")
        since = time.monotonic()
        while waits() != "0" and time.monotonic() < since + self.recovery:
            time.sleep(0.2)
        expect(waits() == "0", f"{self.name}: the log and the events catch up within {self.recovery} s", waits())
        state = fleet.folder / "monitor.state"
        seen = fleet.corpex("monitor", f"{market.url}/log", "--server", market.url, "--once", "--state", state)
        expect(seen.returncode == 0, f"{self.name}: the log continues what was seen of it", seen.stderr + seen.stdout)
        events, cursor = [], "0"
        while True:
            page = market.must("GET", f"/v1/events?organisation=verse-lab&limit=1000&cursor={cursor}", token=market.lab)
            if not page["items"]:
                break
            events, cursor = events + page["items"], page["next"]
        positions = [event["data"]["position"] for event in events]
        expect(positions == list(range(1, len(events) + 1)), f"{self.name}: events are numbered without gaps", positions[-5:])
        told = collections.Counter((event["type"], event["data"]["subject"]) for event in events)
        due = [(kind, ids[place]) for ids in market.bought.values() for kind, place in (("order.escrowed", 0), ("entitlement.active", 1))]
        wrong = [(step, told[step]) for step in due if told[step] != 1]
        expect(not wrong, f"{self.name}: each step is told of once", wrong[:5])

    def audit(self):
        """`corpex audit` finds nothing."""
        audited = self.fleet.corpex("audit", "--json", "--orphans-after", "60")
        self.verdict.expect(audited.returncode == 0, f"{self.name}: the audit finds nothing", audited.stdout[-1500:] + audited.stderr[-500:])
