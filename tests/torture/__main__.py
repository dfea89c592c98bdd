"""Breaks what a fleet of corpex stands on while people trade on it, one thing after the other, and says what gave way."""

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
import traceback

import clocks
import leaders
import network
import restarts
import services
from fleet import Fleet
from market import Market
from traffic import Traffic
from verdict import Verdict

FAULTS = {"network": network.run, "leaders": leaders.run, "services": services.run, "restarts": restarts.run, "clocks": clocks.run}

parser = argparse.ArgumentParser(prog="torture", description=__doc__)
parser.add_argument("program", help="a corpex")
parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="what chance is made from")
parser.add_argument("--only", default="", help=f"some of the faults, with commas between them: {', '.join(FAULTS)}")
parser.add_argument("--keep", default="", help="keep the logs of the instances in this folder")
parser.add_argument("--patience", type=float, default=1, help="how many times as slow as others this machine is")
options = parser.parse_args()

# What was started is stopped, whoever ends this.
for ending in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(ending, lambda number, _: sys.exit(128 + number))


@contextlib.contextmanager
def traffic(name):
    """Trade, while something happens to the fleet; and what must hold afterwards."""
    trades = Traffic(verdict, fleet, market, options.seed, options.patience, name)
    trades.start()
    try:
        yield trades
    finally:
        trades.finish()
    trades.audit()


def break_it(name):
    """Runs one kind of fault. What goes wrong with the trying itself is a breach, too, and keeps the others from nothing."""
    try:
        FAULTS[name](verdict, fleet, market, traffic)
    except Exception:
        verdict.breach(f"{name}: {traceback.format_exc()}")


with tempfile.TemporaryDirectory(prefix="torture-") as temporary:
    folder = options.keep or temporary
    os.makedirs(folder, exist_ok=True)
    verdict = Verdict()
    print(f"seed {options.seed}", flush=True)

    fleet = Fleet(options.program, folder)
    try:
        fleet.start()
        market = Market(fleet)
        for name in options.only.split(",") if options.only else FAULTS:
            verdict.attempt(name, lambda: break_it(name))
        failed = fleet.stop()
        verdict.expect(not failed, "every instance stops in peace", failed)
        audited = fleet.corpex("audit", "--json")
        verdict.expect(audited.returncode == 0, "the audit at the end finds nothing", audited.stdout[-3000:])
    finally:
        fleet.close()
    sys.exit(verdict.conclude(options.seed))
