"""Everything is restarted, one process after the other, behind a proxy that asks /readyz: nobody notices."""

import threading
import time

from fleet import wait_until

DRAIN = 3


def run(verdict, fleet, market, traffic):
    for process in fleet.instances:  # so that they drain
        process.stop()
        process.start(CORPEX_DRAIN_SECONDS=str(DRAIN))
    ready, ended = list(fleet.instances), threading.Event()

    def look():
        while not ended.is_set():
            ready[:] = [instance for instance in fleet.instances if instance.is_ready()] or ready
            time.sleep(0.3)

    proxy = threading.Thread(target=look, daemon=True)
    proxy.start()
    try:
        with traffic("restarts") as trades:
            trades.choose = lambda lane, attempt: ready[(lane + attempt) % len(ready)]
            time.sleep(1)
            since = time.monotonic()
            for process in (*fleet.all, *fleet.instances):
                code = process.stop(DRAIN + 40)
                verdict.expect(code == 0, f"restarts: {process.name} stops in peace", code)
                process.start()
                if process in fleet.instances:
                    verdict.expect(wait_until(process.is_ready, 10) is not None, f"restarts: {process.name} is ready again", "it is not")
                time.sleep(1)
            until = time.monotonic()
            for instance in ("first", "second"):
                trades.told_soon(since, until, instance)
                failed = [a for a in trades.between(since, until, instance) if a.status not in (200, 201, 302, 307)]
                verdict.expect(not failed, f"restarts: no request at {instance} fails", failed[:5])
    finally:
        ended.set()
        proxy.join()
