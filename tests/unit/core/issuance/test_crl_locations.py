"""A move, as a model: whatever is done when, no live certificate and no valid list disagree."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.issuance.crl_locations import (
    LIST_LIFE,
    CrlLocations,
    CrlReference,
    advance_move,
    crl_url_at,
    end_of_move,
    names_agree,
    read_crl_locations,
    start_move,
    template_data,
)

NOW: Final = datetime(2026, 11, 28, tzinfo=UTC)
ISSUER: Final = "ab" * 20
A, B, C = (f"https://{name}.example" for name in "abc")
LIST_VALID: Final = timedelta(hours=24)  # what a list says of itself


def url(origin: str) -> str:
    return crl_url_at(origin, ISSUER)


def at(origin: str) -> CrlLocations:
    return CrlLocations("1.2.3", url(origin), (url(origin),), (url(origin),))


Step = tuple[str, str | int]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("move"), st.sampled_from([A, B, C])),
        st.tuples(st.just("issue"), st.integers(1, 7 * 24)),
        st.tuples(st.just("wait"), st.integers(0, 200)),
    ),
    max_size=30,
)


def take_step(
    step: Step, now: datetime, locations: CrlLocations, live: list[CrlReference]
) -> tuple[datetime, CrlLocations, list[CrlReference]]:
    """Return the time, the locations and the live certificates after a step."""
    what, value = step
    if what == "move":
        locations = start_move(locations, url(str(value)), now)
    elif what == "issue":
        live = [*live, CrlReference(locations.certificate_urls, now + timedelta(hours=int(value)))]
    else:
        now += timedelta(hours=int(value))
    return now, locations, [each for each in live if each.not_after > now]


@given(STEPS)
def test_every_live_certificate_names_every_list_that_is_valid(
    steps: list[Step],
) -> None:
    now, locations = NOW, at(A)
    live: list[CrlReference] = []
    lists: dict[str, datetime] = {}
    for step in steps:
        now, locations, live = take_step(step, now, locations, live)
        lists[locations.list_url] = now + LIST_VALID  # the last of that place, where it moves now
        locations = advance_move(locations, live, now)
        assert read_crl_locations(template_data(locations)) == locations
        lists[locations.list_url] = now + LIST_VALID
        valid = {each for each, until in lists.items() if until > now}
        for each in live:
            assert valid <= set(each.crl_urls)
            assert set(each.crl_urls) <= set(locations.served_urls)
            assert names_agree(each.crl_urls, locations.served_urls)


@given(STEPS)
def test_a_move_ends_when_nothing_is_done_any_more(steps: list[Step]) -> None:
    now, locations = NOW, at(A)
    live: list[CrlReference] = []
    for step in steps:
        now, locations, live = take_step(step, now, locations, live)
        locations = advance_move(locations, live, now)
    until = end_of_move(locations, live, now)
    while now < until:
        now += timedelta(hours=1)
        live = [each for each in live if each.not_after > now]
        locations = advance_move(locations, live, now)
    assert not locations.moving
    assert locations.list_url == locations.certificate_urls[0]


def test_new_certificates_name_both_places_until_no_old_list_is_valid() -> None:
    old = CrlReference((url(A),), NOW + timedelta(hours=24))
    begun = advance_move(start_move(at(A), url(B), NOW), [old], NOW)
    assert (begun.list_url, begun.certificate_urls) == (url(A), (url(B), url(A)))
    later = NOW + timedelta(hours=24)
    both = CrlReference(begun.certificate_urls, later + timedelta(days=1))
    listed = advance_move(begun, [both], later)
    assert (listed.list_url, listed.certificate_urls) == (url(B), (url(B), url(A)))
    done = advance_move(listed, [], later + LIST_LIFE)
    assert (done.list_url, done.certificate_urls) == (url(B), (url(B),))
    assert done.former_urls == (), "no live certificate names the old place"


def test_a_list_does_not_move_before_certificates_that_no_row_knows_have_ended() -> None:
    begun = start_move(at(A), url(B), NOW + timedelta(hours=26))
    assert advance_move(begun, [], NOW).list_url == url(A)
    assert advance_move(begun, [], NOW + timedelta(hours=26)).list_url == url(B)


def test_moving_back_at_once_needs_nothing_but_what_was_issued_meanwhile() -> None:
    old = CrlReference((url(A),), NOW + timedelta(hours=24))
    begun = advance_move(start_move(at(A), url(B), NOW), [old], NOW)
    back = advance_move(start_move(begun, url(A), NOW), [old], NOW)
    assert back == at(A)


def test_places_of_an_older_version_are_read() -> None:
    assert read_crl_locations({"oidArc": "1.2.3", "crlUrl": url(A)}) == at(A)


def test_a_place_that_an_older_version_spelled_otherwise_is_the_same() -> None:
    older = f"https://A.Example:443/federation/v1/ca/crl/{ISSUER}"
    assert names_agree((older,), (url(A),))
    assert not names_agree((older, url(B)), (url(A),))
    assert not names_agree((), (url(A),))
    assert read_crl_locations({"oidArc": "1.2.3", "crlUrl": older}).public_url == A
