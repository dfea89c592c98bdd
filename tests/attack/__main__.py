"""Attacks an exchange from all sides, one after the other, and says what gave way."""

import argparse
import signal
import sys
import tempfile

import access_tokens
import bodies
import description
import headers
import links
import traces
import webhooks
import wire
from exchange import Exchange

parser = argparse.ArgumentParser(prog="attack", description=__doc__)
parser.add_argument("program", help="a corpex")
parser.add_argument("--cases", type=int, default=0, help="make up at least so many requests from the API description")
parser.add_argument("--seed", type=int, default=1, help="what they are made up from")
parser.add_argument("--only", default="", help="some of the attacks, with commas between them")
options = parser.parse_args()

# What was started is stopped, whoever ends this.
for ending in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(ending, lambda number, _: sys.exit(128 + number))

with tempfile.TemporaryDirectory(prefix="attack-") as folder:
    exchange = Exchange(options.program, folder)
    attacks = {
        "tokens": lambda: access_tokens.run(exchange),
        "links": lambda: links.run(exchange),
        "webhooks": lambda: webhooks.run(exchange),
        "headers": lambda: headers.run(exchange),
        "bodies": lambda: bodies.run(exchange),
        "wire": lambda: wire.run(exchange),
        "description": lambda: description.run(exchange, options.cases, options.seed),
        "secrets": lambda: traces.use_secrets(exchange),
        "injection": lambda: traces.inject(exchange),
    }
    chosen = options.only.split(",") if options.only else list(attacks)

    try:
        exchange.start()
        for name in chosen:
            exchange.attempt(name, attacks[name])
            if exchange.server.poll() is not None:
                exchange.breach(f"the server ended during {name}, with {exchange.server.returncode}")
                break
    finally:
        code = exchange.stop() if exchange.server else None
    exchange.expect(code == 0, "the server stops in peace", code)
    exchange.attempt("traces", lambda: traces.search(exchange))
    sys.exit(exchange.conclude(options.seed))
