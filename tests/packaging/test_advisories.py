"""The audit of what we install: it ends well only where somebody was asked about all of it, and knows no flaw."""

import pytest

from .advisories import Newest, Verdict, is_answer, judge, newest_of, releases_of

RELEASES = {"one": "1.0", "two": "2.0"}

#: What pip-audit tells of releases that it found, and of one that it did not.
CLEAN = [{"name": "one", "version": "1.0", "vulns": []}, {"name": "Two", "version": "2.0", "vulns": []}]
FLAWED = [CLEAN[0], {"name": "two", "version": "2.0", "vulns": [{"id": "PYSEC-1"}, {"id": "PYSEC-2"}]}]
NOT_FOUND = [{"name": "one", "skip_reason": "not found"}, {"name": "two", "skip_reason": "not found"}]


def nobody(name):
    return None


def test_releases_without_flaws_are_clean():
    """However their names are spelt."""
    assert judge(RELEASES, CLEAN, nobody) == Verdict((), ())


def test_a_known_flaw_is_told():
    """With its ids, to look them up."""
    assert judge(RELEASES, FLAWED, nobody) == Verdict(("two 2.0: PYSEC-1, PYSEC-2",), ())


def test_a_release_that_is_not_there_among_others_that_are_is_wrong():
    """Who answers for others and not for this one does not have it: it comes from somewhere else, or is gone."""
    told = [CLEAN[0], NOT_FOUND[1]]
    assert judge(RELEASES, told, nobody) == Verdict(("two 2.0: the index knows no such release",), ())


@pytest.mark.parametrize("told", [NOT_FOUND, []])
def test_what_nobody_was_asked_about_is_not_clean(told):
    """Where nothing was found at all, or nobody reached, pip-audit was asking in the wrong place."""
    assert not is_answer(told)
    lines = ("one 1.0: nobody could be asked", "two 2.0: nobody could be asked")
    assert judge(RELEASES, told, nobody) == Verdict((), lines)


def test_a_projects_page_answers_for_its_newest_release_alone():
    """An older one may have flaws that the page does not tell."""
    pages = {"one": Newest("1.0", ()), "two": Newest("2.1", ())}
    left = ("two 2.0: only its newest, 2.1, could be asked about",)
    assert judge(RELEASES, NOT_FOUND, pages.get) == Verdict((), left)
    pages = {"one": Newest("1.0", ("PYSEC-1",)), "two": Newest("2.0", ())}
    assert judge(RELEASES, NOT_FOUND, pages.get) == Verdict(("one 1.0: PYSEC-1",), ())


def test_a_flaw_that_was_withdrawn_is_none():
    """A page goes on to tell it, with the time."""
    flaws = [{"id": "PYSEC-1", "withdrawn": "2026-01-01T00:00:00Z"}, {"id": "PYSEC-2", "withdrawn": None}]
    page = {"info": {"version": "1.0"}, "vulnerabilities": flaws}
    assert newest_of(page) == Newest("1.0", ("PYSEC-2",))


def test_what_comes_from_a_folder_is_ourselves():
    """The rest is audited, by the name that all spell alike."""
    report = {
        "install": [
            {"metadata": {"name": "asap-proto", "version": "0.1.0"}, "download_info": {"dir_info": {}}},
            {"metadata": {"name": "backports.zstd", "version": "1.8.0"}, "download_info": {"archive_info": {}}},
        ]
    }
    assert releases_of(report) == {"backports-zstd": "1.8.0"}
