"""A fleet to torture: PostgreSQL, Garage, and instances of corpex in network namespaces of their own.

Each instance hangs on three wires, to its clients, to the database and to the bucket, at bridges of the namespace in which
all of this runs (scripts/torture makes it). A wire taken from its bridge swallows what is sent, and nobody is told: both ends
keep their addresses, and know whom they speak to.
"""

import http.client
import os
import pathlib
import shlex
import signal
import subprocess
import time

NET = "10.81"
WIRES = {"clients": 0, "database": 1, "bucket": 2}
PORT = 8080


def command(*words, **more):
    """Runs a command that must succeed, and gives what it printed."""
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True, **more).stdout


def wait_until(holds, seconds, every=0.1):
    """Waits until something holds; the seconds that took, or None if it never did."""
    since = time.monotonic()
    while time.monotonic() - since < seconds:
        if holds():
            return time.monotonic() - since
        time.sleep(every)
    return None


def hardware(process, device):
    """The hardware address of a network device in the namespace of a process."""
    inside = ["nsenter", f"--net=/proc/{process}/ns/net"]
    return command(*inside, "ip", "-br", "link", "show", "dev", device).split()[2]


class Namespace:
    """A network namespace with three wires, which lasts as long as its keeper."""

    def __init__(self, number):
        self.number = number
        self.keeper = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        wait_until(lambda: os.readlink(f"/proc/{self.keeper.pid}/ns/net") != os.readlink("/proc/self/ns/net"), 5, 0.01)
        self.run("ip", "link", "set", "lo", "up")
        for wire, net in WIRES.items():
            here, there = f"{wire}{number}", wire
            command("ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns", self.keeper.pid)
            self.run("ip", "addr", "add", f"{NET}.{net}.{number}/24", "dev", there)
            self.run("ip", "link", "set", there, "up")
            command("ip", "link", "set", here, "up")
            self.plug(wire)
            # So that a wire that is cut is no host that cannot be found: that would be told to who sends.
            switch = hardware("self", f"switch{net}")
            self.run("ip", "neigh", "replace", f"{NET}.{net}.1", "lladdr", switch, "dev", there, "nud", "permanent")
            own = hardware(self.keeper.pid, there)
            command("ip", "neigh", "replace", f"{NET}.{net}.{number}", "lladdr", own, "dev", f"switch{net}", "nud", "permanent")

    def inside(self):
        return ["nsenter", f"--net=/proc/{self.keeper.pid}/ns/net"]

    def run(self, *words):
        return command(*self.inside(), *words)

    def plug(self, wire):
        command("ip", "link", "set", f"{wire}{self.number}", "master", f"switch{WIRES[wire]}")

    def unplug(self, wire):
        command("ip", "link", "set", f"{wire}{self.number}", "nomaster")

    def close(self):
        self.keeper.kill()
        self.keeper.wait()


class Process:
    """A `corpex serve` or `corpex worker` in a namespace, which can be stopped, started, held and set another clock."""

    def __init__(self, fleet, name, number, *words):
        self.fleet, self.name, self.words, self.process = fleet, name, words, None
        self.namespace, self.host = Namespace(number), f"{NET}.0.{number}"
        self.log, self.settings = fleet.folder / f"{name}.log", {}

    def start(self, **settings):
        """Starts it, and waits until it works. What is set stays set for later starts."""
        self.settings |= settings
        data = self.fleet.folder / self.name
        said = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.namespace.inside(), self.fleet.program, *self.words, "--data-dir", data],
                env=self.fleet.settings | self.settings, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True,
            )
        is_up = lambda: any(line.startswith((b"serving on", b"working")) for line in self.log.read_bytes()[said:].splitlines())
        if wait_until(lambda: is_up() or self.process.poll() is not None, 60) is None or not is_up():
            raise RuntimeError(f"{self.name} did not come up: {self.log.read_text()[-2000:]}")

    def send(self, number):
        self.process.send_signal(number)

    def stop(self, patience=50):
        """Stops it as an operator does; its exit code."""
        if self.process.poll() is None:
            self.send(signal.SIGCONT)
            self.send(signal.SIGTERM)
            try:
                self.process.wait(patience)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode

    def get(self, path, timeout=5):
        """The status, the body and the Date of one answer; no status where there was none."""
        wire = http.client.HTTPConnection(self.host, PORT, timeout=timeout)
        try:
            wire.request("GET", path)
            answer = wire.getresponse()
            return answer.status, answer.read().decode(), answer.headers.get("date")
        except (OSError, http.client.HTTPException):
            return None, "", None
        finally:
            wire.close()

    def is_ready(self):
        return self.get("/readyz")[0] == 200


class Database:
    """The PostgreSQL of scripts/with-services, as who may stop it sees it."""

    def __init__(self):
        self.data = pathlib.Path(os.environ["WITH_POSTGRES_DATA"])
        self.usual = shlex.split((self.data / "postmaster.opts").read_text())
        self.url = os.environ["DATABASE_URL"]

    def pid(self):
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def children(self):
        pid = self.pid()
        return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def backends(self):
        """The processes that serve connections of the exchange, and not one that is just being made."""
        named = {pid: pathlib.Path(f"/proc/{pid}/cmdline") for pid in self.children()}
        return [pid for pid, file in named.items() if file.exists() and b"corpex corpex" in file.read_bytes()]

    def send(self, number):
        for pid in [self.pid(), *self.children()]:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def shut_down(self, number=signal.SIGQUIT):
        """Stops it: at once, without a word to anybody, unless another signal says otherwise."""
        pid = self.pid()
        os.kill(pid, number)
        wait_until(lambda: not os.path.exists(f"/proc/{pid}") or "Z" in pathlib.Path(f"/proc/{pid}/stat").read_text().split()[2], 30)

    def start_up(self, *settings):
        """Starts it anew, with settings beside the usual ones."""
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        more = [word for setting in settings for word in ("-c", setting)]
        with (self.data.parent.parent / "postgres.log").open("ab") as log:
            subprocess.Popen(
                [*self.usual, *more], stdout=log, stderr=log, start_new_session=True,
                user="postgres", group="postgres", extra_groups=[],
            )
        wait_until(lambda: self.ask("SELECT 1") == "1", 30)

    def ask(self, query):
        """What psql prints for a query of the exchange's own role; nothing where it fails."""
        words = ["psql", "-qXAt", "-v", "ON_ERROR_STOP=1", self.url, "-c", query]
        return subprocess.run(words, capture_output=True, text=True).stdout.strip()


class Fleet:
    """Two instances that serve and one that works, over one PostgreSQL and one Garage."""

    def __init__(self, program, folder):
        self.program, self.folder = str(program), pathlib.Path(folder)
        self.database, self.garage = Database(), int(os.environ["WITH_GARAGE_PID"])
        self.settings = {name: text for name, text in os.environ.items() if not name.startswith(("TEST_", "WITH_"))}
        self.settings |= {
            "CORPEX_KEYS_DIR": str(self.folder / "keys"), "CORPEX_PUBLIC_URL": "http://exchange.example",
            "CORPEX_PUBLIC_NOTICE_DAYS": "0", "CORPEX_REQUESTS_PER_TOKEN": "0", "CORPEX_REQUESTS_PER_ADDRESS": "0",
            "CORPEX_ATTEMPTS": "0", "CORPEX_PAYMENT_WINDOW_DAYS": "1", "RUST_LOG": "info,corpex=debug",
        }
        serve = ("serve", "--listen", f"0.0.0.0:{PORT}")
        self.first, self.second = Process(self, "first", 11, *serve), Process(self, "second", 12, *serve)
        self.worker = Process(self, "worker", 13, "worker")
        self.instances, self.all = [self.first, self.second], [self.first, self.second, self.worker]

    def corpex(self, *words, **more):
        """A command of the program with the exchange's settings, as its operator runs it."""
        data = {"CORPEX_DATA_DIR": str(self.folder / "operator")}
        return subprocess.run([self.program, *map(str, words)], env=self.settings | data, capture_output=True, text=True, **more)

    def start(self):
        for process in self.all:
            process.start()

    def stop(self):
        """Stops everything; the names of those that did not end in peace."""
        codes = {process.name: process.stop() for process in self.all if process.process}
        return [f"{name}: {code}" for name, code in codes.items() if code]

    def close(self):
        self.stop()
        for process in self.all:
            process.namespace.close()
