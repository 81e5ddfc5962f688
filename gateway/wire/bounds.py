"""How much one peer may have, and how it is refused more.

Before the upgrade to a websocket a refusal is an HTTP answer: 429 (this peer has too much) or 503 (the hub is full).
After it, a close code: 1008 policy, 1009 size. Peers that do not read are cut. The guard counts every refusal under its
name in REFUSALS.
"""

from dataclasses import dataclass, fields
from typing import NamedTuple


@dataclass(frozen=True)
class Bounds:
    """How much one peer may have. Every bound is a positive number. Errors: ValueError naming the bound."""

    connections: int = 2_000  # open at once, HTTP and websocket together
    connections_per_address: int = 32  # IPv6: per /64 network
    connections_per_key: int = 16  # authenticated with one API key
    connects_per_second: int = 10  # new ones per address, after a first burst of connections_per_address
    handshake_seconds: float = 5.0  # from connecting (or its first byte) to a whole request
    authentication_seconds: float = 5.0  # on endpoints where every message is private
    keep_alive_seconds: float = 15.0  # HTTP: idle between two requests
    request_head_bytes: int = 16_384  # HTTP: request line and headers
    request_body_bytes: int = 65_536  # HTTP: body
    pipelined_requests: int = 16  # HTTP: sent ahead of their answers
    message_bytes_before_authentication: int = 4_096
    message_bytes: int = 65_536  # one JSON message
    binary_message_bytes: int = 4_096 * 112  # one binary message: 4,096 COMMAND rows
    fragments_per_message: int = 64
    queued_messages: int = 4_096  # messages in one read
    control_frames_per_second: int = 20  # pings, pongs and closes
    write_buffer_bytes: int = 1_048_576  # queued for a peer, besides what the operating system has taken
    write_stall_seconds: float = 5.0  # bytes queued and none acknowledged by the peer
    ping_seconds: float = 5.0  # a websocket is pinged this often
    pong_seconds: float = 5.0  # and must answer within
    linger_seconds: float = 1.0  # after a refusal, in which the peer may read the reason
    linger_bytes: int = 1_048_576  # that the peer may still send in this time; they are thrown away

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int | float) or not 0 < value < 2**31:
                raise ValueError(f"bound {field.name} is {value!r}, must be a number above 0 and below 2^31")


class Refusal(NamedTuple):
    """HTTP status or websocket close code, and the reason. Code 0: the connection is cut."""

    code: int
    reason: str


REFUSALS = {
    "connections": Refusal(503, "the hub has all the connections it takes"),
    "connections_per_address": Refusal(429, "too many connections from this address"),
    "connects_per_second": Refusal(429, "too many new connections a second from this address"),
    "connections_per_key": Refusal(429, "too many connections with this key"),
    "handshake_timeout": Refusal(0, "no whole request in time"),
    "authentication_timeout": Refusal(1008, "not authenticated in time"),
    "request_head": Refusal(431, "request head too large"),
    "request_body": Refusal(413, "request body too large"),
    "pipelined_requests": Refusal(429, "too many requests ahead of their answers"),
    "message_bytes": Refusal(1009, "message too big"),
    "fragments": Refusal(1009, "too many fragments in one message"),
    "queued_messages": Refusal(1008, "too many messages at once"),
    "control_frames": Refusal(1008, "too many control frames"),
    "protocol": Refusal(1002, "not the websocket protocol"),
    "write_buffer": Refusal(0, "too much queued for a peer that does not read"),
    "write_stalled": Refusal(0, "the peer reads nothing"),
}
