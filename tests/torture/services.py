"""PostgreSQL and Garage are held, lose processes, fall over, have no room: and come back."""

import os
import signal
import time

HOLDS = (5, 15)


def run(verdict, fleet, market, traffic):
    for seconds in HOLDS:
        hold_database(verdict, fleet, traffic, seconds)
        hold_bucket(verdict, fleet, traffic, seconds)
    kill_backends(verdict, fleet, traffic)
    restart(verdict, fleet, traffic)
    little_room(verdict, fleet, traffic)


def hold_database(verdict, fleet, traffic, seconds):
    """It accepts connections, and says nothing: that is waited for."""
    with traffic(f"database-held-{seconds}") as trades:
        fleet.database.send(signal.SIGSTOP)
        time.sleep(seconds)
        fleet.database.send(signal.SIGCONT)
        trades.recovers(time.monotonic())


def hold_bucket(verdict, fleet, traffic, seconds):
    with traffic(f"bucket-held-{seconds}") as trades:
        since = time.monotonic()
        os.kill(fleet.garage, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(fleet.garage, signal.SIGCONT)
        until = time.monotonic()
        trades.recovers(until)
        for instance in ("first", "second"):
            trades.told_soon(since, until, instance, ("deposit", "quote", "purchase", "link", "resolve"))


def kill_backends(verdict, fleet, traffic):
    """A process of the database dies: the others must go, too, and it comes back by itself."""
    with traffic("backends-killed") as trades:
        for _ in range(3):
            since = time.monotonic()
            backends = fleet.database.backends()
            if backends:
                os.kill(trades.chance.choice(backends), signal.SIGKILL)
            time.sleep(4)
            for instance in ("first", "second"):
                trades.told_soon(since, since + 4, instance)
        trades.recovers(since)


def restart(verdict, fleet, traffic):
    """It falls over, stays away for a while, and is started."""
    with traffic("database-restarted") as trades:
        for away in (0, 8):
            since = time.monotonic()
            fleet.database.shut_down()
            time.sleep(away)
            fleet.database.start_up()
            until = time.monotonic()
            for instance in ("first", "second"):
                trades.told_soon(since, until, instance)
            trades.recovers(until)


def little_room(verdict, fleet, traffic):
    """It takes few connections: fewer than one instance would like."""
    with traffic("few-connections") as trades:
        fleet.database.shut_down(signal.SIGINT)
        fleet.database.start_up("max_connections=8", "superuser_reserved_connections=3", "max_wal_senders=0")
        since = time.monotonic()
        time.sleep(20)
        served = sum(a.status in (200, 201, 302, 307) for name in ("first", "second") for a in trades.between(since, time.monotonic(), name))
        print(f"  few-connections: {served} requests were served over five connections", flush=True)
        verdict.expect(served, "few-connections: some are served", served)
        fleet.database.shut_down(signal.SIGINT)
        fleet.database.start_up()
        trades.recovers(time.monotonic())
