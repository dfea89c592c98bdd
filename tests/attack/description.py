"""The API description taken at its word: requests made up from it, and every answer compared with it."""

import collections
import json
import pathlib
import re
import subprocess
import sys

ROLES = ("provider", "lab", "operator")
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance"
)


def run(exchange, cases, seed):
    """Lets schemathesis make up requests for each role, with all of its phases, until there were so many."""
    document = exchange.folder / "openapi.yaml"
    document.write_bytes(exchange.ask("GET", "/openapi.yaml").body)
    seen, count, rounds = collections.defaultdict(dict), 0, 0
    while rounds == 0 or count < cases:
        for role in ROLES:
            # The phases of fixed size come once; after that only what is random is worth another round.
            share = max(1, (cases - count) // (len(ROLES) * 190)) if rounds else 1
            generated = one_round(exchange, document, role, share, seed + rounds, rounds > 0, seen)
            count += generated
            print(f"description: {count} cases, {generated} of them as {role}", flush=True)
            if rounds and generated == 0:
                return exchange.breach("schemathesis makes up no more requests")
        rounds += 1
    exchange.checked += count
    for what, where in sorted(seen.items()):
        operation, curl = next(iter(where.items()))
        others = ", ".join(list(where)[1:4])
        exchange.breach(f"{what}: in {len(where)} operations, {operation} ({curl}), {others}")


def one_round(exchange, document, role, examples, seed, random_only, seen):
    """One run of schemathesis; its failures are added to `seen`, by what and where. Gives the number of its cases."""
    report = exchange.folder / "schemathesis.json"
    report.unlink(missing_ok=True)
    command = [pathlib.Path(sys.executable).with_name("schemathesis")]
    command += ["run", document, "--url", exchange.url, "--seed", str(seed), "--max-examples", str(examples)]
    phases = "fuzzing,stateful" if random_only else "examples,coverage,fuzzing,stateful"
    command += ["--phases", phases]
    command += ["-H", f"Authorization: Bearer {exchange.tokens[role]}", "--checks", CHECKS, "--continue-on-failure"]
    command += ["--no-color", "--no-shrink", "--warnings", "off", "--generation-database", "none", "--workers", "2"]
    command += ["--report", "json", "--report-json-path", report, "--suppress-health-check", "all"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=exchange.folder)
    found = list(failures(done.stdout))
    for operation, what, curl in found:
        seen[what].setdefault(operation, curl)
    if not report.exists():
        exchange.breach(f"schemathesis failed: {done.stderr[-500:]}")
        return 0
    if done.returncode and not found:
        exchange.breach(f"schemathesis ended with {done.returncode} and says nothing that is understood: {done.stdout[-500:]}")
    told = json.loads(report.read_text())
    skipped = [name for name, phase in told["phases"].items() if name in phases and phase["status"] == "skip"]
    if skipped:
        seen[f"schemathesis skips its phases {skipped}"].setdefault(str(told["phases"][skipped[0]]["skip_reason"]), "")
    return told["test_cases"]["generated"]


def failures(said):
    """What schemathesis says that it found: the operation, what was wrong, and a request that shows it."""
    for section in re.split(r"^_{3,} (?=\S)", said, flags=re.M)[1:]:
        operation, _, text = section.partition("\n")
        operation = operation.rstrip("_ ")
        if text.startswith(("Schema Error", "Runtime Error")):
            reason = next(line.strip() for line in text.split("\n")[1:] if line.strip())
            # It counts the frames of its own stack wrongly when two threads read one lambda (CPython 3.11).
            if "AST constructor recursion depth mismatch" not in reason:
                yield operation, f"the description cannot be used: {reason[:200]}", ""
            continue
        for case in re.split(r"^\d+\. Test Case ID", text, flags=re.M)[1:]:
            shown = re.search(r"^Reproduce with:\n\n    (.*)$", case, re.M)
            for failure in re.split(r"^- (?=ST\d)", case, flags=re.M)[1:]:
                title, *lines = (line.strip() for line in failure.split("\n"))
                facts = [line for line in lines if line.startswith("Received:")] or [line for line in lines if line]
                yield operation, f"{title}: {facts[0] if facts else ''}", shown[1][:300] if shown else ""
