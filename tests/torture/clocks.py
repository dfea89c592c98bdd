"""Clocks that disagree, and that jump: libfaketime lies to an instance about the time of day, and to no timer."""

import email.utils
import glob
import math
import time

from fleet import wait_until
from market import ask, terms

HOUR = 3600
DAY = 24 * HOUR
JUMPS = (HOUR, -HOUR, 0, 2 * HOUR, -60, 0)
LEASE = 3


def run(verdict, fleet, market, traffic):
    lies = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    if not lies:
        verdict.breach("clocks: libfaketime is missing: install the package faketime")
        return
    # A certificate that was made a minute ago is none an hour before: who is behind must not look at it.
    url = fleet.settings["DATABASE_URL"].split("?")[0] + "?sslmode=require"
    fleet.lie = {"LD_PRELOAD": lies[0], "FAKETIME_CACHE_DURATION": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DATABASE_URL": url}
    # What was assessed in an hour to come is not on the board of who is behind.
    restart(fleet, fleet.first, -2 * HOUR)
    market.dataset, market.listing = "poetry-house/old-poems", market.publish("old-poems", terms())
    brief = market.publish("brief-poems", terms(duration_days=1))
    # What ends by time is bought by clocks that agree.
    restart(fleet, fleet.first, 0)
    licence, order = buy(market, brief), place(market, brief)
    apart(verdict, fleet, market, traffic)
    jumping(verdict, fleet, traffic)
    agree_again(verdict, fleet, market, traffic)
    ends(verdict, fleet, market, licence, order)


def set_clock(fleet, process, seconds):
    (fleet.folder / f"{process.name}.clock").write_text(f"{seconds:+d}")


def restart(fleet, process, seconds):
    """Starts a process again by another clock."""
    process.stop()
    set_clock(fleet, process, seconds)
    process.start(**fleet.lie, FAKETIME_TIMESTAMP_FILE=str(fleet.folder / f"{process.name}.clock"))


def ahead(instance):
    """How many seconds an instance says that it is ahead."""
    date = instance.get("/healthz")[2]
    return email.utils.parsedate_to_datetime(date).timestamp() - time.time() if date else math.nan


def expect_clock(verdict, instance, seconds):
    came = ahead(instance)
    verdict.expect(abs(came - seconds) < 5, f"clocks: {instance.name} is {seconds} s ahead", came)


def apart(verdict, fleet, market, traffic):
    """One an hour ahead, one an hour behind, a worker between them."""
    for process, seconds in ((fleet.first, HOUR), (fleet.second, -HOUR), (fleet.worker, 0)):
        restart(fleet, process, seconds)
    expect_clock(verdict, fleet.first, HOUR)
    expect_clock(verdict, fleet.second, -HOUR)
    tokens(verdict, fleet)
    with traffic("clocks-apart") as trades:
        # The bucket believes no link that is good for five minutes of an hour ago, or to come.
        trades.kinds = [kind for kind in trades.kinds if kind != "download"]
        time.sleep(10)
        trades.recovers(time.monotonic())


def tokens(verdict, fleet):
    """Access tokens are good where they were issued, and nowhere else meanwhile; API tokens are good everywhere."""
    person = {"email": "admin@verse-lab.example", "password": "correct horse battery"}
    for issuer, other, why in ((fleet.first, fleet.second, b"not valid yet"), (fleet.second, fleet.first, b"has expired")):
        at = lambda instance: f"http://{instance.host}:8080"
        token = ask(at(issuer), "POST", "/v1/sessions", person).json()["access_token"]
        own, there = (ask(at(instance), "GET", "/v1/me", token=token) for instance in (issuer, other))
        verdict.expect(own.status == 200, f"clocks: {issuer.name} believes the token that it issued", own)
        verdict.expect(there.status == 401 and why in there.body, f"clocks: {other.name} refuses it: {why.decode()}", there)


def jumping(verdict, fleet, traffic):
    """One whose clock jumps while it works."""
    restart(fleet, fleet.first, 0)
    restart(fleet, fleet.second, 0)
    with traffic("clocks-jump") as trades:
        trades.kinds = [kind for kind in trades.kinds if kind != "download"]
        for seconds in JUMPS:
            set_clock(fleet, fleet.first, seconds)
            time.sleep(2.5)
            expect_clock(verdict, fleet.first, seconds)
        no_hour_to_come(verdict, fleet, "after a clock was put back")
        trades.recovers(time.monotonic())


def agree_again(verdict, fleet, market, traffic):
    """One that was ahead, and led, dies; it is started with the right time. Nobody waits for its hour to pass."""
    restart(fleet, fleet.first, HOUR)
    for process in (fleet.second, fleet.worker):  # so that the first leads
        process.stop()
    time.sleep(2 * LEASE)
    buy(market, market.listing)
    time.sleep(1)
    fleet.first.process.kill()
    fleet.first.process.wait()
    for process in fleet.all:
        restart(fleet, process, 0)
    expect_clock(verdict, fleet.first, 0)
    no_hour_to_come(verdict, fleet, "after the one that led an hour ahead died")
    with traffic("clocks-agree") as trades:
        time.sleep(5)
        trades.recovers(time.monotonic())


def no_hour_to_come(verdict, fleet, when):
    """No job is put off until the hour of a clock that was ahead. What is, is put right, so that what comes next means something.
    (A lease of the log or of the events may name that hour: who does not renew it loses it.)"""
    now = "now() AT TIME ZONE 'UTC'"
    for table, column in (("jobs", "leased_until"), ("jobs", "run_at")):
        late = f"{column} > {now} + INTERVAL '1 minute'" + (" AND attempts = 0" if column == "run_at" else "")
        found = fleet.database.ask(f"SELECT COUNT(*), MAX({column} - {now}) FROM {table} WHERE {late}")
        verdict.expect(found.startswith("0"), f"clocks: nothing waits for an hour to come, {when}: {table}.{column}", found)
        fleet.database.ask(f"UPDATE {table} SET {column} = {now} WHERE {late}")


def buy(market, listing):
    """A purchase at the first instance; the ids of its order and its licence."""
    key = f"clock-{time.monotonic_ns()}"
    quote = market.must("POST", "/v1/quotes", market.wanted(listing), market.lab)
    bought = market.must("POST", "/v1/purchases", market.purchase(quote, listing), market.lab, key)
    market.bought[key] = (bought["order"]["id"], bought["entitlement"]["id"])
    return market.bought[key]


def place(market, listing):
    """An order that nobody pays; its id."""
    market.unpaid.append(market.must("POST", "/v1/orders", market.wanted(listing), market.lab, f"unpaid-{time.monotonic_ns()}")["id"])
    return market.unpaid[-1]


def ends(verdict, fleet, market, licence, order):
    """What one clock says has ended is ended, once, for all; and what is ended does not begin anew when the clock is put back."""
    links = lambda instance: ask(
        f"http://{instance.host}:8080", "POST", f"/v1/entitlements/{licence[1]}/links", {"paths": ["data/0.jsonl"]}, market.lab
    ).status
    verdict.expect(links(fleet.first) == 200, "clocks: a licence for a day is good on the day", links(fleet.first))
    for process in (fleet.first, fleet.second):
        process.stop()
    # Both begin to look for what ended at the same time.
    for process in (fleet.first, fleet.second):
        set_clock(fleet, process, DAY + 60)
    for process in (fleet.first, fleet.second):
        process.start()
    steps = lambda subject: fleet.database.ask(f"SELECT string_agg(to_state, ' ' ORDER BY id) FROM transitions WHERE subject = '{subject}'")
    verdict.expect(links(fleet.second) == 403, "clocks: it is not good a day later", links(fleet.second))
    wait_until(lambda: "expired" in steps(licence[1]) and "expired" in steps(order), 30)
    for process in (fleet.first, fleet.second):
        restart(fleet, process, 0)
    verdict.expect(links(fleet.first) == 403, "clocks: nor when the clocks are put back", links(fleet.first))
    for subject in (licence[1], order):
        came = steps(subject).split()
        verdict.expect(came.count("expired") == 1, f"clocks: {subject} expires once", came)
    print(f"  clocks: the licence: {steps(licence[1])}; the unpaid order: {steps(order)}", flush=True)
    late = ask(market.url, "POST", f"/v1/orders/{order}/payment", b"", market.lab, "late-payment")
    verdict.expect(late.status == 409, "clocks: an order that ended is not paid", late)
