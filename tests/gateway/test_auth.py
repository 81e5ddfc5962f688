"""Keys, signatures, tokens and password guessing. The clock is an argument, so every window is tested at its edges."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Any

import pytest

from gateway.auth import Auth, Credential
from gateway.auth import LogOn as Request
from gateway.text.refusals import Refused

MS, SECOND = 1_000_000, 1_000_000_000
NOW = 1_795_399_483_000 * MS
KEY, SECRET, HERE = "demo", "a secret of the key", "10.0.0.1"


@pytest.fixture
def auth() -> Auth:
    return Auth([Credential(KEY, SECRET, 3), Credential("reader", "other", 4, "trade:read account:read")])


def sign(text: str, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def signed(
    timestamp: int = NOW // MS,
    nonce: str = "n",
    data: str = "",
    key: str = KEY,
    secret: str = SECRET,
    signature: str | None = None,
) -> Request:
    return Request(
        grant_type="client_signature",
        client_id=key,
        timestamp=timestamp,
        nonce=nonce,
        data=data,
        signature=signature or sign(f"{timestamp}\n{nonce}\n{data}", secret),
    )


def secret(value: str = SECRET, key: str = KEY, **more: Any) -> Request:
    return Request(grant_type="client_credentials", client_id=key, client_secret=value, **more)


def refusal(call: Callable[..., Any], *arguments: Any) -> Refused:
    with pytest.raises(Refused) as refused:
        call(*arguments)
    return refused.value


def header(
    method: str = "GET",
    target: bytes = b"/api/v2/private/buy?amount=1",
    body: bytes = b"",
    timestamp: int = NOW // MS,
    nonce: str = "7",
    key: str = KEY,
    secret: str = SECRET,
) -> str:
    text = f"{timestamp}\n{nonce}\n{method}\n{target.decode()}\n{body.decode()}\n"
    return f"deri-hmac-sha256 id={key},ts={timestamp},sig={sign(text, secret)},nonce={nonce}"


# Logging on ---------------------------------------------------------------------------------------


def test_a_secret_logs_on(auth: Auth) -> None:
    grant = auth.log_on(secret(), NOW, HERE)
    assert (grant.credential.account, grant.expires_in) == (3, 900)
    assert grant.access_token != grant.refresh_token


def test_a_signature_logs_on(auth: Auth) -> None:
    assert auth.log_on(signed(data="anything"), NOW, HERE).credential.client_id == KEY


@pytest.mark.parametrize(
    "request_",
    [
        secret("wrong"),
        secret(SECRET, "nobody"),
        secret(SECRET, "Demo"),
        signed(secret="wrong"),
        signed(key="nobody"),
        signed(signature="00" * 32),
        signed(signature="x"),
        signed(signature="\u00fc" * 64),
    ],
)
def test_unknown_key_wrong_secret_and_wrong_signature_get_the_same_answer(auth: Auth, request_: Auth) -> None:
    refused = refusal(auth.log_on, request_, NOW, HERE)
    assert (refused.code, refused.message) == (13004, "invalid_credentials")
    assert str(refused) == str(refusal(auth.log_on, secret("another"), NOW, HERE))


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (Request(grant_type="client_credentials", client_id=KEY), "client_secret"),
        (Request(grant_type="client_credentials", client_secret=SECRET), "client_id"),
        (Request(grant_type="client_signature", client_id=KEY, timestamp=1), "signature"),
        (Request(grant_type="client_signature", client_id=KEY, signature="x"), "timestamp"),
        (Request(grant_type="refresh_token"), "refresh_token"),
    ],
)
def test_a_missing_parameter_is_named(auth: Auth, request_: Auth, field: str) -> None:
    assert refusal(auth.log_on, request_, NOW, HERE).data["field"] == field


@pytest.mark.parametrize("skew_ms", [-5000, -1, 0, 1, 5000])
def test_clocks_may_differ_by_the_window(auth: Auth, skew_ms: int) -> None:
    assert auth.log_on(signed(NOW // MS + skew_ms), NOW, HERE)


@pytest.mark.parametrize(("skew_ms", "told"), [(-5001, "-5.001 s"), (6000, "+6.000 s"), (-(10**9), "-1000000.000 s")])
def test_beyond_the_window_the_refusal_states_the_skew(auth: Auth, skew_ms: int, told: str) -> None:
    refused = refusal(auth.log_on, signed(NOW // MS + skew_ms), NOW, HERE)
    assert (refused.code, refused.data["field"]) == (13004, "timestamp") and told in str(refused)


def test_the_window_can_be_set() -> None:
    wide = Auth([Credential(KEY, SECRET, 0)], window_seconds=60)
    assert wide.log_on(signed(NOW // MS - 59_000), NOW, HERE)
    assert refusal(wide.log_on, signed(NOW // MS - 61_000), NOW, HERE).data["field"] == "timestamp"


def test_a_signature_is_accepted_once(auth: Auth) -> None:
    auth.log_on(signed(), NOW, HERE)
    for later in (0, SECOND, 5 * SECOND):
        assert refusal(auth.log_on, signed(), NOW + later, HERE).data["field"] == "nonce"
    assert auth.log_on(signed(nonce="m"), NOW, HERE)
    assert refusal(auth.log_on, signed(), NOW + 30 * SECOND, HERE).data["field"] == "timestamp"


def test_signatures_are_forgotten_when_the_clock_refuses_them_anyway(auth: Auth) -> None:
    for number in range(100):
        auth.log_on(signed(NOW // MS + number * 1000, f"n{number}"), NOW + number * SECOND, HERE)
    assert len(auth._used_signatures) <= 12


def test_a_scope_may_be_narrowed_and_never_widened(auth: Auth) -> None:
    narrow = auth.log_on(secret(scope="trade:read session:x"), NOW, HERE).credential
    assert narrow.may("trade:read") and not narrow.may("trade:read_write") and not narrow.may("account:read")
    reader = auth.log_on(secret("other", "reader", scope="trade:read_write trade:read"), NOW, HERE).credential
    assert reader.scope == "trade:read"
    assert auth.log_on(secret(scope="connection"), NOW, HERE).credential.may("trade:read_write")
    assert (
        auth.log_on(secret(scope="account:read_write,trade:read"), NOW, HERE).credential.scope
        == "account:read trade:read"
    )


@pytest.mark.parametrize(
    ("scope", "code", "bound"),
    [
        ("trade:reed", -32602, "account:read trade:read trade:read_write operator"),
        ("trade:read read_only", -32602, "account:read trade:read trade:read_write operator"),
        ("operator", 13021, "account:read trade:read_write"),
    ],
)
def test_a_log_on_for_a_scope_that_the_key_does_not_have_gets_no_token(
    auth: Auth, scope: str, code: int, bound: str
) -> None:
    """It must not get one with all scopes of the key."""
    with pytest.raises(Refused) as refused:
        auth.log_on(secret(scope=scope), NOW, HERE)
    assert (refused.value.code, refused.value.data["field"], refused.value.data["bound"]) == (code, "scope", bound)


# Tokens -------------------------------------------------------------------------------------------


def bearer(auth: Auth, token: str, now: int) -> Credential:
    return auth.of_header(f"Bearer {token}", "GET", b"/", b"", now, HERE)


def test_a_revoked_grant_opens_nothing(auth: Auth) -> None:
    kept, revoked = (auth.log_on(secret(), NOW, HERE) for _ in range(2))
    auth.revoke(revoked)
    assert bearer(auth, kept.access_token, NOW).account == 3
    with pytest.raises(Refused):
        bearer(auth, revoked.access_token, NOW)
    with pytest.raises(Refused):
        auth.log_on(Request(grant_type="refresh_token", refresh_token=revoked.refresh_token), NOW, HERE)


def test_a_token_lives_fifteen_minutes(auth: Auth) -> None:
    token = auth.log_on(secret(), NOW, HERE).access_token
    assert bearer(auth, token, NOW + 899 * SECOND).account == 3
    assert refusal(bearer, auth, token, NOW + 900 * SECOND).code == 13009


def test_a_refresh_token_gives_new_tokens_once_and_is_no_access_token(auth: Auth) -> None:
    grant = auth.log_on(secret(scope="trade:read"), NOW, HERE)
    renew = Request(grant_type="refresh_token", refresh_token=grant.refresh_token)
    again = auth.log_on(renew, NOW + 1000 * SECOND, HERE)
    assert again.credential.scope == "trade:read" and bearer(auth, again.access_token, NOW + 1000 * SECOND)
    assert refusal(auth.log_on, renew, NOW + 1001 * SECOND, HERE).code == 13009
    assert refusal(bearer, auth, again.refresh_token, NOW + 1000 * SECOND).code == 13009
    assert (
        refusal(auth.log_on, Request(grant_type="refresh_token", refresh_token=again.access_token), NOW, HERE).code
        == 13009
    )


def test_neither_tokens_nor_secrets_are_kept_or_shown_in_clear(auth: Auth) -> None:
    grant = auth.log_on(secret(), NOW, HERE)
    assert grant.access_token not in repr(vars(auth)) and grant.refresh_token not in repr(vars(auth))
    assert SECRET not in repr(auth._credentials)


# HTTP ---------------------------------------------------------------------------------------------


def test_a_signed_header_counts_for_exactly_its_request(auth: Auth) -> None:
    target = b"/api/v2/private/buy?amount=1"
    assert auth.of_header(header(), "GET", target, b"", NOW, HERE).account == 3
    for method, path, body in (("POST", target, b""), ("GET", target + b"0", b""), ("GET", target, b"{}")):
        assert refusal(auth.of_header, header(nonce="8"), method, path, body, NOW, HERE).code == 13004
    assert auth.of_header(header("POST", b"/api/v2", b"{}"), "POST", b"/api/v2", b"{}", NOW, HERE)


def test_a_signed_header_is_accepted_once_and_within_the_window(auth: Auth) -> None:
    target = b"/api/v2/private/buy?amount=1"
    auth.of_header(header(), "GET", target, b"", NOW, HERE)
    assert refusal(auth.of_header, header(), "GET", target, b"", NOW, HERE).data["field"] == "nonce"
    assert (
        refusal(auth.of_header, header(timestamp=NOW // MS - 6000), "GET", target, b"", NOW, HERE).data["field"]
        == "timestamp"
    )


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", 13009),
        ("Digest x", 13009),
        ("Bearer x", 13009),
        ("Bearer", 13009),
        ("Basic !!", 13004),
        ("Basic /w==", 13004),
        ("Basic " + base64.b64encode(b"demo").decode(), 13004),
        ("deri-hmac-sha256", -32602),
        ("deri-hmac-sha256 id=demo", -32602),
        ("deri-hmac-sha256 id=demo,ts=x,sig=y", 13004),
        ("deri-hmac-sha256 id=demo,ts=\u0661,sig=y", 13004),
    ],
)
def test_a_header_that_proves_nothing_is_refused(auth: Auth, text: str, code: int) -> None:
    assert refusal(auth.of_header, text, "GET", b"/", b"", NOW, HERE).code == code


def test_basic_carries_key_and_secret(auth: Auth) -> None:
    text = "Basic " + base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()
    assert auth.of_header(text, "GET", b"/", b"", NOW, HERE).client_id == KEY


# Guessing -----------------------------------------------------------------------------------------


def test_ten_failures_lock_the_key_for_a_minute_for_that_address_only(auth: Auth) -> None:
    for _ in range(10):
        assert refusal(auth.log_on, secret("wrong"), NOW, HERE).code == 13004
    locked = refusal(auth.log_on, secret(), NOW, HERE)
    assert (locked.code, locked.message, locked.data["retry_after_ms"]) == (12003, "login_over_limit", 60_000)
    assert refusal(auth.log_on, signed(), NOW + 59 * SECOND, HERE).code == 12003
    assert auth.log_on(secret(), NOW, "10.0.0.2")
    assert auth.log_on(secret("other", "reader"), NOW, HERE)
    assert auth.log_on(secret(), NOW + 60 * SECOND, HERE)


def test_an_unknown_key_is_locked_like_any(auth: Auth) -> None:
    codes = [refusal(auth.log_on, secret("x", "nobody"), NOW, HERE).code for _ in range(11)]
    assert codes == [13004] * 10 + [12003]


def test_a_success_forgets_the_failures(auth: Auth) -> None:
    for _ in range(3):
        for _ in range(9):
            refusal(auth.log_on, secret("wrong"), NOW, HERE)
        assert auth.log_on(secret(), NOW, HERE)


def test_the_memory_that_unknown_clients_use_is_bounded() -> None:
    auth = Auth([Credential(KEY, SECRET, 0)], memory=100)
    for number in range(1000):
        refusal(auth.log_on, secret("x", f"key{number}"), NOW, HERE)
        auth.log_on(secret(), NOW, HERE)
    assert len(auth._failures) <= 100 and len(auth._tokens) <= 100


@pytest.mark.parametrize(
    "make",
    [
        lambda: Credential("k", "s", 0, "trade:everything"),
        lambda: Auth([Credential("k", "s", 0), Credential("k", "t", 1)]),
    ],
)
def test_keys_that_contradict_are_refused_with_their_name(make: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="k|client_id"):
        make()
