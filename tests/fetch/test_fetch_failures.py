"""What is said where fetching meets difficulties, and what is advised where it fails."""

from tests.fetch.fetching import BODY, got


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
