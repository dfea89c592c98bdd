"""Wires that swallow what is sent: between one instance and the database, or the bucket; nobody is told."""

import time

CUT = 12


def run(verdict, fleet, market, traffic):
    """Cuts the first instance off from the database, then from the bucket, for some seconds each."""
    for wire, what in (("database", "without its database"), ("bucket", "without its bucket")):
        with traffic(f"network-{wire}") as trades:
            fleet.first.namespace.unplug(wire)
            since = time.monotonic()
            time.sleep(CUT)
            fleet.first.namespace.plug(wire)
            until = time.monotonic()
            trades.recovers(until)
            # Whoever was under way when the wire was cut waits for bytes that were sent before.
            trades.told_soon(since, until, "first")
            trades.told_soon(since, until, "second")
            asked = trades.between(since + 1, until - 4, "first")
            if wire == "database":
                served = [a.kind for a in asked if a.status and a.status < 400]
                verdict.expect(not served, f"nothing is acknowledged {what}", served[:5])
            else:
                served = {a.kind for a in asked if a.status in (200, 201)}
                verdict.expect({"deposit", "purchase"} <= served, f"it trades {what}", served)
            served = {a.kind for a in trades.between(since + 4, until, "second") if a.status in (200, 201, 302)}
            verdict.expect({"deposit", "purchase", "upload"} <= served, f"the other serves on while the first is {what}", served)
