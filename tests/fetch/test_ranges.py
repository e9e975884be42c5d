"""What may be asked of a server to go on, and what its answers say."""

from email.message import Message

import pytest

from resnets.fetch.partial import Origin
from resnets.fetch.ranges import asked, span, validator, whole

URL = "https://example.org/model"
DATE = "Tue, 01 Mar 2022 10:00:00 GMT"


def headers(**fields: str) -> Message:
    message = Message()
    for name, value in fields.items():
        message[name.replace("_", "-")] = value
    return message


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"ETag": '"abc"'}, '"abc"'),
        ({"ETag": '"abc"', "Last_Modified": DATE}, '"abc"'),
        ({"ETag": 'W/"abc"'}, None),
        ({"ETag": 'W/"abc"', "Last_Modified": DATE}, DATE),
        ({"Last_Modified": DATE, "Date": "Tue, 01 Mar 2022 10:00:01 GMT"}, DATE),
        ({"Last_Modified": DATE, "Date": DATE}, None),  # it may change again in this second
        ({"Last_Modified": "yesterday", "Date": DATE}, None),
        ({"ETag": "abc"}, None),
        ({"ETag": '"a\x01b"'}, None),
        ({"ETag": f'"{"a" * 5000}"'}, None),
        ({}, None),
    ],
)
def test_a_validator_is_one_that_proves_equal_bytes(fields, found):
    assert validator(headers(**fields)) == found


@pytest.mark.parametrize(
    ("origin", "size", "checkable", "found"),
    [
        (Origin(URL, '"a"', 100), None, False, {"Range": "bytes=50-", "If-Range": '"a"'}),
        (Origin(URL, '"a"', None), None, False, {"Range": "bytes=50-", "If-Range": '"a"'}),
        (Origin(URL, '"a"', 100), 101, True, None),
        (Origin(URL, '"a"', 49), None, True, None),
        (Origin(URL, None, 100), 100, False, None),
        (Origin(URL, None, 100), None, True, {"Range": "bytes=50-"}),
        (Origin(URL, None, None), 100, True, None),
        (Origin("https://mirror", '"a"', 100), 100, True, {"Range": "bytes=50-"}),
        (Origin("https://mirror", '"a"', 100), 100, False, None),
        (None, 100, True, None),
    ],
)
def test_bytes_are_joined_only_where_something_proves_that_they_belong_together(origin, size, checkable, found):
    assert asked(origin, URL, 50, size, checkable) == found
    assert asked(origin, URL, 0, size, checkable) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("bytes 5-9/10", (5, 9, 10)),
        ("bytes 5-10/10", None),
        ("bytes 9-5/10", None),
        ("bytes 5-9/*", None),
        ("bytes */10", None),
        ("lines 5-9/10", None),
        (f"bytes 5-9/{'9' * 5000}", None),
        (None, None),
    ],
)
def test_a_content_range_is_believed_only_if_it_makes_sense(text, found):
    assert span(headers() if text is None else headers(Content_Range=text)) == found


def test_the_length_of_a_range_that_is_not_there():
    assert whole(headers(Content_Range="bytes */10")) == 10
    assert whole(headers(Content_Range="bytes 5-9/10")) is None
    assert whole(headers()) is None
