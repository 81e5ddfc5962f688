"""Settings of a hub: defaults, a TOML file, environment variables QIEE_..., the command line. Later ones win.

    settings = load(Path("hub.toml"), data="data", port=8080)

The commands of a journal mean something only together with the hub's instruments and accounts. So the header of every
journal has their `configuration_hash`, and a hub does not start on a journal that was written with others.
"""

import hashlib
import json
import os
import secrets
import stat
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as model
from pydantic_settings import BaseSettings, SettingsConfigDict

from exchange.instruments import Instrument
from gateway.auth import Credential
from matching.codes import ALL
from risk.limits import Account

EXIT_CONFIGURATION = 2
OPERATOR = "operator"  # instead of an account's name: the key is an operator's


class ConfigurationError(ValueError):
    """A setting that cannot be used. The message is one line that names it, its value and what is allowed."""

    exit_code = EXIT_CONFIGURATION


class Settings(BaseSettings):
    """Settings of `qiee serve`."""

    model_config = SettingsConfigDict(env_prefix="QIEE_", extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    data: Path = Path("data")
    catalogue: Path | None = None
    members: bool = True
    seed: int = Field(default=7, ge=0)
    durable: bool = True
    max_orders: int = Field(default=1 << 17, ge=1, le=1 << 27)
    snapshot_every: int = Field(default=1_000_000, ge=1_000)  # commands
    prune: bool = False  # delete the journal that two snapshots cover
    day: Literal["off", "real", "compressed", "by_hand"] = "off"  # off: every instrument trades all the time
    day_minutes: float = Field(default=5.0, gt=0, le=1440)  # that 24 compressed hours take
    profile: str | None = None  # of profiles.json; None: the catalogue's own


def load(path: Path | None, **given: Any) -> Settings:
    """Settings from a TOML file (None: hub.toml, if it exists), the environment, and `given` (None: not given).

    Errors    ConfigurationError
    """
    stored: dict[str, Any] = {}
    if path is None and Path("hub.toml").exists():
        path = Path("hub.toml")
    if path is not None:
        try:
            stored = tomllib.loads(path.read_text())
        except OSError as error:
            raise ConfigurationError(f"configuration {path}: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"configuration {path}: {error}") from None
    prefix = Settings.model_config["env_prefix"]
    stored = {name: value for name, value in stored.items() if f"{prefix}{name}".upper() not in os.environ}
    try:
        return Settings(**(stored | {name: value for name, value in given.items() if value is not None}))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"setting {field} is {first['input']!r}: {first['msg'].lower()}") from None


def configuration_hash(instruments: Sequence[Instrument], accounts: Sequence[Account], max_orders: int) -> bytes:
    """32 bytes that differ when anything differs that a journal's commands depend on."""
    # the tie-breaks are hashed as a number, as 0.2 did: a folder of that release stays readable
    listed = (repr(one).replace(f"auction={one.auction!r}", f"auction={int(one.auction)}") for one in instruments)
    text = "\n".join([repr(max_orders), *listed, *map(repr, accounts)])
    return hashlib.blake2b(text.encode(), digest_size=32).digest()


# API keys -----------------------------------------------------------------------------------------


@model(config=ConfigDict(extra="forbid"), frozen=True)
class StoredKey:
    """A key in keys.json of the data folder. Signed log-ons need the secret itself, so only the owner may read the file."""

    client_id: str
    client_secret: str
    account: str  # OPERATOR: none
    scope: str = "account:read trade:read_write"


_KEYS = TypeAdapter(list[StoredKey])


def read_keys(folder: Path) -> list[StoredKey]:
    """The keys of a data folder; none while there is no file. Errors: ConfigurationError."""
    path = folder / "keys.json"
    try:
        return _KEYS.validate_json(path.read_bytes())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigurationError(f"keys {path}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigurationError(
            f"keys {path}: entry {'.'.join(map(str, first['loc']))}: {first['msg'].lower()}"
        ) from None


def write_keys(folder: Path, keys: list[StoredKey]) -> None:
    """Replace the keys of a data folder, in one step. Errors: ConfigurationError."""
    path = folder / "keys.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.touch(mode=stat.S_IRUSR | stat.S_IWUSR)
        new.write_text(json.dumps(_KEYS.dump_python(keys, mode="json"), indent=1) + "\n")
        new.replace(path)
    except OSError as error:
        raise ConfigurationError(f"keys {path}: {error.strerror}") from None


def new_key(account: str, scope: str = StoredKey.scope) -> StoredKey:
    """A key with a fresh random id and secret."""
    return StoredKey(
        client_id=secrets.token_hex(4), client_secret=secrets.token_urlsafe(24), account=account, scope=scope
    )


def credentials(keys: Sequence[StoredKey], accounts: Sequence[Account]) -> list[Credential]:
    """The keys as gateway.auth takes them. Errors: ConfigurationError for an account or scope that does not exist."""
    numbers = {account.name: number for number, account in enumerate(accounts)}
    numbers.setdefault(OPERATOR, ALL)
    for key in keys:
        if key.account not in numbers:
            raise ConfigurationError(
                f"key {key.client_id}: account is {key.account}, must be one of {', '.join(numbers)}"
            )
    try:
        return [Credential(key.client_id, key.client_secret, numbers[key.account], key.scope) for key in keys]
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
