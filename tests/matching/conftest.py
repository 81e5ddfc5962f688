"""Both implementations of the rulebook, for tests that must hold for either."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.venue import Venue


@pytest.fixture(params=["reference", "engine"])
def venue(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Makes a Venue of the one or the other implementation, risk off."""
    return lambda *arguments, **keywords: Venue(request.param, *arguments, **keywords)
