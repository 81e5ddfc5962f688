"""Runs a test over both implementations of the rulebook."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.venue import Venue


@pytest.fixture(params=["reference", "engine"])
def venue(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Makes a Venue of one implementation, with risk off."""
    return lambda *arguments, **keywords: Venue(request.param, *arguments, **keywords)
