"""Seals of saved plans, by octet."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.crypto.plan_seal import SealedPlan, covered, mac, with_seal
from reconciler.errors import Refused

KEY = bytes(32)
CONTENT = covered({"formatVersion": 1, "text": 'a "seal": \u202e\x1b', "list": [1, 2]})
FILE = with_seal(CONTENT, mac(CONTENT, KEY))


def accepted(file: bytes, key: bytes = KEY) -> bool:
    try:
        SealedPlan.parse(file).verify_mac(key)
    except (ValueError, Refused):
        return False
    return True


def test_a_sealed_file_is_ascii_without_controls() -> None:
    assert accepted(FILE)
    assert FILE.isascii()
    assert FILE.replace(b"\n", b"").decode().isprintable()


def test_every_octet_and_every_cut_is_noticed() -> None:
    for place in range(len(FILE)):
        for bit in range(8):
            changed = bytes([FILE[place] ^ 1 << bit])
            assert not accepted(FILE[:place] + changed + FILE[place + 1 :]), (place, bit)
        assert not accepted(FILE[:place])
        assert not accepted(FILE[:place] + FILE[place + 1 :])


@given(st.binary(min_size=1, max_size=20), st.integers(0, len(FILE)))
def test_nothing_can_be_inserted(more: bytes, place: int) -> None:
    assert not accepted(FILE[:place] + more + FILE[place:])


@given(st.binary(min_size=32, max_size=32))
def test_another_key_does_not_verify(key: bytes) -> None:
    assert accepted(FILE, key) is (key == KEY)
