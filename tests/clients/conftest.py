"""Third-party clients run against the same served hub as our own."""

from tests.gateway.conftest import served

__all__ = ["served"]
