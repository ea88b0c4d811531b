"""The spelling of enrollment tokens: one, and no other."""

from __future__ import annotations

import base64
import re
import string
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.issuance.tokens import Token, new_token, parse_token, same_mac, token_mac

TOKEN = new_token(bytes(range(10)), bytes(range(100, 132)))
SPELLED = TOKEN.spelled()
LETTERS = string.ascii_letters + string.digits + "_-"


def with_sum(body: str) -> str:
    return f"{body}_{zlib.crc32(body.encode()):08x}"


@given(st.binary(min_size=10, max_size=10), st.binary(min_size=32, max_size=32))
def test_a_token_reads_back(public_id: bytes, secret: bytes) -> None:
    token = new_token(public_id, secret)
    assert re.fullmatch(r"mosf1_[a-z2-7]{16}_[A-Za-z0-9_-]{43}_[0-9a-f]{8}", token.spelled())
    assert parse_token(token.spelled()) == token


def test_a_secret_that_holds_underscores_reads_back() -> None:
    token = new_token(bytes(10), b"\xff" * 32)
    assert "_" in token.secret
    assert parse_token(token.spelled()) == token


@pytest.mark.parametrize("place", range(len(SPELLED)))
def test_every_change_of_one_character_is_refused(place: int) -> None:
    for letter in LETTERS:
        if letter != SPELLED[place]:
            assert parse_token(SPELLED[:place] + letter + SPELLED[place + 1 :]) is None


@pytest.mark.parametrize(
    "text",
    ["", SPELLED[:-1], SPELLED + "0", f" {SPELLED}", f"{SPELLED}\n", SPELLED.upper(), "mosf1___"],
)
def test_any_other_spelling_is_refused_never_repaired(text: str) -> None:
    assert parse_token(text) is None


def test_a_sum_in_capitals_is_refused() -> None:
    body = SPELLED[:-9]
    assert with_sum(body) == SPELLED
    assert re.search("[a-f]", SPELLED[-8:])
    assert parse_token(f"{body}_{SPELLED[-8:].upper()}") is None


def test_a_secret_with_spare_bits_set_is_refused() -> None:
    last = TOKEN.secret[-1]
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    twin = TOKEN.secret[:-1] + alphabet[alphabet.index(last) + 1]
    assert base64.urlsafe_b64decode(twin + "=") == base64.urlsafe_b64decode(TOKEN.secret + "=")
    assert parse_token(with_sum(f"mosf1_{TOKEN.public_id}_{twin}")) is None


def test_neither_text_nor_repr_shows_the_secret() -> None:
    assert TOKEN.secret not in repr(TOKEN)
    assert str(TOKEN) == f"mosf1_{TOKEN.public_id}_…"


@pytest.mark.parametrize(("id_bytes", "secret_bytes"), [(9, 32), (10, 31), (11, 32), (10, 33)])
def test_random_bytes_of_a_wrong_length_are_refused(id_bytes: int, secret_bytes: int) -> None:
    with pytest.raises(ValueError, match="wrong length"):
        new_token(bytes(id_bytes), bytes(secret_bytes))


def test_the_mac_depends_on_pepper_id_and_secret() -> None:
    macs = {
        token_mac(b"p" * 32, TOKEN),
        token_mac(b"q" * 32, TOKEN),
        token_mac(b"p" * 32, Token("a" * 16, TOKEN.secret)),
        token_mac(b"p" * 32, Token(TOKEN.public_id, "A" * 43)),
    }
    assert len(macs) == 4
    assert {len(each) for each in macs} == {32}
    assert same_mac(token_mac(b"p" * 32, TOKEN), token_mac(b"p" * 32, TOKEN))
    assert not same_mac(*list(macs)[:2])
