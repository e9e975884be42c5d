"""A URL goes in, an open answer of its server comes out, redirects followed; or an error that says why there is none.

By the standard library: proxies from the environment (HTTP_PROXY, HTTPS_PROXY, NO_PROXY), certificates checked against
the system's store.
"""

import http.client
import re
import socket
import ssl
import string
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.error import URLError
from urllib.parse import quote, urljoin, urlsplit

from resnets.errors import plain, short

REDIRECTS = 10
_MOVED = (301, 302, 303, 307, 308)
_PUNCTUATION = string.punctuation.replace("#", "")


class AttemptError(Exception):
    """Why one attempt failed, as a clause.

    `lasting`: another attempt would end alike. `unreachable`: so would it, unless the server has been reached before.
    `wait`: seconds that the server asks to wait. `advice`: what to do about it, a sentence.
    """

    def __init__(
        self,
        problem: str,
        *,
        lasting: bool = False,
        unreachable: bool = False,
        wait: float = 0.0,
        advice: str = "",
    ) -> None:
        super().__init__(problem)
        self.lasting, self.unreachable, self.wait, self.advice = lasting, unreachable, wait, advice


def opened(
    url: str,
    headers: dict[str, str],
    *,
    timeout: float,
    began: Callable[[], None],
    met: Callable[[socket.socket], None],
) -> tuple[http.client.HTTPResponse, str]:
    """The answer and the address that it came from in the end.

    `timeout`: seconds to connect to one address of a host. `began` is called before each connection; `met` with each
    socket as soon as it is connected, and sets its timeout.
    Raises AttemptError.
    """
    seen = [allowed(url)]
    while True:
        try:
            response = _asked(url, headers, timeout, began, met)
        except AttemptError as fault:
            if len(seen) == 1:
                raise
            there, more = plain(short(urlsplit(url).netloc, 100)), vars(fault)
            raise AttemptError(f"it redirects to {there}: {fault}", **more) from fault
        place = response.headers.get("Location")
        if response.status not in _MOVED or place is None:
            return response, url
        response.close()
        url = redirected(url, place)
        if url in seen:
            raise AttemptError(f"it redirects in a circle, back to {_shown(url)}", lasting=True)
        if len(seen) > REDIRECTS:
            raise AttemptError(f"it redirects more than {REDIRECTS} times, at last to {_shown(url)}", lasting=True)
        seen.append(url)


def allowed(url: str) -> str:
    """The URL, if it is one that may be asked for. Raises AttemptError."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise AttemptError(f"the address is malformed ({error})", lasting=True) from error
    if parts.scheme not in ("http", "https"):
        raise AttemptError(f"its address begins with {plain(short(parts.scheme, 20))}:, not with https:", lasting=True)
    if parts.username is not None:
        raise AttemptError("its address holds a user name, which is not supported", lasting=True)
    if not parts.hostname:
        raise AttemptError("its address names no host", lasting=True)
    return url


def redirected(url: str, place: str) -> str:
    """Where a redirect leads, if that is somewhere it may lead. Raises AttemptError."""
    try:
        there = urljoin(url, quote(place, encoding="latin-1", safe=_PUNCTUATION + "#"))
        scheme = urlsplit(there).scheme
    except ValueError as error:
        raise AttemptError(f"it redirects to a malformed address ({error})", lasting=True) from error
    if scheme not in ("http", "https"):
        raise AttemptError(f"it redirects to {_shown(there)}, which is not on the web", lasting=True)
    if scheme == "http" and urlsplit(url).scheme == "https":
        raise AttemptError(f"it redirects from https to {_shown(there)}, which nobody vouches for", lasting=True)
    return allowed(there)


def _shown(url: str) -> str:
    """An address without its query, which may hold a signature."""
    return plain(short(url.split("?")[0], 120))


def proxy_of(url: str) -> str | None:
    """The proxy that the environment names for an address, without its password; None where none stands between."""
    parts = urlsplit(url)
    given = urllib.request.getproxies().get(parts.scheme)
    if not given or urllib.request.proxy_bypass(parts.netloc):
        return None
    scheme, _, there = given.rpartition("://")
    return plain(short(f"{scheme or 'http'}://{there.rpartition('@')[2].rstrip('/')}", 100))


def _host(proxy: str) -> str:
    return proxy.partition("://")[2].rsplit(":", 1)[0]


def _asked(
    url: str, headers: dict[str, str], timeout: float, began: Callable[[], None], met: Callable[[socket.socket], None]
) -> http.client.HTTPResponse:
    """One request. Statuses are not looked at."""
    proxy = proxy_of(url)
    if proxy is not None and proxy.lower().startswith("socks"):  # urllib would speak HTTP to it
        raise AttemptError(f"SOCKS proxies are not supported, and {proxy} is one", lasting=True, unreachable=True)
    opener = urllib.request.OpenerDirector()
    for handler in (urllib.request.ProxyHandler(), _HTTP(met), _HTTPS(met), urllib.request.UnknownHandler()):
        opener.add_handler(handler)
    opener.addheaders = [("User-Agent", "resnets"), ("Accept-Encoding", "identity"), ("Accept", "*/*")]
    began()
    try:
        response = opener.open(urllib.request.Request(url, headers=headers), timeout=timeout)
    except AttemptError:
        raise
    except Exception as error:
        raise fault_of(error, url) from error
    assert isinstance(response, http.client.HTTPResponse)
    return response


class _Connection(http.client.HTTPConnection):
    """Tells of its socket as soon as it is connected, before TLS; behind a proxy, once that has connected it."""

    met: Callable[[socket.socket], None]

    def connect(self) -> None:
        try:
            super().connect()
        except TimeoutError as error:
            raise AttemptError(f"no connection within {self.timeout:g} seconds", unreachable=True) from error
        self.met(self.sock)


class _SecureConnection(http.client.HTTPSConnection, _Connection):  # whose connect calls that of _Connection
    pass


class _HTTP(urllib.request.HTTPHandler):
    def __init__(self, met: Callable[[socket.socket], None]) -> None:
        super().__init__()
        self.met = met

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_made(_Connection, self.met), request)


class _HTTPS(urllib.request.HTTPSHandler):
    def __init__(self, met: Callable[[socket.socket], None]) -> None:
        urllib.request.AbstractHTTPHandler.__init__(self)  # HTTPSHandler's own reads all certificates from 3.12 on
        self.met = met

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_made(_SecureConnection, self.met), request, context=ssl.create_default_context())


def _made(kind: type[_Connection], met: Callable[[socket.socket], None]) -> Any:
    def make(host: str, **options: Any) -> _Connection:
        connection = kind(host, **options)
        connection.met = met
        return connection

    return make


def fault_of(error: Exception, url: str) -> AttemptError:
    """What an error of the network means, in words for people."""
    if isinstance(error, URLError) and isinstance(error.reason, Exception):
        error = error.reason
    if isinstance(error, ssl.SSLCertVerificationError):
        return AttemptError(
            f"its certificate cannot be verified ({plain(error.verify_message)})",
            lasting=True,
            advice="Check the clock, or, where a proxy of your own network signs instead, name that proxy's"
            " certificates in SSL_CERT_FILE.",
        )
    proxy = proxy_of(url)
    if isinstance(error, socket.gaierror):
        of = f"proxy's name {_host(proxy)}" if proxy else "name"
        return AttemptError(f"the {of} cannot be resolved", unreachable=True)
    if isinstance(error, TimeoutError):
        return AttemptError("the server does not answer")
    if isinstance(error, http.client.IncompleteRead):
        return AttemptError("the connection ended before the file did")
    if isinstance(error, http.client.RemoteDisconnected):
        return AttemptError("the server closed the connection without an answer")
    if isinstance(error, ConnectionResetError | ConnectionAbortedError | BrokenPipeError):
        return AttemptError("the connection was reset")
    if isinstance(error, ConnectionRefusedError):
        return AttemptError(f"the {f'proxy {proxy}' if proxy else 'server'} refuses connections", unreachable=True)
    if isinstance(error, ssl.SSLError):
        return AttemptError(f"the secure connection failed ({error.reason or 'cut off'})", unreachable=True)
    if isinstance(error, http.client.HTTPException | UnicodeError | ValueError | URLError):
        text = plain(short(str(error) or type(error).__name__, 100))
        return AttemptError(f"what answers is no web server, or the address is malformed ({text})", lasting=True)
    if refused := re.match(r"Tunnel connection failed: (\d+)", str(error)):
        lasting = refused[1].startswith("4")
        problem = f"the proxy {proxy} refuses to connect, with status {refused[1]}"
        return AttemptError(problem, lasting=lasting, unreachable=lasting)
    reason = error.strerror if isinstance(error, OSError) else None
    return AttemptError(f"the network failed ({reason or type(error).__name__})", unreachable=True)


def fault_of_status(status: int, wait: float) -> AttemptError:
    """What a status other than 200, 206 and 416 means. `wait`: what the server asks for, in seconds."""
    try:
        phrase = f" ({HTTPStatus(status).phrase})"
    except ValueError:
        phrase = ""
    passing = status >= 500 or status in (408, 425, 429)
    return AttemptError(f"status {status}{phrase}", lasting=not passing, wait=wait)
