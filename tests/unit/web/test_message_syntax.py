"""The syntax of requests, as octets: what is refused however it arrives, and what is served."""

from __future__ import annotations

import h11
import pytest

from reconciler.web.server.message_syntax import (
    MAX_FIELDS,
    MAX_HEAD,
    HeadTooLarge,
    StrictConnection,
)

GET = b"GET /x HTTP/1.1\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
MANY = GET + b"Host: a\r\n" + b"X: a\r\n" * MAX_FIELDS

REFUSED = {
    "a length beside a coding": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a coding beside a length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
    "the same length twice": POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "a list of lengths": POST + b"Content-Length: 5, 5\r\n\r\nhello",
    "a length with a plus": POST + b"Content-Length: +5\r\n\r\nhello",
    "a length with a minus": POST + b"Content-Length: -5\r\n\r\nhello",
    "a length in hex": POST + b"Content-Length: 0x5\r\n\r\nhello",
    "an empty length": POST + b"Content-Length:\r\n\r\n",
    "a length with a no-break space": POST + b"Content-Length: 5\xa0\r\n\r\nhello",
    "a length of 20 digits": POST + b"Content-Length: 00000000000000000005\r\n\r\nhello",
    "another coding": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "no coding": POST + b"Transfer-Encoding: identity\r\n\r\n",
    "two codings": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a coding of HTTP/1.0": b"POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bare LFs": b"GET /x HTTP/1.1\nHost: a\n\n",
    "a bare LF after the request line": b"GET /x HTTP/1.1\nHost: a\r\n\r\n",
    "a bare LF after a field": GET + b"Host: a\nX: b\r\n\r\n",
    "a bare LF at the end": GET + b"Host: a\r\n\n",
    "a bare CR in a value": GET + b"Host: a\r\nX: a\rb\r\n\r\n",
    "a folded field": GET + b"Host: a\r\nX: a\r\n b\r\n\r\n",
    "a folded first field": GET + b" Host: a\r\n\r\n",
    "two hosts": GET + b"Host: a\r\nHost: a\r\n\r\n",
    "two hosts in two cases": GET + b"Host: a\r\nhOST: b\r\n\r\n",
    "a list of hosts": GET + b"Host: a, b\r\n\r\n",
    "a host with a user": GET + b"Host: a@b\r\n\r\n",
    "no host": GET + b"X: a\r\n\r\n",
    "whitespace before a colon": GET + b"Host : a\r\n\r\n",
    "a field without a colon": GET + b"Host: a\r\nX\r\n\r\n",
    "a field without a name": GET + b"Host: a\r\n: x\r\n\r\n",
    "NUL in a value": GET + b"Host: a\r\nX: a\x00b\r\n\r\n",
    "NUL in a name": GET + b"Host: a\r\nX\x00: a\r\n\r\n",
    "a control in a value": GET + b"Host: a\r\nX: a\x01b\r\n\r\n",
    "HTTP/0.9": b"GET /x\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/1.2": b"GET /x HTTP/1.2\r\nHost: a\r\n\r\n",
    "another protocol": b"GET /x http/1.1\r\nHost: a\r\n\r\n",
    "two spaces": b"GET  /x HTTP/1.1\r\nHost: a\r\n\r\n",
    "a method with a colon": b"G:T /x HTTP/1.1\r\nHost: a\r\n\r\n",
    "a tab for a space": b"GET\t/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "a space at the line's end": b"GET /x HTTP/1.1 \r\nHost: a\r\n\r\n",
    "an empty line first": b"\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
    "an absolute target of another host": b"GET https://b/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "an absolute target of another port": b"GET https://a:1/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "an absolute target with a user": b"GET https://u@a/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "an absolute target without a host": b"GET https:///x HTTP/1.1\r\nHost: a\r\n\r\n",
    "an absolute target without Host": b"GET https://a/x HTTP/1.1\r\n\r\n",
    "an absolute target of another scheme": b"GET ftp://a/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "a target that is no path": b"GET x HTTP/1.1\r\nHost: a\r\n\r\n",
    "a target with a fragment": b"GET /x#y HTTP/1.1\r\nHost: a\r\n\r\n",
    "a target beyond ASCII": b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT": b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "TLS": b"\x16\x03\x01\x00 what\r\n\r\n",
    "a control in a chunk's extension": CHUNKED + b"5;\x00=\r\nhello\r\n0\r\n\r\n",
    "a quoted extension": CHUNKED + b'5;a="b"\r\nhello\r\n0\r\n\r\n',
    "a long extension": CHUNKED + b"5;" + b"a" * 300 + b"\r\nhello\r\n0\r\n\r\n",
    "a bare LF after a chunk's size": CHUNKED + b"5\nhello\r\n0\r\n\r\n",
    "a bare LF after a chunk": CHUNKED + b"5\r\nhello\n0\r\n\r\n",
    "a bare LF after the chunks": CHUNKED + b"5\r\nhello\r\n0\r\n\n",
    "a chunk's size with a plus": CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n",
    "a chunk's size with 0x": CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
    "a space after a chunk's size": CHUNKED + b"5 \r\nhello\r\n0\r\n\r\n",
    "a chunk that is too long": CHUNKED + b"5\r\nhello!\r\n0\r\n\r\n",
    "a chunk's size of 17 digits": CHUNKED + b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "a chunk without a size": CHUNKED + b"\r\n\r\n",
    "a body in many small chunks": CHUNKED + b"1\r\na\r\n" * 300 + b"0\r\n\r\n",
    "many small chunks after a large one": CHUNKED
    + b"40\r\n%s\r\n" % (b"a" * 64)
    + b"1\r\na\r\n" * 300
    + b"0\r\n\r\n",
    "a folded trailer": CHUNKED + b"0\r\nX: a\r\n b\r\n\r\n",
}
TOO_LARGE = {
    "60 KB in one field": GET + b"Host: a\r\nX: " + b"a" * 60_000 + b"\r\n\r\n",
    "60 KB without an end": GET + b"Host: a\r\nX: " + b"a" * 60_000,
    "60 KB of a target": b"GET /" + b"a" * 60_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "60 KB without a line": b"A" * 60_000,
    "more fields than the limit": MANY + b"\r\n",
    "more trailers than the limit": CHUNKED + b"0\r\n" + b"X: a\r\n" * (MAX_FIELDS + 1) + b"\r\n",
}
SERVED = {
    GET + b"Host: a\r\n\r\n": b"",
    GET + b"Host: [2001:db8::1]:8443\r\nX:\r\nY: \xe4 \t\r\n\r\n": b"",
    b"GET /x HTTP/1.0\r\n\r\n": b"",
    b"M-SEARCH /x HTTP/1.1\r\nHost: a\r\n\r\n": b"",
    b"get /x HTTP/1.1\r\nHost: a\r\n\r\n": b"",  # another method than GET (RFC 9110 9.1)
    b"GET https://a/x?y=%20 HTTP/1.1\r\nHost: a\r\n\r\n": b"",
    POST + b"Content-Length:5\r\n\r\nhello": b"hello",
    CHUNKED + b"5\r\nhello\r\n00A;a=b;c\r\n0123456789\r\n0\r\nX: a\r\n\r\n": b"hello0123456789",
    CHUNKED + b"0\r\n\r\n": b"",
    CHUNKED + b"1\r\na\r\n" * 200 + b"0\r\n\r\n": b"a" * 200,
    CHUNKED + b"40\r\n%s\r\n" % (b"a" * 64) * 300 + b"0\r\n\r\n": b"a" * 64 * 300,
    CHUNKED + b"0\r\n" + b"X: a\r\n" * MAX_FIELDS + b"\r\n": b"",
}


def received(octets: bytes, step: int) -> tuple[list[str], bytes]:
    """Return the kinds of events, and the body, of octets that arrive `step` at a time."""
    connection, kinds, body = StrictConnection(), [], b""
    for start in range(0, len(octets), step):
        connection.receive_data(octets[start : start + step])
        while True:
            event = connection.next_event()
            if event in (h11.NEED_DATA, h11.PAUSED):
                break
            kinds.append(type(event).__name__)
            if isinstance(event, h11.Data):
                body += event.data
    return [kind for kind in kinds if kind != "Data"], body


@pytest.mark.parametrize("step", [1_000_000, 7, 1])
@pytest.mark.parametrize("octets", REFUSED.values(), ids=REFUSED)
def test_what_parsers_disagree_about_is_refused(octets: bytes, step: int) -> None:
    with pytest.raises(h11.RemoteProtocolError) as caught:
        received(octets, step)
    assert not isinstance(caught.value, HeadTooLarge)


@pytest.mark.parametrize("step", [1_000_000, 1_000])
@pytest.mark.parametrize("octets", TOO_LARGE.values(), ids=TOO_LARGE)
def test_a_head_that_is_too_large_is_refused_as_such(octets: bytes, step: int) -> None:
    with pytest.raises(HeadTooLarge):
        received(octets, step)


@pytest.mark.parametrize("step", [1_000_000, 7, 1])
@pytest.mark.parametrize(("octets", "body"), SERVED.items())
def test_what_is_plain_is_served(octets: bytes, body: bytes, step: int) -> None:
    assert received(octets, step) == (["Request", "EndOfMessage"], body)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"https://a/x?y=%20", b"/x?y=%20"),
        (b"HTTP://A", b"/"),
        (b"https://a?y", b"/?y"),
        (b"https://a//b/x", b"//b/x"),
        (b"/x?https://b/", b"/x?https://b/"),
    ],
)
def test_an_absolute_target_is_served_as_its_path(target: bytes, path: bytes) -> None:
    connection = StrictConnection()
    connection.receive_data(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\nX: b\r\n\r\n")
    request = connection.next_event()
    assert isinstance(request, h11.Request)
    assert request.target == path
    assert list(request.headers) == [(b"host", b"a"), (b"x", b"b")]


def test_the_largest_head_is_served() -> None:
    start, end = GET + b"Host: a\r\nX: ", b"\r\n\r\n"
    for padding, expected in ((MAX_HEAD - len(start + end), True), (MAX_HEAD, False)):
        octets = start + b"a" * padding + end
        if expected:
            assert received(octets, MAX_HEAD)[0] == ["Request", "EndOfMessage"]
        else:
            with pytest.raises(HeadTooLarge):
                received(octets, MAX_HEAD)


def test_nothing_after_a_refusal_is_read() -> None:
    connection = StrictConnection()
    connection.receive_data(REFUSED["a length beside a coding"] + GET + b"Host: a\r\n\r\n")
    for _ in range(3):
        with pytest.raises(h11.RemoteProtocolError):
            connection.next_event()
        connection.receive_data(GET + b"Host: a\r\n\r\n")


@pytest.mark.parametrize("end", [b"GET /y HTTP/1.1\nHost: a\n\n", b"\n", b"\x00\r\n"])
def test_a_request_behind_a_chunked_one_is_judged_as_the_first_is(end: bytes) -> None:
    connection = StrictConnection()
    connection.receive_data(CHUNKED + b"1\r\na\r\n0\r\n\r\n" + end)
    while connection.next_event() is not h11.PAUSED:
        pass
    connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
    connection.send(h11.EndOfMessage())
    connection.start_next_cycle()
    with pytest.raises(h11.RemoteProtocolError):
        connection.next_event()
