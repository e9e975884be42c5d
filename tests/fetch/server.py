"""A web server on 127.0.0.1 that does what a test tells it: files with ranges and validators, and every kind of fault.

    server.put("/model.bin", body)                        # served as a good server does it
    server.once("/model.bin", after=1000, then="reset")   # but the next answer breaks off
    server.put("/page", b"<html>...", headers={"Content-Type": "text/html"})
    server.url("/model.bin"); server.requests[-1].headers["range"]

A request in the form that proxies get (GET http://host/path) is answered by its path alone.
"""

import hashlib
import re
import socket
import ssl
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

PIECE = 1 << 16


@dataclass(frozen=True)
class Answer:
    """How one request is answered; the defaults are those of a good server.

    `headers`: more of them, or None to leave one out. `etag` None: a strong one of the body. `ranges` False: Range is
    ignored. `checks` False: If-Range is ignored, and ranges are served of a file that has changed. `total`: the length
    that is announced, where it is a lie. `after`: bytes of the body that are sent before the connection ends as `then`
    says: close, reset, or stall. `wait`: seconds before the head. `pace`: seconds after each byte of the head.
    `late`: seconds before the body. `drip`: seconds after each byte of the body. `chunked`: in chunks, without a
    length. `redirect`: to that address.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str | None] = field(default_factory=dict)
    etag: str | None = None
    ranges: bool = True
    checks: bool = True
    total: int | None = None
    after: int | None = None
    then: str = "close"
    wait: float = 0.0
    pace: float = 0.0
    late: float = 0.0
    drip: float = 0.0
    chunked: bool = False
    redirect: str | None = None


@dataclass
class Request:
    """One request as it came: `target` as written, `path`, lower-case `headers`; `sent`: bytes of body so far."""

    method: str
    target: str
    path: str
    headers: dict[str, str]
    sent: int = 0

    @property
    def range(self) -> str | None:
        return self.headers.get("range")


class Server:
    """Begins to listen when it is made; `close` ends it. `certificate`: a .pem of key and certificate, for https."""

    def __init__(self, certificate: Path | None = None) -> None:
        self.requests: list[Request] = []
        self._always: dict[str, Answer] = {}
        self._next: dict[str, list[Answer]] = {}
        self._closing = threading.Event()
        self._context = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate)
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._socket.getsockname()[1]
        self.base = f"http{'' if certificate is None else 's'}://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, path: str) -> str:
        return self.base + path

    def put(self, path: str, body: bytes = b"", **how) -> None:
        """What that path answers from now on, by the fields of Answer. Everything else is 404."""
        self._always[path] = Answer(body, **how)

    def once(self, path: str, **how) -> None:
        """What the next request for that path is answered, as `put` says but for these fields; several queue up."""
        self._next.setdefault(path, []).append(replace(self._always.get(path, Answer(status=404)), **how))

    def close(self) -> None:
        self._closing.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError, ssl.SSLError), connection:
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            with connection, connection.makefile("rb") as file:
                method, target, _ = file.readline().decode().split(" ", 2)
                lines = iter(lambda: file.readline().decode().strip(), "")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                request = Request(method, target, urlsplit(target).path, headers)
                self.requests.append(request)
                queued = self._next.get(request.path)
                answer = queued.pop(0) if queued else self._always.get(request.path, Answer(b"not here", 404))
                self._answer(connection, request, answer)

    def _answer(self, connection: socket.socket, request: Request, answer: Answer) -> None:
        if self._closing.wait(answer.wait):
            return
        status, headers, body = prepared(request, answer)
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{k}: {v}" for k, v in headers.items())]
        self._send(connection, "\r\n".join([*lines, "", ""]).encode("latin-1"), answer.pace)
        if request.method == "HEAD" or self._closing.wait(answer.late):
            return
        end = len(body) if answer.after is None else min(answer.after, len(body))
        size = 1 if answer.drip else PIECE
        for at in range(0, end, size):
            piece = body[at : min(at + size, end)]
            framed = b"%x\r\n%b\r\n" % (len(piece), piece) if answer.chunked else piece
            connection.sendall(framed)
            request.sent += len(piece)
            if answer.drip and self._closing.wait(answer.drip):
                return
        if answer.after is None:
            connection.sendall(b"0\r\n\r\n" if answer.chunked else b"")
        elif answer.then == "stall":
            self._closing.wait()
        elif answer.then == "reset":
            time.sleep(0.05)  # what has been sent arrives before
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _send(self, connection: socket.socket, data: bytes, pace: float) -> None:
        for at in range(0, len(data), 1 if pace else len(data)):
            connection.sendall(data[at : at + 1] if pace else data)
            if pace and self._closing.wait(pace):
                return


def prepared(request: Request, answer: Answer) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body that a good server would give, with the lies of the answer."""
    headers: dict[str, str | None] = {"Content-Type": "application/octet-stream", "Connection": "close"}
    status, body = answer.status, answer.body
    if answer.redirect is not None:
        status, headers["Location"] = (302 if status == 200 else status), answer.redirect
    whole = len(body) if answer.total is None else answer.total
    headers["Content-Length"] = str(whole)
    if status == 200:
        headers["ETag"] = answer.etag or f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        headers["Accept-Ranges"] = "bytes" if answer.ranges else "none"
        asked = re.fullmatch(r"bytes=(\d+)-", request.range or "")
        wanted = request.headers.get("if-range", headers["ETag"])
        same = wanted in (headers["ETag"], answer.headers.get("Last-Modified")) or not answer.checks
        if asked and answer.ranges and same:
            start = int(asked[1])
            if start >= len(body):
                status, headers["Content-Range"], body = 416, f"bytes */{whole}", b""
            else:
                status, headers["Content-Range"] = 206, f"bytes {start}-{whole - 1}/{whole}"
                body = body[start:]
            headers["Content-Length"] = str(whole - start if status == 206 else 0)
    if answer.chunked:
        headers |= {"Content-Length": None, "Transfer-Encoding": "chunked"}
    headers |= answer.headers
    return status, {name: value for name, value in headers.items() if value is not None}, body
