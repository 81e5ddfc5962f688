"""`qiee`: the command line. gateway/serving.py puts together the hub that `serve` starts.

    qiee serve      qiee replay      qiee bench      qiee journal verify|dump|repair      qiee keys list|add|remove

serving.py is imported only by the commands that need it: with FastAPI and uvicorn it takes as long to load as all others.

Exit codes: 0 done, 1 unforeseen, 2 wrong argument or configuration (of verify: torn), 3 data folder in use, 4 the journal
failed while running, 5 journal suspect, 6 corrupt, 7 from a newer version, 8 of another configuration, 9 unreadable, 10 cannot
listen, 11 cannot start, 12 bad catalogue, 13 capture missing or bad.
"""

import runpy
import sys
import time
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from exchange.instruments import InstrumentError
from exchange.journal.journal import dump, repair, verify
from exchange.participants.scenario import demo_accounts
from exchange.replay.report import main as report
from gateway import config
from gateway.config import ConfigurationError
from gateway.version import VERSION

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="QIEE Hub: an exchange in a box.", pretty_exceptions_enable=False
)
journal_app = typer.Typer(no_args_is_help=True, help="Look at a data folder's journal, without starting the hub.")
keys_app = typer.Typer(
    no_args_is_help=True, help="API keys of a data folder; a running hub reads them at its next start."
)
app.add_typer(journal_app, name="journal")
app.add_typer(keys_app, name="keys")

Folder = Annotated[Path, typer.Option(help="The hub's data folder.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="TOML file; default hub.toml where it exists.")]
CatalogueFolder = Annotated[Path | None, typer.Option(help="Catalogue of instruments; default the built-in one.")]
Day = Annotated[
    str | None,
    typer.Option(help="off: all trades all the time; real, compressed, by_hand: by the schedule. [default: off]"),
]
Profile = Annotated[str | None, typer.Option(help="Venue profile; default the catalogue's own.")]
DATA = Path("data")
BENCHMARKS = ("kernel", "auction", "day", "recovery", "gateway")


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"qiee {VERSION}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    pass


def _fail(error: Exception | str, exit_code: int) -> NoReturn:
    print(f"qiee: {error}", file=sys.stderr)
    raise typer.Exit(exit_code)


@app.command()
def serve(
    config_file: ConfigFile = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one. [default: 8080]")] = None,
    data: Annotated[Path | None, typer.Option(help="Data folder. [default: data]")] = None,
    catalogue: CatalogueFolder = None,
    members: Annotated[bool | None, typer.Option("--members/--no-members", help="Simulated members.")] = None,
    durable: Annotated[
        bool | None, typer.Option("--durable/--volatile", help="Volatile: no fsync, for benchmarks only.")
    ] = None,
    day: Day = None,
    day_minutes: Annotated[float | None, typer.Option(help="What 24 compressed hours take. [default: 5]")] = None,
    profile: Profile = None,
) -> None:
    """Start the hub. Ctrl-C stops it; the next start finds every order where it was."""
    try:
        settings = config.load(
            config_file,
            host=host,
            port=port,
            data=data,
            catalogue=catalogue,
            members=members,
            durable=durable,
            day=day,
            day_minutes=day_minutes,
            profile=profile,
        )
    except ConfigurationError as error:
        _fail(error, error.exit_code)
    from gateway.serving import run

    raise typer.Exit(run(settings))


@app.command()
def replay(
    journal: Annotated[Path | None, typer.Option(help="A hub's data folder; default: the recorded venue flow.")] = None,
    speed: Annotated[float | None, typer.Option(help="Factor of recorded time; default: as fast as possible.")] = None,
    batch: Annotated[int, typer.Option(help="Commands a batch.")] = 4096,
    every: Annotated[int, typer.Option(help="With --journal: print a digest every so many commands.")] = 100_000,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the report here.")] = None,
    config_file: ConfigFile = None,
    catalogue: CatalogueFolder = None,
    day: Day = None,
    profile: Profile = None,
) -> None:
    """Replay recorded order flow through the whole machine and report the result.

    A journal is replayed with the settings of its hub: give --config, --catalogue, --day and --profile as to serve.
    """
    given = {"catalogue": catalogue, "day": day, "profile": profile}
    for name, value in ({"config": config_file} | given).items():
        if journal is None and value is not None:
            _fail(
                f"{name} is {value}, may be given only with --journal: the recorded flow has its own instruments",
                config.EXIT_CONFIGURATION,
            )
    hub: tuple[Any, ...] = ()
    if journal is not None:
        from gateway.serving import before_any_command

        try:
            hub = str(journal), *before_any_command(config.load(config_file, **given))
        except (ConfigurationError, InstrumentError) as error:
            _fail(error, error.exit_code)
    raise typer.Exit(
        report(*hub, speed=speed, batch=batch, every=every, json_file=None if json_file is None else str(json_file))
    )


@app.command()
def bench(what: Annotated[str, typer.Argument(help=", ".join(BENCHMARKS))] = "kernel") -> None:
    """Run a benchmark of a source checkout."""
    if what not in BENCHMARKS:
        _fail(f"benchmark is {what}, must be one of {', '.join(BENCHMARKS)}", config.EXIT_CONFIGURATION)
    sys.argv = [f"benchmarks.{what}"]
    sys.path.insert(0, "")
    try:
        runpy.run_module(f"benchmarks.{what}", run_name="__main__")
    except ModuleNotFoundError as error:
        _fail(f"{error}; benchmarks run from the source checkout: make bench", config.EXIT_CONFIGURATION)


@journal_app.command("verify")
def journal_verify(data: Folder = DATA) -> None:
    """Check every byte and report what a start of the hub would find. The exit code is that of a start."""
    result = verify(str(data))
    print(result.text)
    raise typer.Exit(result.exit_code)


@journal_app.command("dump")
def journal_dump(
    data: Folder = DATA,
    first: Annotated[int, typer.Option("--from", help="First sequence.")] = 1,
    last: Annotated[int | None, typer.Option("--to", help="Last sequence.")] = None,
) -> None:
    """Print commands as lines of JSON."""
    result = dump(str(data), sys.stdout, first, last)
    print(result.text, file=sys.stderr)
    raise typer.Exit(result.exit_code)


@journal_app.command("repair")
def journal_repair(
    accept_loss_from: Annotated[int, typer.Option(help="The first sequence that is lost, as verify names it.")],
    data: Folder = DATA,
) -> None:
    """Drop a SUSPECT end of the journal. The decision is written to repairs.log in the data folder."""
    result = repair(str(data), accept_loss_from, time.time_ns())
    print(result.text)
    raise typer.Exit(result.exit_code)


@keys_app.command("list")
def keys_list(data: Folder = DATA) -> None:
    """Keys without their secrets."""
    for key in _read_keys(data):
        print(f"{key.client_id}  {key.account:<12}  {key.scope}")


@keys_app.command("add")
def keys_add(
    account: Annotated[str, typer.Argument(help="Name of the trading account; operator: none, with --scope operator.")],
    scope: Annotated[str, typer.Option(help="Space separated.")] = config.StoredKey.scope,
    data: Folder = DATA,
) -> None:
    """Make a key. The secret is shown once, here."""
    key = config.new_key(account, scope)
    try:
        config.credentials([key], demo_accounts())
        config.write_keys(data, [*config.read_keys(data), key])
    except ConfigurationError as error:
        _fail(error, error.exit_code)
    print(f"client_id      {key.client_id}\nclient_secret  {key.client_secret}")


@keys_app.command("remove")
def keys_remove(client_id: str, data: Folder = DATA) -> None:
    """Delete a key."""
    keys = _read_keys(data)
    if client_id not in [key.client_id for key in keys]:
        _fail(
            f"client_id is {client_id}, must be one of {', '.join(key.client_id for key in keys) or 'none'}",
            config.EXIT_CONFIGURATION,
        )
    try:
        config.write_keys(data, [key for key in keys if key.client_id != client_id])
    except ConfigurationError as error:
        _fail(error, error.exit_code)


def _read_keys(folder: Path) -> list[config.StoredKey]:
    try:
        return config.read_keys(folder)
    except ConfigurationError as error:
        _fail(error, error.exit_code)


def main() -> None:
    """Entry point of the console script."""
    app()
