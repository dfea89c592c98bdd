"""An exchange of one's own to attack: started, asked over plain sockets, stopped; and what went wrong with it."""

import json
import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import sys
import time

from verdict import Verdict

LIMITS_OFF = {"CORPEX_REQUESTS_PER_TOKEN": "0", "CORPEX_REQUESTS_PER_ADDRESS": "0", "CORPEX_ATTEMPTS": "0"}
PASSWORD = "not to be found anywhere 7f3a"


class Answer:
    """One answer: its status, its headers by lower-case name, its body."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def is_problem(self):
        return self.headers.get("content-type") == "application/problem+json"

    def __str__(self):
        return f"{self.status} {self.headers.get('content-type', '')} {self.body[:160]!r}"


class Exchange(Verdict):
    """A corpex on loopback, with the demo's people and their trade in it."""

    def __init__(self, program, folder):
        super().__init__()
        self.program, self.folder = program, pathlib.Path(folder)
        self.data, self.log = self.folder / "data", self.folder / "serve.log"
        self.secrets, self.server = {}, None

    def start(self):
        """Lets the demo make people and a trade, then serves what it left."""
        credentials = self.folder / "credentials.json"
        made = [self.program, "demo", "--data-dir", self.data, "--credentials", credentials]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.known = json.loads(credentials.read_text())
        self.tokens = self.known["tokens"]
        self.secrets |= {f"the API token of {who}": token for who, token in self.tokens.items()}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.host}"
        settings = {name: text for name, text in os.environ.items() if not name.startswith("CORPEX_")}
        settings |= LIMITS_OFF | {"RUST_LOG": "info,corpex=debug", "CORPEX_PUBLIC_NOTICE_DAYS": "0"}
        command = [self.program, "serve", "--data-dir", self.data, "--listen", self.host]
        self.server = subprocess.Popen(command, env=settings, stderr=self.log.open("wb"), stdout=subprocess.DEVNULL)
        for _ in range(600):
            if b"serving on " in self.log.read_bytes():
                return
            time.sleep(0.1)
        sys.exit("the exchange did not come up")

    def stop(self):
        """Stops the server, and says whether it went in peace."""
        if self.server and self.server.poll() is None:
            self.server.send_signal(signal.SIGTERM)
            try:
                self.server.wait(timeout=60)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.breach("the server did not stop within 60 seconds of SIGTERM")
        return self.server.returncode

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def raw(self, data, patience=1.5):
        """Sends bytes as they are, and gives what comes back until the server closes or is silent for so long; and
        whether it closed."""
        with self.connect() as wire:
            received = b""
            try:
                wire.settimeout(10)
                wire.sendall(data)
            except OSError:
                pass  # it stopped listening: what it said counts
            try:
                while select.select([wire], [], [], patience)[0]:
                    piece = wire.recv(1 << 16)
                    if not piece:
                        return received, True
                    received += piece
            except OSError:
                return received, True
            return received, False

    def ask(self, method, path, body=None, token=None, headers=(), media="application/json"):
        """Sends one request and gives its one answer."""
        head = [f"{method} {path} HTTP/1.1", f"Host: {self.host}", "Connection: close"]
        if token is not None:
            head.append(f"Authorization: Bearer {token}")
        if body is not None:
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
            head += [f"Content-Type: {media}", f"Content-Length: {len(body)}"]
        head += [f"{name}: {value}" for name, value in headers]
        received, _ = self.raw("\r\n".join(head).encode() + b"\r\n\r\n" + (body or b""), patience=60)
        found = answers(received, method == "HEAD")
        return found[0] if found else Answer(0, {}, b"no answer")

    def alive(self, after):
        """Checks that the exchange answers as ever."""
        self.expect(self.ask("GET", "/healthz").status == 200, f"/healthz after {after}", "no 200")

    def memory(self):
        """The server's resident memory, in MiB."""
        status = pathlib.Path(f"/proc/{self.server.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) // 1024

    def sign_in(self, email):
        """Makes a person with a password, and gives the tokens of a session."""
        person = {"email": email, "password": PASSWORD}
        self.ask("POST", "/v1/users", person)
        session = self.ask("POST", "/v1/sessions", person).json()
        self.secrets[f"the password of {email}"] = PASSWORD
        self.secrets[f"an access token of {email}"] = session["access_token"]
        self.secrets[f"a refresh token of {email}"] = session["refresh_token"]
        return session


def answers(received, bodiless=False):
    """Takes apart what came over one connection into the answers it is."""
    found = []
    while received.startswith(b"HTTP/"):
        head, _, rest = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status = int(first.split()[1])
        if status == 100:
            received = rest
            continue
        if "chunked" in headers.get("transfer-encoding", ""):
            body, rest = unchunked(rest)
        else:
            length = 0 if bodiless else int(headers.get("content-length", len(rest)))
            body, rest = rest[:length], rest[length:]
        found.append(Answer(status, headers, body))
        received = rest
    return found


def unchunked(data):
    """The body that chunks carry, and what follows it."""
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size or b"0", 16)
        if length == 0:
            return body, data.partition(b"\r\n")[2]
        body, data = body + data[:length], data[length + 2 :]
    return body, data
