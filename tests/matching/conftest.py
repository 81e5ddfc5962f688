"""Runs a test over both implementations of the rulebook."""

import pytest

from tests.venue import Venue


@pytest.fixture(params=["reference", "engine"])
def venue(request):
    """Makes a Venue of one implementation, with risk off."""
    return lambda *arguments, **keywords: Venue(request.param, *arguments, **keywords)
