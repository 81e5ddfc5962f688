"""Methods about the connection itself: log-on and log-out, heartbeat, cancel on disconnect, subscriptions."""

from gateway.auth import LogOn
from gateway.market import describe
from gateway.market.feed import ChannelError
from gateway.rpc import requests
from gateway.rpc.desk import platform_state
from gateway.rpc.reports import Channel
from gateway.rpc.session import Session
from gateway.text.answers import encode, notification
from gateway.text.refusals import Refused, invalid

_NS = 1_000_000_000  # in a second
_PLATFORM = "platform_state"


def auth(session: Session, params: LogOn, now: int) -> str:
    grant = session.hub.auth.log_on(params, now, session.address)
    if not session.admit(grant.credential.client_id):
        raise Refused(10047, "too_many_connections", "the key has all the connections that it may have")
    if session.websocket:
        session.log_on(grant.credential)
    session.grants.append(grant)
    body = {
        "access_token": grant.access_token,
        "refresh_token": grant.refresh_token,
        "expires_in": grant.expires_in,
        "token_type": "bearer",
        "scope": grant.credential.scope,
        "enabled_features": [],
    }
    return encode(body | ({"state": params.state} if params.state else {}))


def logout(session: Session, params: requests.Logout, now: int) -> str:
    if params.invalidate_token:
        for grant in session.grants:
            session.hub.auth.revoke(grant)
    return '"ok"'


def close_logged_out(session: Session, params: requests.Logout, now: int) -> None:
    """After the answer of logout. Orders stay in the book."""
    session.cancel_on_disconnect = None
    session.close(1000, "logged out")


def set_heartbeat(session: Session, params: requests.SetHeartbeat, now: int) -> str:
    shortest = session.hub.limits.heartbeat_seconds
    if params.interval < shortest:
        raise invalid("interval", f"interval: {params.interval} s is too short", value=params.interval, bound=shortest)
    session.set_heartbeat(params.interval * _NS, now)
    return '"ok"'


def disable_heartbeat(session: Session, params: requests.Nothing, now: int) -> str:
    session.set_heartbeat(0, now)
    return '"ok"'


# Cancel on disconnect -----------------------------------------------------------------------------


def enable_cancel_on_disconnect(session: Session, params: requests.Scope, now: int) -> str:
    session.cancel_on_disconnect = params.scope
    return '"ok"'


def disable_cancel_on_disconnect(session: Session, params: requests.Nothing, now: int) -> str:
    session.cancel_on_disconnect = None
    return '"ok"'


def get_cancel_on_disconnect(session: Session, params: requests.Nothing, now: int) -> str:
    scope = session.cancel_on_disconnect
    return encode({"scope": scope or "connection", "enabled": scope is not None})


# Channels -----------------------------------------------------------------------------------------


def subscribe(session: Session, params: requests.Subscribe, now: int) -> str:
    """All channels are checked first: one that does not exist refuses the request."""
    private = {name: channel for name in params.channels if (channel := _private(session, name)) is not None}
    if private:
        if session.credential is None:
            raise Refused(
                13009,
                "unauthorized",
                "user channels need public/auth first",
                field="channels",
                value=next(iter(private)),
            )
        if not session.credential.may("trade:read"):
            raise Refused(13021, "forbidden", "the key lacks the scope trade:read", field="scope", bound="trade:read")
    for name in params.channels:
        if name not in private and name != _PLATFORM:
            _check_public(session, name)
    most = session.hub.limits.channels
    if len(session.channels.keys() | session.public_channels | set(params.channels)) > most:
        raise Refused(
            11052,
            "subscribe_error_unsubscribed",
            "too many channels on one connection",
            field="channels",
            bound=most,
        )
    if private:
        session.channels |= private
        session.desk.reports.watch(session)
    return encode(params.channels)


def send_first_messages(session: Session, params: requests.Subscribe, now: int) -> None:
    """After the answer of subscribe: what each channel shows now. From then on it sends changes."""
    for name in params.channels:
        if name == _PLATFORM:
            session.desk.platform[session.peer] = None
            session.peer.send(platform_state(session.hub, sorted(session.desk.all_instruments)))
        elif name in session.channels:
            if session.channels[name].kind == "portfolio":
                session.notify(notification(name, session.portfolio()))
        elif name not in session.public_channels:
            session.public_channels.add(name)
            session.hub.feed.subscribe(session.peer, name, now)


def unsubscribe(session: Session, params: requests.Subscribe, now: int) -> str:
    """The result lists the channels that were subscribed."""
    return encode([name for name in params.channels if _leave(session, name)])


def unsubscribe_all(session: Session, params: requests.Nothing, now: int) -> str:
    for name in [*session.channels, *session.public_channels, _PLATFORM]:
        _leave(session, name)
    return '"ok"'


def _leave(session: Session, name: str) -> bool:
    """Whether the channel was subscribed."""
    if name in session.public_channels:
        session.public_channels.discard(name)
        session.hub.feed.unsubscribe(session.peer, name)
        return True
    if name in session.channels:
        del session.channels[name]
        session.desk.reports.watch(session)
        return True
    if name != _PLATFORM or session.peer not in session.desk.platform:
        return False
    del session.desk.platform[session.peer]
    return True


def _private(session: Session, name: str) -> Channel | None:
    """user.{orders|trades}.{instrument}.raw or .{kind}.{currency}.raw, user.portfolio.{currency}.

    None: not a private channel. Errors: Refused 11045
    """
    parts, exchange = name.split("."), session.hub.exchange
    if parts[0] != "user":
        return None
    try:
        if len(parts) == 3 and parts[1] == "portfolio":
            return Channel("portfolio", describe.selected(exchange, parts[2]))
        if len(parts) < 4 or parts[1] not in ("orders", "trades") or parts[-1] not in ("raw", "100ms"):
            raise KeyError(name)
        if len(parts) == 5 and parts[2] in requests.KINDS:
            return Channel(parts[1], describe.selected(exchange, parts[3], parts[2]))
        return Channel(parts[1], frozenset({exchange.index(".".join(parts[2:-1]))}))  # a symbol may hold dots
    except (KeyError, Refused):
        raise Refused(
            11045, "invalid_event", f"channels: {name[:128]} does not exist", field="channels", value=name[:128]
        ) from None


def _check_public(session: Session, name: str) -> None:
    try:
        session.hub.feed.check(name)
    except ChannelError as error:
        raise Refused(11045, "invalid_event", str(error)[:200], field="channels", value=name) from None
