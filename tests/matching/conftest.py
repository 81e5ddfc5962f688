"""Both implementations of the rulebook, for tests that must hold for either."""

import pytest

from tests.venue import Venue


@pytest.fixture(params=["reference", "engine"])
def venue(request):
    """Makes a Venue of the one or the other implementation, risk off."""
    return lambda *arguments, **keywords: Venue(request.param, *arguments, **keywords)
