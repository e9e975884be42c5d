"""What is said where fetching meets difficulties, and what is advised where it fails."""

import errno
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from tests.fetch.fetching import BODY, KNOWN, OTHER, SHA, got, refused

from resnets.fetch import cache


def test_another_attempt_is_announced_unless_quiet(row, server, capsys):
    for quiet in (False, True):
        server.once("/resnet-18.t7", status=503)
        got(row, quiet=quiet, again=True)
        lines = capsys.readouterr().err.splitlines()
        line = f"resnet18.fb: 127.0.0.1:{server.port}: status 503 (Service Unavailable), trying again"
        assert (lines[1:2], line in lines) == ([] if quiet else [line], not quiet)
    server.once("/resnet-18.t7", after=len(BODY) // 2, then="close")
    got(row, again=True)
    lines = capsys.readouterr().err.splitlines()
    assert lines[1:3] == [
        f"resnet18.fb: 127.0.0.1:{server.port}: the connection ended before the file did, trying again",
        "resnet18.fb: going on at 0.1 MB",
    ]


ZOO = (  # as long as the longest addresses of the table
    "https://huggingface.co/onnxmodelzoo/legacy_models/resolve/main/validated/vision/classification/resnet/model/a.onnx",
    "https://media.githubusercontent.com/media/onnx/models/main/validated/vision/classification/resnet/model/a.onnx",
    "https://github.com/onnx/models/raw/main/validated/vision/classification/resnet/model/a.onnx",
)


def no_names(monkeypatch):
    def unknown(host, *_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)


def test_without_a_network_a_line_an_address_and_an_error_that_says_it_once(row, monkeypatch, capsys):
    no_names(monkeypatch)
    row = replace(row, urls=ZOO)
    error = refused(row)
    assert error.problem == (
        "resnet18.fb could not be downloaded: huggingface.co, media.githubusercontent.com and github.com:"
        " the name cannot be resolved."
    )
    assert error.remedy == (
        "No address could be reached: name a proxy in HTTPS_PROXY or a mirror in RESNETS_MIRROR, or fetch resnet-18.t7"
        f" by hand from {ZOO[0]} and put it at {cache.place(row)}."
    )
    assert len(str(error)) - len(str(cache.place(row))) < 480
    assert capsys.readouterr().err.splitlines() == [
        "resnet18.fb: downloading resnet-18.t7 from huggingface.co",
        "resnet18.fb: huggingface.co: the name cannot be resolved; trying media.githubusercontent.com",
        "resnet18.fb: media.githubusercontent.com: the name cannot be resolved; trying github.com",
    ]


def test_a_proxy_that_is_in_use_is_named_and_none_advised(row, server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", server.base)
    error = refused(replace(row, urls=("http://weights.invalid/gone.t7",)))
    assert error.problem.endswith(f": weights.invalid: status 404 (Not Found), through the proxy {server.base}.")
    monkeypatch.setenv("HTTP_PROXY", "socks5://127.0.0.1:9")
    error = refused(replace(row, urls=("http://weights.invalid/gone.t7",)))
    assert error.problem.endswith("SOCKS proxies are not supported, and socks5://127.0.0.1:9 is one.")
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{bound.getsockname()[1]}"
        monkeypatch.setenv("HTTPS_PROXY", proxy.replace("//", "//me:secret@"))
        error = refused(replace(row, urls=ZOO))
        assert error.problem.endswith(f" and github.com: the proxy {proxy} refuses connections.")
        assert error.remedy.startswith(
            f"No address could be reached: check the proxy {proxy}, name a mirror in RESNETS_MIRROR, or fetch"
        )
        assert "secret" not in str(error)
        monkeypatch.setenv("NO_PROXY", "huggingface.co")
        no_names(monkeypatch)
        monkeypatch.setenv("HTTPS_PROXY", "http://nosuchproxy.invalid:3128")
        error = refused(replace(row, urls=ZOO))
        assert error.problem.endswith(
            "huggingface.co: the name cannot be resolved; media.githubusercontent.com and github.com:"
            " the proxy's name nosuchproxy.invalid cannot be resolved."
        )


def test_a_mirror_that_is_set_is_named_and_not_advised(row, server, monkeypatch):
    row = replace(row, digests=KNOWN, urls=(server.url("/gone.t7"),))
    monkeypatch.setenv("RESNETS_MIRROR", server.url("/mirror"))
    here = f"127.0.0.1:{server.port}"
    error = refused(row)
    assert error.problem == (
        f"resnet18.fb could not be downloaded: {here} (RESNETS_MIRROR) and {here}: status 404 (Not Found)."
    )
    by_hand = f"etch resnet-18.t7 by hand from {row.urls[0]} and put it at {cache.place(row)}."
    assert error.remedy == f"Put the file on the mirror as resnet18.fb/resnet-18.t7, or f{by_hand}"
    server.put("/mirror/resnet18.fb/resnet-18.t7", OTHER)
    error = refused(row)
    assert "(RESNETS_MIRROR): its sha256 is " in error.problem
    assert f"{SHA[:8]} (the file's name); {here}: status 404 (Not Found)." in error.problem
    assert error.remedy == (
        f"The file at RESNETS_MIRROR is not the published one: replace it there or unset RESNETS_MIRROR, or f{by_hand}"
    )


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EACCES, "Mend its permissions, or name another folder for downloads in RESNETS_CACHE."),
        (errno.EPERM, "Mend its permissions, or name another folder for downloads in RESNETS_CACHE."),
        (errno.EROFS, "Name a folder on a disk that can be written in RESNETS_CACHE."),
        (errno.EIO, "Name another folder for downloads in RESNETS_CACHE."),
    ],
)
def test_what_is_advised_for_a_folder_fits_its_error(row, folder, monkeypatch, number, remedy):
    def refuse(path, *_, **__):
        if not path.is_dir():
            raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    error = refused(row)
    assert error.problem == f"{folder.parent} cannot be made ({os.strerror(number)})."
    assert error.remedy == remedy


def test_a_folder_that_cannot_be_made_needs_no_permissions(row, monkeypatch):
    monkeypatch.setenv("RESNETS_CACHE", "/proc/nope")
    error = refused(row)
    assert error.problem == "/proc/nope cannot be made (No such file or directory)."
    assert error.remedy == "Name another folder for downloads in RESNETS_CACHE."


def test_offline_forbids_downloading(row, folder, monkeypatch):
    monkeypatch.setenv("RESNETS_OFFLINE", "1")
    assert "RESNETS_OFFLINE forbids downloading resnet-18.t7 from" in refused(row).problem
