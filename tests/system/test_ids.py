"""Ids, codes and resume tokens."""

import re

import pytest

from roomd.system.ids import Ids, ResumeToken, hash_secret


def test_ids_sort_by_time_and_never_meet() -> None:
    """Section 1: opaque, at most 32 URL-safe characters; sorted by time, since pages are read in that order."""
    ids = Ids()
    made = [ids.new_id(1_772_534_100 + n // 500 / 1000 - (n > 4000)) for n in range(5000)]
    assert made == sorted(made)
    assert len(set(made)) == 5000
    assert all(re.fullmatch(r"[0-9a-f]{24}", one) for one in made)


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
