"""Invitations: one URL, and a refusal that says which part is wrong but never shows the token."""

from __future__ import annotations

import pytest

from reconciler.core.issuance.invitation import Invitation, parse_invitation
from reconciler.core.issuance.tokens import new_token
from reconciler.errors import NeedsEdit

TOKEN = new_token(bytes(range(10)), bytes(range(32)))
SPELLED = TOKEN.spelled()
PIN = "sha256:" + "0a" * 32
URL = "https://alpha.example:8443/federation/v1/enroll"
WHOLE = f"{URL}#token={SPELLED},ca={PIN}"


def test_an_invitation_reads_back() -> None:
    invitation = Invitation("https://alpha.example:8443", TOKEN, PIN)
    assert invitation.url() == WHOLE
    assert parse_invitation(f"  {WHOLE}\n") == invitation


@pytest.mark.parametrize(
    "wrapped",
    [
        "\ufeff{}\n",
        '"{}"\n',
        "\r\n'{}'\r\n",
        "<{}>",
        " \u201c{}\u201d ",
        '\ufeff"{}"',
    ],
)
def test_what_a_mail_or_an_editor_puts_around_it_is_taken_off(wrapped: str) -> None:
    assert parse_invitation(wrapped.format(WHOLE)).url() == WHOLE


def test_a_gateway_may_live_below_a_path_and_on_an_ipv6_address() -> None:
    presented = WHOLE.replace("alpha.example:8443", "[::1]:8443/beta")
    assert parse_invitation(presented).base_url == "https://[::1]:8443/beta"


def test_the_order_of_token_and_pin_does_not_matter() -> None:
    assert parse_invitation(f"{URL}#ca={PIN},token={SPELLED}").token == TOKEN


def test_repr_does_not_show_the_token() -> None:
    assert TOKEN.secret not in repr(parse_invitation(WHOLE))


@pytest.mark.parametrize(
    ("presented", "fact"),
    [
        ("", "the invitation is empty"),
        (' ""\n', "the invitation is empty"),
        (f'"{WHOLE}', "does not begin with https://"),
        (f'""{WHOLE}""', "does not begin with https://"),
        ("not a url", "a space"),
        (WHOLE.replace("https", "http"), "does not begin with https://"),
        (WHOLE.replace("alpha.example:8443", ""), "does not begin with https://"),
        (WHOLE.replace(":8443", ":84430"), "is not a URL"),
        (WHOLE.replace("alpha.example:8443", "[::1"), "is not a URL"),
        (WHOLE.replace("alpha", "user@alpha"), "a user, a password or a query"),
        (WHOLE.replace("alpha", "@alpha"), "a user, a password or a query"),
        (WHOLE.replace("#", "?x=1#"), "a user, a password or a query"),
        (WHOLE.replace("/enroll", "/grant"), "path does not end with"),
        (WHOLE.replace("#", "%23"), "path does not end with"),
        (WHOLE.replace("#", "?"), "a user, a password or a query"),
        (URL, "has no token"),
        (f"{URL}#ca={PIN}", "has no token"),
        (f"{URL}#token={SPELLED}", "has no pin"),
        (f"{URL}#token={SPELLED}&ca={PIN}", "has no pin"),
        (f"{WHOLE},ca={PIN}", "is not token=…,ca=sha256:…"),
        (f"{WHOLE},x=1", "is not token=…,ca=sha256:…"),
        (f"{URL}#token={SPELLED[:-1]},ca={PIN}", "mistyped or cut"),
        (WHOLE[:-1], "64 lower-case hex digits"),
        (WHOLE.replace("0a0a", "0A0A"), "64 lower-case hex digits"),
        (WHOLE.replace(",ca", ",\n ca"), "a space, a line break"),
        (WHOLE.replace("enroll", "en\troll"), "a space, a line break"),
        (WHOLE.replace("alpha", "al\x1b[31mpha"), "a space, a line break"),
    ],
)
def test_each_refusal_says_what_is_wrong_and_shows_no_token(presented: str, fact: str) -> None:
    with pytest.raises(NeedsEdit) as caught:
        parse_invitation(presented)
    assert caught.value.code == "invitation_invalid"
    assert fact in caught.value.message
    assert TOKEN.secret not in f"{caught.value.message} {caught.value.hint}"
    assert "in quotes" in caught.value.hint
