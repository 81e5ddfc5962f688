"""Authentication: API keys, signatures, bearer tokens, and the lock-out of guessers. No sockets; the clock is an argument.

    auth = Auth([Credential("demo", "secret", account=0)])
    grant = auth.log_on(request, now, address)           # public/auth
    credential = auth.of_header(header, "GET", b"/api/v2/private/buy?...", b"", now, address)

Secrets are compared in constant time. An unknown key costs the same work and gets the same text as a wrong signature. A
signature is accepted once within the clock window. Tokens are kept as SHA-256 only. Ten failures lock a key for the
address that they came from, so that a guesser cannot lock out the owner.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from gateway.text.reader import Milliseconds, Name, Text
from gateway.text.refusals import Refused, invalid
from matching.codes import ALL

_ALIASES = {"account:read_write": "account:read"}  # Deribit's scope for settings of an account, which we have not
_SCOPE_OF_DERIBIT = re.compile(r"(session|wallet|custody|block_trade|block_rfq):|(connection|mainaccount)$")
SCOPES = ("account:read", "trade:read", "trade:read_write", "operator")
_NS = 1_000_000_000  # in a second


class LogOn(Struct, forbid_unknown_fields=True):
    """The parameters of public/auth."""

    grant_type: Literal["client_credentials", "client_signature", "refresh_token"]
    client_id: Name = ""
    client_secret: Text = ""
    refresh_token: Text = ""
    timestamp: Milliseconds = 0
    signature: Text = ""
    nonce: Name = ""
    data: Text = ""
    state: Text = ""
    scope: Text = ""


@dataclass(frozen=True)
class Credential:
    """An API key: its account and what it may do. Errors: ValueError naming the scope that does not exist."""

    client_id: str
    client_secret: str = field(repr=False)
    account: int  # ALL: none, the key is an operator's
    scope: str = "account:read trade:read_write"

    def __post_init__(self) -> None:
        for scope in self.scope.split():
            if scope not in SCOPES:
                raise ValueError(f"key {self.client_id}: scope is {scope}, must be one of {', '.join(SCOPES)}")
        if self.account == ALL and self.scope not in ("", "operator"):
            raise ValueError(f"key {self.client_id}: scope is {self.scope}, must be operator: the key has no account")
        if self.account != ALL and "operator" in self.scope.split():
            raise ValueError(
                f"key {self.client_id}: scope is {self.scope}, but an operator's key belongs to no account; "
                "name the account operator"
            )

    def may(self, scope: str) -> bool:
        """Whether the key may call methods of this scope. The right to write includes the right to read."""
        scopes = self.scope.split()
        return scope in scopes or (scope == "trade:read" and "trade:read_write" in scopes)


class Grant(NamedTuple):
    """What a log-on is answered with."""

    credential: Credential
    access_token: str
    refresh_token: str
    expires_in: int  # s


class _Token(NamedTuple):
    credential: Credential
    expires: int  # ns
    refresh: bool


class _Failures(NamedTuple):
    failures: int  # since the last success or lock
    locked_until: int  # ns


class Auth:
    """The keys of a hub, and the tokens given out for them."""

    def __init__(
        self,
        credentials: list[Credential],
        *,
        window_seconds: float = 5,
        token_seconds: int = 900,
        failures: int = 10,
        lock_seconds: int = 60,
        memory: int = 65_536,
    ) -> None:
        self._credentials = {credential.client_id: credential for credential in credentials}
        if len(self._credentials) != len(credentials):
            raise ValueError("two keys have the same client_id")
        self._window = int(window_seconds * _NS)
        self._token_seconds = token_seconds
        self._allowed_failures = failures
        self._lock_seconds = lock_seconds
        self._memory = memory  # entries of each table below
        self._used_signatures: OrderedDict[bytes, int] = OrderedDict()  # until (ns)
        self._tokens: OrderedDict[bytes, _Token] = OrderedDict()  # SHA-256 of the token
        self._failures: OrderedDict[tuple[str, str], _Failures] = OrderedDict()
        self._nobody = Credential("", secrets.token_hex(32), ALL, "")

    # Logging on -----------------------------------------------------------------------------------

    def log_on(self, request: LogOn, now: int, address: str) -> Grant:
        """Check a key, signature or refresh token, and give new tokens.

        Errors    Refused 13004 (wrong key, secret, signature or token), 12003 (locked), -32602 (parameter missing)
        """
        if request.grant_type == "client_credentials":
            _require(client_id=request.client_id, client_secret=request.client_secret)
            credential = self._by_secret(request.client_id, request.client_secret, now, address)
        elif request.grant_type == "client_signature":
            _require(client_id=request.client_id, timestamp=request.timestamp, signature=request.signature)
            signed = f"{request.timestamp}\n{request.nonce}\n{request.data}".encode()
            credential = self._by_signature(
                request.client_id, signed, request.signature, request.timestamp, now, address
            )
        else:
            _require(refresh_token=request.refresh_token)
            credential = self._by_token(request.refresh_token, now, refresh=True)
        return self._grant(_narrowed(credential, request.scope), now)

    def revoke(self, grant: Grant) -> None:
        """Forget the tokens of a grant."""
        for token in (grant.access_token, grant.refresh_token):
            self._tokens.pop(_digest(token), None)

    def _grant(self, credential: Credential, now: int) -> Grant:
        """Two new tokens; the refresh token lives twice as long."""
        access, refresh = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        for token, lives, refreshes in ((access, 1, False), (refresh, 2, True)):
            expires = now + lives * self._token_seconds * _NS
            _put(self._tokens, _digest(token), _Token(credential, expires, refreshes), self._memory)
        return Grant(credential, access, refresh, self._token_seconds)

    # HTTP -----------------------------------------------------------------------------------------

    def of_header(self, header: str, method: str, target: bytes, body: bytes, now: int, address: str) -> Credential:
        """The key of an Authorization header. `target`: path and query as sent.

        Errors    Refused 13009 (unknown scheme, or the token has expired), 13004, 12003
        """
        scheme, _, rest = header.partition(" ")
        if scheme == "deri-hmac-sha256":
            parts = dict(part.strip().partition("=")[::2] for part in rest.split(","))
            _require(**{name: parts.get(name, "") for name in ("id", "ts", "sig")})
            timestamp = (
                int(parts["ts"]) if parts["ts"].isascii() and parts["ts"].isdigit() and len(parts["ts"]) < 17 else 0
            )
            signed = b"\n".join(
                (parts["ts"].encode(), parts.get("nonce", "").encode(), method.encode(), target, body, b"")
            )
            return self._by_signature(parts["id"], signed, parts["sig"], timestamp, now, address)
        if scheme.lower() == "bearer":
            return self._by_token(rest.strip(), now, refresh=False)
        if scheme.lower() == "basic":
            try:
                client_id, _, secret = base64.b64decode(rest, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                client_id, secret = "", ""
            return self._by_secret(client_id, secret, now, address)
        raise Refused(
            13009,
            "unauthorized",
            "a private method needs an Authorization header: deri-hmac-sha256, Bearer or Basic",
            field="authorization",
        )

    # Proofs ---------------------------------------------------------------------------------------

    def _by_secret(self, client_id: str, secret: str, now: int, address: str) -> Credential:
        self._refuse_locked(client_id, now, address)
        credential = self._credentials.get(client_id, self._nobody)
        right = hmac.compare_digest(_digest(secret), _digest(credential.client_secret))
        return self._checked(credential, right, client_id, now, address)

    def _by_signature(
        self, client_id: str, signed: bytes, signature: str, timestamp: int, now: int, address: str
    ) -> Credential:
        """`timestamp` in ms. The skew is named even to strangers: a wrong clock is the most common honest mistake."""
        self._refuse_locked(client_id, now, address)
        skew = timestamp * 1_000_000 - now
        if abs(skew) > self._window:
            raise _wrong(
                f"timestamp is {skew / _NS:+.3f} s off the hub's clock, must be within {self._window / _NS:g} s",
                field="timestamp",
                value=timestamp,
                bound=now // 1_000_000,
            )
        credential = self._credentials.get(client_id, self._nobody)
        expected = hmac.new(credential.client_secret.encode(), signed, hashlib.sha256).hexdigest()
        right = hmac.compare_digest(expected.encode(), signature.lower().encode())
        self._checked(credential, right, client_id, now, address)
        self._refuse_replay(bytes.fromhex(expected), now)
        return credential

    def _by_token(self, token: str, now: int, refresh: bool) -> Credential:
        """Tokens are 256 random bits: the time that a look-up by digest takes tells a guesser nothing."""
        digest = _digest(token)
        found = self._tokens.get(digest)
        if found is None or found.refresh is not refresh or found.expires <= now:
            raise Refused(
                13009,
                "unauthorized",
                "the token is unknown or has expired; log on again",
                field="refresh_token" if refresh else "authorization",
            )
        if refresh:
            del self._tokens[digest]
        return found.credential

    def _refuse_replay(self, signature: bytes, now: int) -> None:
        while self._used_signatures and next(iter(self._used_signatures.values())) < now:
            self._used_signatures.popitem(last=False)
        if signature in self._used_signatures:
            raise _wrong("this signature was used before; sign again with a new nonce", field="nonce")
        _put(self._used_signatures, signature, now + 2 * self._window, self._memory)

    # Guessers -------------------------------------------------------------------------------------

    def _refuse_locked(self, client_id: str, now: int, address: str) -> None:
        found = self._failures.get((client_id, address))
        if found is not None and found.locked_until > now:
            wait = (found.locked_until - now) // 1_000_000
            raise Refused(
                12003, "login_over_limit", f"too many failures; try again in {wait / 1000:.0f} s", retry_after_ms=wait
            )

    def _checked(self, credential: Credential, right: bool, client_id: str, now: int, address: str) -> Credential:
        """Count a failure; forget earlier ones after a success."""
        who = (client_id[:64], address)
        if right and credential is not self._nobody:
            self._failures.pop(who, None)
            return credential
        count = self._failures.get(who, _Failures(0, 0)).failures + 1
        locked_until = now + self._lock_seconds * _NS if count >= self._allowed_failures else 0
        _put(self._failures, who, _Failures(0 if locked_until else count, locked_until), self._memory)
        raise _wrong("the key does not exist or the secret, signature or header is wrong")


def _wrong(text: str, **data: Any) -> Refused:
    return Refused(13004, "invalid_credentials", text, **data)


def _require(**values: object) -> None:
    for name, value in values.items():
        if not value:
            raise invalid(name, f"{name} is missing", reason="value_required")


def _narrowed(credential: Credential, asked: str) -> Credential:
    """The credential with only the scopes asked for. Scopes that only Deribit has (session:...) are ignored.

    Errors    Refused: a scope does not exist, or the key has none of them
    """
    wanted = [_ALIASES.get(word, word) for word in asked.replace(",", " ").split() if not _SCOPE_OF_DERIBIT.match(word)]
    for scope in wanted:
        if scope not in SCOPES:
            raise invalid("scope", f"scope: {scope} does not exist", value=scope, bound=" ".join(SCOPES))
    if not wanted:
        return credential
    granted = " ".join(scope for scope in dict.fromkeys(wanted) if credential.may(scope))
    if not granted:
        raise Refused(
            13021,
            "forbidden",
            f"the key has none of the scopes {asked}",
            field="scope",
            value=asked,
            bound=credential.scope,
        )
    return Credential(credential.client_id, credential.client_secret, credential.account, granted)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _put(table: OrderedDict[Any, Any], key: object, value: object, memory: int) -> None:
    """Put an entry into a table of bounded size, whose oldest entries go first."""
    table.pop(key, None)
    table[key] = value
    while len(table) > memory:
        table.popitem(last=False)
