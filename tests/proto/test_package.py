"""The package itself: its names come when they are asked for."""

import subprocess
import sys

import pytest

import asap_proto
from asap_proto import errors, limits, model, sources


def test_every_public_name_is_found_where_it_lives():
    """The package hands out the very objects of its modules."""
    for name in asap_proto.__all__:
        homes = [home for home in (errors, limits, model, sources) if hasattr(home, name)]
        assert any(getattr(asap_proto, name) is getattr(home, name) for home in homes), name


def test_a_name_is_looked_up_once():
    """After that it stands in the package like any other."""
    vars(asap_proto).pop("Limits", None)
    assert asap_proto.Limits is limits.Limits
    assert vars(asap_proto)["Limits"] is limits.Limits


def test_an_unknown_name_is_no_attribute():
    """As of any module."""
    with pytest.raises(AttributeError, match="module 'asap_proto' has no attribute 'Nothing'"):
        _ = asap_proto.Nothing


def test_dir_shows_what_has_not_been_asked_for_yet():
    """So that a shell can complete it."""
    assert set(asap_proto.__all__) <= set(dir(asap_proto))


def test_importing_the_package_loads_no_dependency():
    """Whoever needs one module does not wait for attrs, orjson and all the nouns."""
    code = "import sys, asap_proto; assert not {'attrs', 'orjson', 'cattrs', 'asap_proto.model'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
