"""HTTP/1.1 requests as RFC 9112 writes them, and nothing that another parser may read otherwise.

h11 accepts a bare LF, folded fields, a length beside a transfer coding, repeated lengths, and any
chunk extension. Here the octets are checked before h11 reads them: a whole head, and then the
framing of a chunked body.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import h11

if TYPE_CHECKING:
    from h11 import Event

MAX_HEAD: Final = 16 * 1024  # octets
MAX_FIELDS: Final = 100
MAX_CHUNK_LINE: Final = 256  # octets of a chunk's size and extensions
MAX_SMALL_CHUNKS: Final = 256  # of a body, beside one for each 64 octets; h11 takes 14 us for each

_TOKEN_OCTET: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"  # RFC 9110 5.6.2
_TOKEN: Final = _TOKEN_OCTET + rb"++"
_HOST_OCTET: Final = rb"[A-Za-z0-9._~%!$&'()*+;=:\[\]-]"  # RFC 9110 7.2, without its comma
_ABSOLUTE: Final = rb"(?i:https?)://(?P<authority>" + _HOST_OCTET + rb"++)"
_REQUEST_LINE: Final = re.compile(
    _TOKEN_OCTET + rb"{1,32} (?:/[!\"$-~]*+|\*|" + _ABSOLUTE + rb"(?:[/?][!\"$-~]*+)?)"
    rb" HTTP/1\.(?P<version>[01])\r\n"
)
_ORIGIN: Final = re.compile(_ABSOLUTE)
_FIELD_LINE: Final = _TOKEN + rb":[\t\x20-\x7e\x80-\xff]*+\r\n"
_FIELD_LINES: Final = re.compile(rb"(?:" + _FIELD_LINE + rb")*+")
_HOST: Final = re.compile(_HOST_OCTET + rb"*")
_LENGTH: Final = re.compile(rb"[0-9]{1,15}")
_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;" + _TOKEN + rb"(?:=" + _TOKEN + rb")?)*+")
_WHITESPACE: Final = b" \t"


class SyntaxRefused(h11.RemoteProtocolError):
    """A request that is not HTTP/1.1, or not plainly; its message names no octet of it."""


class HeadTooLarge(SyntaxRefused):
    """The head has more octets than `MAX_HEAD`, or more fields than `MAX_FIELDS`."""


def check_head(received: bytes) -> None:
    """Check the octets of a head that have been received so far, up to its end.

    Raises:
        SyntaxRefused: they cannot become a head that every parser reads alike.
        HeadTooLarge: so, and because of its size.
    """
    end = received.find(b"\r\n\r\n", 0, MAX_HEAD)
    if end < 0 and len(received) >= MAX_HEAD:
        raise HeadTooLarge(f"a head of more than {MAX_HEAD} octets")
    size = (end if end >= 0 else received.rfind(b"\r\n")) + 2
    if size < 2:  # not one whole line
        if b"\n" in received:
            raise SyntaxRefused("a line that ends with LF only")
        return
    line = _REQUEST_LINE.match(received, 0, size)
    if line is None:
        raise SyntaxRefused("no request line of HTTP/1.1")
    if _FIELD_LINES.fullmatch(received, line.end(), size) is None:
        raise SyntaxRefused("no field line")
    if end >= 0:
        _check_fields(received[line.end() : size], line)
    elif b"\n" in received[size:]:
        raise SyntaxRefused("a line that ends with LF only")


def _check_fields(lines: bytes, request_line: re.Match[bytes]) -> None:
    fields: dict[bytes, list[bytes]] = {}
    names = lines.split(b"\r\n")[:-1]
    if len(names) > MAX_FIELDS:
        raise HeadTooLarge(f"a head of more than {MAX_FIELDS} fields")
    for line in names:
        name, _, value = line.partition(b":")
        fields.setdefault(name.lower(), []).append(value.strip(_WHITESPACE))
    hosts = fields.get(b"host", [])
    lengths = fields.get(b"content-length", [])
    codings = fields.get(b"transfer-encoding", [])
    version, authority = request_line["version"], request_line["authority"]
    if len(hosts) > 1 or (version == b"1" and not hosts):  # RFC 9112 3.2
        raise SyntaxRefused(f"{len(hosts)} Host fields")
    if not all(_HOST.fullmatch(host) for host in hosts):
        raise SyntaxRefused("a Host that names none")
    # RFC 9112 3.2.2: a client sends the same host in both, and one who differs misleads a parser
    if authority is not None and any(host.lower() != authority.lower() for host in hosts):
        raise SyntaxRefused("a target whose host is not that of Host")
    if len(lengths) + len(codings) > 1:  # RFC 9112 6.1, 6.3
        raise SyntaxRefused("more than one length of the body")
    if not all(_LENGTH.fullmatch(length) for length in lengths):
        raise SyntaxRefused("a Content-Length that is not a number")
    if codings and (codings[0].lower() != b"chunked" or version == b"0"):
        raise SyntaxRefused("a transfer coding that is not chunked")


def _in_origin_form(request: h11.Request) -> h11.Request:
    """Return a request whose target is a path: a server accepts absolute URLs (RFC 9112 3.2.2)."""
    origin = _ORIGIN.match(request.target)
    if origin is None:
        return request
    path = request.target[origin.end() :]
    return h11.Request(
        method=request.method,
        target=path if path.startswith(b"/") else b"/" + path,
        headers=request.headers,
        http_version=request.http_version,
    )


class _ChunkedBody:
    """Reads over a chunked body (RFC 9112 7.1) as its octets arrive, and checks its framing."""

    def __init__(self) -> None:
        self._unread = bytearray()
        self._left = 0  # octets of the chunk
        self._line = self._size  # what the next line is
        self._chunks = 0  # beside one for each 64 octets
        self._trailers: list[int] = []  # octets of each
        self.ended = False

    def receive(self, data: bytes) -> None:
        """Take the next octets; once it has `ended`, they belong to the next request.

        Raises:
            SyntaxRefused: this is no chunked body.
        """
        self._unread += data
        while self._unread and not self.ended:
            if self._left:
                size = min(self._left, len(self._unread))
                del self._unread[:size]
                self._left -= size
                continue
            end = self._unread.find(b"\n", 0, MAX_CHUNK_LINE)
            if end < 0 and len(self._unread) < MAX_CHUNK_LINE:
                return
            line = bytes(self._unread[: end + 1])
            if not line.endswith(b"\r\n"):
                raise SyntaxRefused("a line of a chunked body that does not end in CRLF")
            del self._unread[: end + 1]
            self._line(line[:-2])

    def _size(self, line: bytes) -> None:
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise SyntaxRefused("no size of a chunk")
        self._left = int(match[1], 16)
        self._chunks = max(0, self._chunks + 1 - self._left // 64)
        if self._chunks > MAX_SMALL_CHUNKS:
            raise SyntaxRefused("a body in many small chunks")
        self._line = self._end if self._left else self._trailer

    def _end(self, line: bytes) -> None:
        if line:
            raise SyntaxRefused("a chunk that is longer than its size")
        self._line = self._size

    def _trailer(self, line: bytes) -> None:
        self.ended = not line
        self._trailers.append(len(line))
        if line and not _FIELD_LINES.fullmatch(line + b"\r\n"):
            raise SyntaxRefused("no field line")
        if sum(self._trailers) > MAX_HEAD or len(self._trailers) > MAX_FIELDS + 1:
            raise HeadTooLarge(f"trailers of more than {MAX_HEAD} octets or {MAX_FIELDS} fields")


class StrictConnection(h11.Connection):
    """The server's side of a connection, which accepts no more than this module does."""

    def __init__(self) -> None:
        super().__init__(h11.SERVER, MAX_HEAD)
        self._chunked_body: _ChunkedBody | None = None
        self.refusal: h11.RemoteProtocolError | None = None

    def receive_data(self, data: bytes) -> None:
        """Take octets; what is wrong with them is raised by `next_event`."""
        if self._chunked_body is not None and self.refusal is None:
            self._follow(self._chunked_body, data)
        super().receive_data(data)

    def next_event(self) -> Event | type[h11.NEED_DATA | h11.PAUSED]:
        """Return the next event of what `check_head` and the framing of chunks let pass.

        Raises:
            RemoteProtocolError: kept as `refusal`; nothing that follows is read.
        """
        try:
            if self.refusal is not None:
                raise self.refusal
            if self.their_state is h11.IDLE:
                check_head(self.trailing_data[0])
            event = super().next_event()
        except h11.RemoteProtocolError as error:
            self.refusal = error
            raise
        if isinstance(event, h11.Request):
            event = _in_origin_form(event)
            chunked = any(name == b"transfer-encoding" for name, _ in event.headers)
            self._chunked_body = _ChunkedBody() if chunked else None
            if self._chunked_body is not None:
                self._follow(self._chunked_body, self.trailing_data[0])
        return event

    def _follow(self, body: _ChunkedBody, data: bytes) -> None:
        try:
            body.receive(data)
        except SyntaxRefused as error:
            self.refusal = error
            return
        if body.ended:
            self._chunked_body = None
