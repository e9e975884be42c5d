"""Redirects, proxies, certificates, and whatever else may stand where a web server should."""

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from resnets.fetch.connection import AttemptError, allowed, redirected
from resnets.fetch.download import DownloadError, Patience, download

BODY = b"\x80\x02" + bytes(range(256)) * 40
SHORT = Patience(connect=0.5, stall=0.4, slowest=1000, tries=2, pause=0.01)


def refusal(url: str, part: Path, patience: Patience = SHORT) -> str:
    with pytest.raises(DownloadError) as caught:
        download(url, part, patience=patience)
    assert not part.exists()
    return str(caught.value)


def test_redirects_are_followed_and_the_end_is_told(server, tmp_path):
    server.put("/model", BODY)
    server.put("/a", redirect="b")
    server.put("/b", redirect=server.url("/model") + "?signed=1#there", status=308)
    server.once("/model", after=5000)
    found = download(server.url("/a"), tmp_path / "part", patience=SHORT)
    assert (found.url, found.size) == (server.url("/model") + "?signed=1#there", len(BODY))
    assert [r.path for r in server.requests] == ["/a", "/b", "/model"] * 2
    assert [r.range for r in server.requests[3:]] == ["bytes=5000-"] * 3


def test_redirects_in_a_circle_and_without_end(server, tmp_path):
    server.put("/a", redirect=server.url("/b?key=secret"))
    server.put("/b", redirect=server.url("/a"))
    assert refusal(server.url("/a"), tmp_path / "part") == f"it redirects in a circle, back to {server.url('/a')}"
    for i in range(20):
        server.put(f"/{i}", redirect=f"/{i + 1}")
    assert "more than 10 times, at last to" in refusal(server.url("/0"), tmp_path / "part")
    assert len(server.requests) == 2 + 11


@pytest.mark.parametrize(
    ("there", "message"),
    [
        ("ftp://host/model", "not on the web"),
        ("file:///etc/passwd", "not on the web"),
        ("data:,x", "not on the web"),
        ("http://host/model", "which nobody vouches for"),
        ("https://user:secret@host/", "a user name"),
        ("https://host:port/", "malformed"),
        ("https://:80/model", "names no host"),
        ("https://[::1/", "malformed"),
    ],
)
def test_redirects_to_nowhere(there, message):
    with pytest.raises(AttemptError, match=message) as caught:
        redirected("https://example.org/a", there)
    assert caught.value.lasting
    assert "secret" not in str(caught.value)


def test_redirects_to_somewhere():
    assert redirected("https://a/b/c", "../d e?x=ü") == "https://a/d%20e?x=%FC"
    assert redirected("http://a/b", "https://c/%20") == "https://c/%20"


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/a", "model.onnx", "http://", "http://a:b@c/"])
def test_addresses_that_are_never_asked(url):
    with pytest.raises(AttemptError):
        allowed(url)


def test_a_proxy_is_used_unless_no_proxy_names_the_host(server, tmp_path, monkeypatch):
    server.put("/model", BODY)
    monkeypatch.setenv("HTTP_PROXY", server.base)
    assert download("http://weights.invalid/model", tmp_path / "part").size == len(BODY)
    assert server.requests[0].target == "http://weights.invalid/model"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert download(server.url("/model"), tmp_path / "direct").size == len(BODY)
    assert server.requests[1].target == "/model"


def test_a_proxy_that_refuses(server, tmp_path, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", server.base)  # which answers CONNECT with 404
    assert f"the proxy {server.base} refuses to connect, with status 404" in refusal(
        "https://weights.invalid/a", tmp_path / "part"
    )
    assert server.requests[0].method == "CONNECT"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_of_socks_is_refused_by_name(tmp_path, monkeypatch, scheme):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0)
        port = listening.getsockname()[1]
        monkeypatch.setenv(f"{scheme.upper()}_PROXY", f"socks5h://me:secret@127.0.0.1:{port}/")
        found = refusal(f"{scheme}://weights.invalid/a", tmp_path / "part")
        assert found == f"SOCKS proxies are not supported, and socks5h://127.0.0.1:{port} is one"
        with pytest.raises(BlockingIOError):  # nothing was asked of it
            listening.accept()


@pytest.fixture
def secure(server_class, tmp_path) -> Iterator[tuple[object, Path]]:
    """A server of https://127.0.0.1 and its certificate, which nobody knows."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not there to make a certificate")
    key, certificate, both = (tmp_path / name for name in ("key.pem", "certificate.pem", "both.pem"))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", key, "-out", certificate, "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    one = server_class(both)
    yield one, certificate
    one.close()


def test_certificates_are_verified(secure, server, tmp_path, monkeypatch):
    one, certificate = secure
    one.put("/model", BODY)
    one.put("/down", redirect=server.url("/model"))
    server.put("/model", BODY)
    with pytest.raises(DownloadError, match=r"^its certificate cannot be verified \(self[^)]*\)$") as caught:
        download(one.url("/model"), tmp_path / "part", patience=SHORT)
    assert "SSL_CERT_FILE" in caught.value.advice
    assert not one.requests
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    one.once("/model", after=5000, then="stall")
    found = download(one.url("/model"), tmp_path / "part", patience=SHORT)
    assert (found.size, found.resumed) == (len(BODY), True)
    assert (tmp_path / "part").read_bytes() == BODY
    assert "redirects from https to http" in refusal(one.url("/down"), tmp_path / "other")
    assert not server.requests


@contextmanager
def saying(data: bytes, times: int = 1) -> Iterator[str]:
    """The address of something that answers whatever it is asked with these bytes, so many times or until it is cut."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for _ in range(SHORT.tries):
                with suppress(OSError), listening.accept()[0] as connection:
                    connection.recv(10_000)
                    for _ in range(times):
                        connection.sendall(data)
                    connection.recv(10_000)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/model"
        listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("data", "times", "message"),
    [
        (b"220 ftp ready\r\n\r\n", 1, "what answers is no web server"),
        (b"\0" * 100_000, 1, "what answers is no web server"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200, 1, "what answers is no web server"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", 10**9, "no answer within|was reset"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 1, "ended before the file did"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\nabc", 1, "not a byte came|fewer than"),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n",
            1,
            "it redirects to 127.0.0.1:1: the server refuses connections",
        ),
        (b"HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\n\r\nabc", 1, "status 206 to a plain request"),
        (b"", 1, "no answer within"),
    ],
)
def test_what_is_no_web_server_ends_soon(data, times, message, tmp_path):
    began = time.monotonic()
    with saying(data, times) as url, pytest.raises(DownloadError, match=message):
        download(url, tmp_path / "part", patience=SHORT)
    assert time.monotonic() - began < 4


def test_names_and_connections_that_take_too_long(tmp_path, monkeypatch):
    real = socket.getaddrinfo

    def slow(*arguments, **more):
        time.sleep(3)
        return real(*arguments, **more)

    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(address)
        assert "no connection within 0.25 seconds" in refusal(
            f"http://127.0.0.1:{address[1]}/", tmp_path / "part", SHORT
        )
        for one in waiting:
            one.close()
    monkeypatch.setattr(socket, "getaddrinfo", slow)
    assert refusal("http://weights.invalid/", tmp_path / "part") == "no connection within 0.5 seconds"
    assert time.monotonic() - began < 3


def test_a_host_that_is_not_there_is_told_at_once(tmp_path, monkeypatch):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/"
        patience = Patience(pause=60)
        assert refusal(url, tmp_path / "part", patience) == "the server refuses connections"

    def unknown(*arguments, **more):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert refusal("http://weights.invalid/", tmp_path / "part", patience) == "the name cannot be resolved"
    monkeypatch.setenv("HTTP_PROXY", "proxy.invalid")
    found = refusal("http://weights.invalid/", tmp_path / "part", patience)
    assert found == "the proxy's name proxy.invalid cannot be resolved"


def test_errors_of_tls_have_words(tmp_path):
    with saying(b"HTTP/1.1 400 Bad Request\r\n\r\n") as url:
        message = refusal(url.replace("http:", "https:"), tmp_path / "part")
    assert message.startswith("the secure connection failed")
