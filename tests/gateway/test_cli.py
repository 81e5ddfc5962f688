"""`qiee` as people run it: real processes, real signals, real folders. Each refusal is one line, with its own exit code."""

import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exchange.catalogue import CATALOGUE
from exchange.journal.snapshot import newest
from gateway.client import Client, ConnectionLost, HubError
from gateway.config import ConfigurationError, configuration_hash, credentials, load, new_key, read_keys, write_keys
from risk.limits import Account
from tests.build import existing

QIEE = [sys.executable, "-c", "from gateway.cli import main; main()"]


class Process:
    """A hub started with `qiee serve` on a free port."""

    running: list[subprocess.Popen[str]] = []

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [*QIEE, "serve", "--data", str(folder), "--port", "0", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.running.append(self.process)
        self.said: list[str] = []
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if "Ctrl-C stops" in line:
                break
        else:
            raise AssertionError("".join(self.said))
        self.at = existing(re.search(r"ws://([\d.:]+)/ws/api/v2", "".join(self.said))).group(1)

    def ask(self, method: str, key: str = "demo", **params: object) -> Any:
        """One request over HTTP, as the greeting shows it. Errors are returned as the answer."""
        query = "&".join(f"{name}={value}" for name, value in params.items())
        request = urllib.request.Request(f"http://{self.at}/api/v2/{method}?{query}")
        request.add_header("Authorization", "Basic " + b64encode(f"{key}:{key}-secret".encode()).decode())
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)

    def stop(self, name: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        self.process.send_signal(name)
        said, _ = self.process.communicate(timeout=30)
        return self.process.returncode, said


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Any]:
    """The data folder of a hub. A hub that a failed test left running ends with the test."""
    yield tmp_path / "data"
    while Process.running:
        process = Process.running.pop()
        process.kill()
        process.wait()


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*QIEE, *arguments], capture_output=True, text=True, timeout=120, env=os.environ | environment
    )


def refused(result: subprocess.CompletedProcess[str], exit_code: int, *words: str) -> None:
    """One line on stderr, no traceback, this exit code."""
    assert result.returncode == exit_code, result.stderr
    assert result.stderr.count("\n") == 1 and "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr


@pytest.mark.parametrize("profile", ["international", "chinese"])
def test_the_greeting_shows_keys_and_an_order_that_works_when_pasted(folder: Path, profile: Any) -> None:
    hub = Process(folder, "--no-members", "--profile", profile)
    try:
        said = "".join(hub.said)
        assert "demo / demo-secret" in said
        command = existing(re.search(r"curl .*'", said)).group(0)
        answer = json.loads(subprocess.run(command, shell=True, capture_output=True, text=True, timeout=30).stdout)
        assert answer["result"]["order"]["order_state"] == "open"
    finally:
        assert hub.stop()[0] == 0


def test_ctrl_c_while_the_first_start_compiles_ends_the_hub_at_once_and_leaves_nothing_running(
    folder: Path, tmp_path: Path
) -> None:
    hub = subprocess.Popen(
        [*QIEE, "serve", "--data", str(folder), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "NUMBA_DISABLE_JIT": "0"},
    )
    Process.running.append(hub)
    assert "compiling the kernels" in existing(hub.stdout).readline()
    for _ in range(2):  # the second one seconds later: both processes are compiling by then
        assert "compiling ..." in existing(hub.stdout).readline()
    os.killpg(hub.pid, signal.SIGINT)  # as a terminal does
    said, _ = hub.communicate(timeout=5)  # ends when the last process has closed its output
    assert hub.returncode == -signal.SIGINT and "Traceback" not in said


@pytest.mark.parametrize(("end", "exit_code"), [(signal.SIGINT, 0), (signal.SIGTERM, 0), (signal.SIGKILL, -9)])
def test_after_any_end_the_next_start_finds_every_order_where_it_was(folder: Path, end: Any, exit_code: Any) -> None:
    hub = Process(folder, "--no-members")
    for price in (515, 516, 517):
        assert hub.ask("private/buy", instrument_name="SC2701", amount=1000, price=price)["result"]
    assert hub.ask("private/sell", key="trader", instrument_name="SC2701", amount=1000, price=517)["result"]
    before = hub.ask("private/get_open_orders")["result"]
    assert [order["price"] for order in before] == [516, 515]
    assert hub.stop(end)[0] == exit_code
    again = Process(folder, "--no-members")
    try:
        assert again.ask("private/get_open_orders")["result"] == before
        positions = again.ask("private/get_positions", key="trader")["result"]
        assert [position["size"] for position in positions] == [-1000]
        assert again.ask("private/sell", key="trader", instrument_name="SC2701", amount=1000, price=516)["result"]
        for method in ("private/get_user_trades_by_instrument", "public/get_last_trades_by_instrument"):
            trades = again.ask(method, instrument_name="SC2701")["result"]["trades"]
            assert [(trade["trade_seq"], trade["price"]) for trade in trades] == [(2, 516), (1, 517)]
    finally:
        again.stop()


def test_an_order_sent_at_the_greeting_meets_a_market(folder: Path) -> None:
    hub = Process(folder)
    try:
        answer = hub.ask("private/buy", instrument_name="SC2701", amount=1000, type="market")["result"]
        assert answer["order"]["order_state"] == "filled", answer
    finally:
        hub.stop()


def test_subscribers_are_informed_before_the_hub_stops(folder: Path) -> None:
    hub = Process(folder, "--no-members")
    with Client(f"ws://{hub.at}") as watcher:
        told = watcher.subscribe("platform_state")
        assert next(told)[1]["locked"] is False
        assert hub.stop()[0] == 0
        assert next(told)[1] == {"maintenance": True}
        with pytest.raises(ConnectionLost):
            next(told)


def test_simulated_members_move_the_market_and_continue_after_a_restart(folder: Path) -> None:
    for _ in range(2):
        hub = Process(folder)
        first = hub.ask("public/get_order_book", instrument_name="SC2701")["result"]["change_id"]
        for _ in range(100):
            book = hub.ask("public/get_order_book", instrument_name="SC2701")["result"]
            if book["bids"] and book["asks"] and book["change_id"] > first:
                break
            time.sleep(0.1)
        else:
            pytest.fail(f"nobody trades: {book}")
        exit_code, said = hub.stop()
        assert exit_code == 0 and "ended" not in said


def test_a_second_hub_on_the_same_folder_is_refused_with_the_holder(folder: Path) -> None:
    hub = Process(folder, "--no-members")
    try:
        refused(run("serve", "--data", str(folder), "--port", "0"), 3, str(hub.process.pid))
    finally:
        hub.stop()


def test_a_busy_port_is_refused(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused(run("serve", "--data", str(folder), "--port", str(port), "--no-members"), 10, str(port))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("port = 70000", ("port", "70000")),
        ("prot = 1", ("prot",)),
        ("port = ", ("bad.toml",)),
        ("durable = 'perhaps'", ("durable", "perhaps")),
    ],
)
def test_a_bad_configuration_is_refused_with_the_setting_named(tmp_path: Path, text: str, words: Any) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    refused(run("serve", "--config", str(path), "--data", str(tmp_path / "data")), 2, *words)


def test_a_missing_configuration_or_catalogue_is_refused(tmp_path: Path) -> None:
    refused(run("serve", "--config", str(tmp_path / "none.toml")), 2, "none.toml")
    refused(run("serve", "--catalogue", str(tmp_path / "none.json"), "--data", str(tmp_path / "data")), 12, "none.json")


def test_a_journal_of_another_configuration_is_refused(folder: Path) -> None:
    Process(folder, "--no-members").stop()
    refused(run("serve", "--data", str(folder), "--port", "0", QIEE_MAX_ORDERS="1000"), 8)


def test_a_data_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused(run("serve", "--data", str(tmp_path / "file" / "data"), "--port", "0"), 2, "file")


def test_a_journal_that_cannot_be_written_stops_the_hub_and_the_next_start_has_all_that_was_acknowledged(
    folder: Path,
) -> None:
    Process(folder, "--no-members").stop()  # kernels are compiled now, so only the journal grows
    hub = Process(folder, "--no-members")
    resource.prlimit(hub.process.pid, resource.RLIMIT_FSIZE, (40_000, 40_000))
    acknowledged = []
    lost = pytest.raises((ConnectionLost, HubError, TimeoutError))
    with lost, Client(f"ws://{hub.at}", "refinery", "refinery-secret") as client:
        for number in range(1000):
            acknowledged.append(client.buy("SC2701", amount=1000, price=511 + number % 9)["order"]["order_id"])
            time.sleep(0.005)  # below the account's message rate
    said, _ = hub.process.communicate(timeout=30)
    assert hub.process.returncode == 4 and "write failed" in said and "Traceback" not in said
    again = Process(folder, "--no-members")
    try:
        open_orders = again.ask("private/get_open_orders", key="refinery")["result"]
        assert len(acknowledged) > 50
        assert {order["order_id"] for order in open_orders} >= set(acknowledged)
    finally:
        again.stop()


def test_a_hub_whose_output_is_closed_stops_in_order(folder: Path) -> None:
    hub = Process(folder, "--no-members")
    existing(hub.process.stdout).close()
    hub.process.send_signal(signal.SIGTERM)
    assert hub.process.wait(timeout=30) == 0


def test_the_journal_can_be_verified_and_dumped(folder: Path) -> None:
    hub = Process(folder, "--no-members")
    hub.ask("private/buy", instrument_name="SC2701", amount=1000, price=515, client_order_id="mine")
    hub.stop()
    verified = run("journal", "verify", "--data", str(folder))
    assert verified.returncode == 0 and "CLEAN" in verified.stdout
    rows = [json.loads(line) for line in run("journal", "dump", "--data", str(folder)).stdout.splitlines()]
    assert [row["client_order_id"] for row in rows if row["kind"] == "ENTER"] == ["mine"]


@pytest.mark.parametrize(
    ("options", "replayed", "wrong"),
    [
        (
            ("--day", "compressed", "--day-minutes", "0.1", "--profile", "chinese"),
            ("--day", "real", "--profile", "chinese"),
            ("--day", "real", "--profile", "international"),
        ),
        (
            ("--day", "by_hand", "--profile", "international"),
            ("--day", "by_hand", "--profile", "international"),
            ("--profile", "international"),
        ),
        (("--catalogue", str(CATALOGUE / "ng.json")), ("--catalogue", str(CATALOGUE / "ng.json")), ()),
        ((), (), ("--day", "by_hand")),
    ],
)
def test_a_journal_is_replayed_under_the_configuration_of_its_hub_and_under_no_other(
    folder: Path, options: Any, replayed: Any, wrong: Any
) -> None:
    hub = Process(folder, *options)
    (gas,) = [each for each in hub.ask("public/get_instruments")["result"] if each["instrument_name"] == "NG2702"]
    order = {"instrument_name": "NG2702", "amount": gas["contract_size"], "price": gas["settlement_price"]}
    order |= {"offset": "open"} if gas["offset"] else {}
    traded = False
    for _ in range(150):
        if "by_hand" in options:
            hub.ask("operator/next_step", key="operator")
        if not traded:  # two orders that trade, whatever the members do in so short a day
            hub.ask("private/buy", **order)
            sold = hub.ask("private/sell", key="trader", **order)
            traded = bool(sold.get("result", {}).get("trades"))
        elif "--day" not in options or "result" in hub.ask("private/get_statement"):  # settled, too
            break
        time.sleep(0.2)  # one connection per request; more would be too many from one address
    else:
        pytest.fail(f"nothing was traded or settled: {sold}")
    assert hub.stop()[0] == 0
    stopped, report = existing(newest(str(folder))), folder / "report.json"
    assert run("replay", "--journal", str(folder), "--json", str(report), *replayed).returncode == 0
    told = json.loads(report.read_text())
    assert (told["commands"], told["digest"]) == (stopped.sequence, stopped.digest) and told["trades"] > 0
    refused(run("replay", "--journal", str(folder), *wrong), 8, "written under configuration", "profile")


def test_a_replay_s_wrong_option_is_refused_by_name(folder: Path) -> None:
    journal = ("replay", "--journal", str(folder))
    refused(run(*journal, "--profile", "lunar"), 12, "lunar")
    refused(run(*journal, "--day", "sometimes"), 2, "sometimes")
    refused(run(*journal, "--catalogue", str(folder / "none.json")), 12, "none.json")
    refused(run("replay", "--profile", "chinese"), 2, "profile is chinese", "--journal")


def test_keys_are_made_listed_and_removed_and_the_secret_is_shown_once(folder: Path) -> None:
    made = run("keys", "add", "refinery", "--data", str(folder)).stdout.split()
    client_id, secret = made[1], made[3]
    listed = run("keys", "list", "--data", str(folder)).stdout
    assert client_id in listed and "refinery" in listed and secret not in listed
    assert oct((folder / "keys.json").stat().st_mode)[-3:] == "600"
    assert run("keys", "remove", client_id, "--data", str(folder)).returncode == 0
    assert client_id not in run("keys", "list", "--data", str(folder)).stdout
    refused(run("keys", "remove", client_id, "--data", str(folder)), 2, client_id)
    refused(run("keys", "add", "nobody", "--data", str(folder)), 2, "nobody", "refinery")


def test_an_operator_s_key_belongs_to_no_account(folder: Path) -> None:
    made = run("keys", "add", "operator", "--scope", "operator", "--data", str(folder))
    assert made.returncode == 0 and made.stdout.split()[1] in run("keys", "list", "--data", str(folder)).stdout
    refused(
        run("keys", "add", "operator", "--data", str(folder)), 2, "operator", "must be operator: the key has no account"
    )
    refused(run("keys", "add", "operator", "--scope", "root", "--data", str(folder)), 2, "scope is root")
    refused(
        run("keys", "add", "demo", "--scope", "trade:read operator", "--data", str(folder)),
        2,
        "an operator's key belongs to no account",
    )


def test_a_day_by_hand_goes_on_where_it_was_after_a_restart(folder: Path) -> None:
    """Operators take its steps over HTTP. The hub's last state decides which step is the next."""
    by_hand = ("--no-members", "--day", "by_hand", "--profile", "international")
    hub = Process(folder, *by_hand)
    try:
        said = "".join(hub.said)
        assert "by hand, international profile, 2026-12-01" in said and "operator / operator-secret" in said
        assert hub.ask("operator/next_step")["error"]["code"] == 13021  # demo's key
        plan = hub.ask("operator/get_schedule", key="operator")["result"]["steps"]
        for step in plan[:4]:
            answer = hub.ask("operator/next_step", key="operator")["result"]
            assert (answer["description"], "refused" in answer) == (step["description"], False)
        phase = hub.ask("public/ticker", instrument_name="SC2701")["result"]["phase"]
    finally:
        assert hub.stop()[0] == 0
    again = Process(folder, *by_hand)
    try:
        assert again.ask("public/ticker", instrument_name="SC2701")["result"]["phase"] == phase
        assert (
            again.ask("operator/get_schedule", key="operator")["result"]["steps"][0]["description"]
            == plan[4]["description"]
        )
        assert "result" in again.ask("operator/next_step", key="operator")
    finally:
        again.stop()


def test_a_compressed_day_settles_by_itself_and_its_statement_is_read(folder: Path) -> None:
    hub = Process(folder, "--no-members", "--day", "compressed", "--day-minutes", "0.05")
    try:
        for _ in range(400):
            statement = hub.ask("private/get_statement")
            if "result" in statement:
                break
            time.sleep(0.1)
        assert statement["result"]["trading_date"] == "2026-12-01" and statement["result"]["account"] == "demo"
        assert hub.ask("operator/next_step", key="operator")["error"]["data"]["value"] == "compressed"
    finally:
        exit_code, said = hub.stop()
    assert exit_code == 0 and "refused" not in said and "ended:" not in said


@pytest.mark.parametrize(
    ("option", "value", "exit_code"), [("--day", "sometimes", 2), ("--day-minutes", "0", 2), ("--profile", "lunar", 12)]
)
def test_a_day_that_does_not_exist_is_refused_by_setting(folder: Path, option: Any, value: Any, exit_code: Any) -> None:
    refused(run("serve", "--data", str(folder), "--port", "0", option, value), exit_code, value)


def test_later_sources_of_a_setting_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "hub.toml"
    path.write_text("port = 1\nhost = '127.0.0.2'\nseed = 3\n")
    monkeypatch.setenv("QIEE_PORT", "2")
    settings = load(path, port=None, seed=4)
    assert (settings.host, settings.port, settings.seed, settings.durable) == ("127.0.0.2", 2, 4, True)
    assert load(path, port=5).port == 5


def test_the_configuration_hash_changes_with_accounts_and_capacity() -> None:
    one, other = [Account(name="a")], [Account(name="a", max_long=3)]
    hashes = {configuration_hash((), accounts, capacity) for accounts in (one, other) for capacity in (10, 11)}
    assert len(hashes) == 4 and all(len(value) == 32 for value in hashes)


def test_a_key_file_that_makes_no_sense_is_refused_with_the_entry_named(tmp_path: Path) -> None:
    write_keys(tmp_path, [new_key("a")])
    assert len(read_keys(tmp_path)) == 1
    (tmp_path / "keys.json").write_text('[{"client_id": "x", "client_secret": "y", "account": 7}]')
    with pytest.raises(ConfigurationError, match="0.account"):
        read_keys(tmp_path)
    with pytest.raises(ConfigurationError, match="account is b, must be one of a"):
        credentials([new_key("b")], [Account(name="a")])
    with pytest.raises(ConfigurationError, match="scope is everything"):
        credentials([new_key("a", "everything")], [Account(name="a")])
