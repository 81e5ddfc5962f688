"""docs/IN_PROCESS.md: its code runs as it stands, from top to bottom."""

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "IN_PROCESS.md"


@pytest.mark.compiled
def test_the_code_of_the_page_runs() -> None:
    text = PAGE.read_text()
    blocks = list(re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    names: dict[str, Any] = {}
    for block in blocks:
        line = text.count("\n", 0, block.start(1))
        exec(compile("\n" * line + block[1], PAGE.name, "exec"), names)  # errors name the line of the page
    assert len(blocks) > 5 and "other" in names
