"""What was checked, what gave way, and a line about each part: for programs that try an exchange from outside."""

import time


class Verdict:
    """Counts checks, and notes breaches."""

    def __init__(self):
        self.breaches, self.checked, self.summary = [], 0, []

    def breach(self, what):
        """Notes something that must not be."""
        self.breaches.append(what)
        print(f"BREACH {what}", flush=True)

    def expect(self, holds, what, came):
        """Counts a check, and notes a breach where it does not hold."""
        self.checked += 1
        if not holds:
            self.breach(f"{what}: came {came}")

    def attempt(self, name, part):
        """Runs one part, and counts what it checked and found."""
        checked, found, began = self.checked, len(self.breaches), time.monotonic()
        print(f"{name}: begins", flush=True)
        part()
        took = time.monotonic() - began
        self.summary.append(f"{name:12} {self.checked - checked:7} checks {len(self.breaches) - found:4} breaches {took:6.0f} s")

    def conclude(self, seed):
        """Prints what came of it; the exit code."""
        print("\n".join(["", *self.summary]))
        print(f"{self.checked} checks, {len(self.breaches)} breaches; seed {seed}")
        return 1 if self.breaches else 0
