"""How much a test that draws its cases does: everything with compiled kernels, a share with the JIT off.

@settings(max_examples=examples(400))
@given(...)
def test_...
"""

from matching.jit import INTERPRETED

SHARE = 25  # interpreted kernels take about a hundred times as long


def examples(compiled: int) -> int:
    """How many cases to draw, given how many are drawn where kernels are compiled."""
    return max(5, compiled // SHARE) if INTERPRETED else compiled
