"""Ids, codes and resume tokens."""

import re

import pytest

from roomd.auth.resume_tokens import ResumeToken, hash_secret
from roomd.system.ids import Ids


def test_ids_sort_by_time_and_never_meet() -> None:
    """Section 1: opaque, at most 32 URL-safe characters; sorted by time, since pages are read in that order."""
    ids = Ids()
    made = [ids.new_id(1_772_534_100 + n // 500 / 1000 - (n > 4000)) for n in range(5000)]
    assert made == sorted(made)
    assert len(set(made)) == 5000
    assert all(re.fullmatch(r"[0-9a-f]{24}", one) for one in made)


def test_an_id_sorts_after_the_given_one() -> None:
    """A clock that was set back between two runs of the daemon puts no id before those that storage has."""
    before = Ids().new_id(1_772_534_100)
    ids = Ids()
    low = ids.new_id(1_772_530_500)
    assert low < before, "without being told, it would sort before"
    made = [ids.new_id(1_772_530_500, before) for _ in range(1000)]
    assert [before, *made] == sorted({before, *made})
    assert all(re.fullmatch(r"[0-9a-f]{24}", one) for one in made)


def test_an_id_goes_by_the_clock_where_it_is_ahead() -> None:
    """An older id, or none, changes nothing: the first half is the time in milliseconds."""
    old = Ids().new_id(1_772_530_500)
    for above in ("", old):
        assert Ids().new_id(1_772_534_100.25, above).startswith(f"{1_772_534_100_250:012x}")


def test_every_id_after_a_given_one_sorts_after_it() -> None:
    """What was drawn above an id holds for the draws that are given none."""
    ids, above = Ids(), Ids().new_id(1_772_534_100)
    first = ids.new_id(1_772_530_500, above)
    assert above < first < ids.new_id(1_772_530_500)


@pytest.mark.parametrize("above", ["p1", "f" * 30, "x" * 24, "f" * 24])
def test_an_id_of_another_kind_is_ignored(above: str) -> None:
    """A row that something else put into the database costs nobody their join, and disturbs no other room's order."""
    ids = Ids()
    for made in (ids.new_id(1_772_534_100.25, above), ids.new_id(1_772_534_100.25)):
        assert re.fullmatch(f"{1_772_534_100_250:012x}[0-9a-f]{{12}}", made)


def test_claims_never_meet() -> None:
    """64 random bits: no two sittings have the same, whichever run of the daemon drew them."""
    claims = [ids.new_claim() for ids in (Ids(), Ids()) for _ in range(5000)]
    assert len(set(claims)) == 10_000
    assert all(0 <= claim < 2**64 for claim in claims)
    ones = sum(claim.bit_count() for claim in claims) / len(claims)
    assert 31.5 < ones < 32.5, "half of the bits"  # the bounds are 12 standard deviations away


def test_codes_are_drawn_evenly() -> None:
    """Section 1: `xxx-xxx-xxx`, a to z; every letter comes up about as often as any other."""
    ids = Ids()
    codes = [ids.new_code() for _ in range(3000)]
    assert all(re.fullmatch(r"[a-z]{3}-[a-z]{3}-[a-z]{3}", code) for code in codes)
    assert len(set(codes)) == 3000
    letters = "".join(codes).replace("-", "")
    counts = [letters.count(chr(ord("a") + n)) for n in range(26)]
    assert min(counts) > 800
    assert max(counts) < 1300  # 1038 expected of each, the bounds are 7 standard deviations away


def test_a_resume_token_is_read_back() -> None:
    """The token names its seat and carries a secret of its own; the hash is of the secret alone."""
    ids = Ids()
    secrets = {ids.new_secret() for _ in range(2000)}
    assert len(secrets) == 2000
    secret = secrets.pop()
    assert re.fullmatch(r"[0-9a-f]{32}", secret)
    token = ResumeToken("abc-def-ghi", "p1", secret)
    assert ResumeToken.parse(str(token)) == token
    assert hash_secret("x") == "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"


@pytest.mark.parametrize("text", ["", "a", "a.b", "a.b.c.d"])
def test_what_is_no_resume_token(text: str) -> None:
    """Garbage is no token."""
    assert ResumeToken.parse(text) is None
