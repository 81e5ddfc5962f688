"""The matching engine on pure integers: what trades with what, in which order, at which price."""

from matching.codes import (
    ALL,
    AuctionStep,
    CommandKind,
    EventKind,
    Flag,
    Limit,
    Mechanism,
    OrderType,
    Phase,
    Reason,
    Scope,
    SelfMatch,
    SettlementRule,
    Side,
    TimeInForce,
)
from matching.records import COMMAND, EVENT

__all__ = [
    "ALL",
    "COMMAND",
    "EVENT",
    "AuctionStep",
    "CommandKind",
    "EventKind",
    "Flag",
    "Limit",
    "Mechanism",
    "OrderType",
    "Phase",
    "Reason",
    "Scope",
    "SelfMatch",
    "SettlementRule",
    "Side",
    "TimeInForce",
]
