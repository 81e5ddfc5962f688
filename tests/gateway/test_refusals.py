"""Every reason of the engine has a wording for clients, which docs/PROTOCOL.md lists."""

import pathlib
from collections.abc import Iterator

import pytest

from gateway.text.refusals import REASONS
from matching.codes import Reason

PROTOCOL = pathlib.Path(__file__).parents[2] / "docs" / "PROTOCOL.md"


def test_every_reason_has_a_refusal() -> None:
    assert set(REASONS) == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_has_a_message_in_snake_case_a_fix_code_and_a_text(reason: Reason) -> None:
    told = REASONS[reason]
    assert told.message.replace("_", "").isalnum() and told.message == told.message.lower()
    assert told.fix.tag in (103, 378, 380)
    assert told.text.format(value=1, bound=2)


def test_two_rules_with_the_same_code_have_the_same_message() -> None:
    messages = {told.code: told.message for told in REASONS.values()}
    assert all(messages[told.code] == told.message for told in REASONS.values())


def reason_lines() -> Iterator[str]:
    """The table of PROTOCOL.md 9."""
    for reason, told in REASONS.items():
        if reason is not Reason.NONE:
            yield (
                f"| {int(reason)} | {reason.name.lower()} | {told.code} | {told.message} | {told.field or '-'} "
                f"| {told.fix.tag}={told.fix.value} |"
            )


def test_the_protocol_lists_every_reason_as_the_code_has_it() -> None:
    text = PROTOCOL.read_text()
    table = text.split("<!-- reasons: begin -->")[1].split("<!-- reasons: end -->")[0]
    assert table.strip().splitlines()[2:] == list(reason_lines())
