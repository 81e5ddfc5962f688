"""The methods over HTTP. A request becomes a JSON-RPC frame and is served by a session of its own.

GET has its parameters in the query string, POST in the body. The Authorization header names the key. The answer is the
JSON-RPC answer, with the HTTP status that belongs to its error.

    GET /api/v2/private/buy?instrument_name=SC2701&amount=1000&price=520.5
"""

import asyncio
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import numpy as np
from fastapi import APIRouter, Request
from msgspec import UNSET, Raw, Struct, UnsetType
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from gateway.rpc.desk import Desk
from gateway.rpc.models import DOCUMENTED
from gateway.rpc.requests import from_query
from gateway.rpc.session import Method, Session
from gateway.rpc.ticket import Ticket
from gateway.text.answers import encode, error
from gateway.text.refusals import Refused
from gateway.wire.guard import connection_of
from matching.records import COMMAND

_STATUS = {13004: 401, 13009: 401, 13021: 403, 10028: 429, 12003: 429, 10040: 503, 11051: 503, -32601: 404}
_MEDIA = {"csv": "text/csv; charset=utf-8", "html": "text/html; charset=utf-8"}


class _Data(Struct):
    retry_after_ms: int = 0


class _Error(Struct):
    code: int
    data: _Data


class _Outcome(Struct):
    """The part of an answer that decides the HTTP status."""

    error: _Error | UnsetType = UNSET


class _Text(Struct):
    """The part of an answer whose result is a text."""

    result: str


class _MaybeRequest(Struct):
    """The part of a body that tells a whole request from parameters alone."""

    method: Any = UNSET


_outcome = msgspec.json.Decoder(_Outcome)


class Waiter:
    """The peer of a session that serves one HTTP request. It keeps the answer."""

    queued = 0

    def __init__(self, desk: Desk, methods: Mapping[str, Method], number: int, address: str) -> None:
        self._runner = desk.hub.runner
        self._clock = desk.hub.clock
        self._reports = desk.reports
        self.session = Session(
            desk,
            self,
            methods,
            number=number,
            address=address,
            websocket=False,
            bucket=desk.bucket_of_address(address),
        )
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def send(self, message: bytes) -> None:
        if not self.answer.done():  # canceled where the client has disconnected
            self.answer.set_result(message)

    def submit(self, rows: bytes, ticket: Ticket) -> None:
        if self._runner.stopping:
            self.session.failed([ticket], self._clock())
        else:
            self._runner.submit(
                np.frombuffer(bytearray(rows), COMMAND), partial(self._reports.expect, self.session, [ticket])
            )

    def close(self, code: int, reason: str) -> None:
        """A request has no connection of its own to close."""


def router(desk: Desk, methods: Mapping[str, Method]) -> APIRouter:
    """The routes of /api/v2."""
    routes = APIRouter()

    async def named(request: Request) -> Response:
        """A method by its path."""
        return await _serve(desk, methods, request, request.url.path.removeprefix("/api/v2/"))

    async def enveloped(request: Request) -> Response:
        """One JSON-RPC object, at /api/v2."""
        return await _serve(desk, methods, request, "")

    for name, method in methods.items():
        if not method.websocket_only:
            for verb in ("GET", "POST"):
                routes.add_api_route(
                    f"/api/v2/{name}",
                    named,
                    methods=[verb],
                    name=name,
                    tags=[name.split("/")[0]],
                    operation_id=f"{verb.lower()} {name}",
                    openapi_extra=_documented(name) if verb == "POST" else None,
                )
    for scope in ("private", "operator"):
        for form in _MEDIA:
            routes.add_api_route(
                f"/api/v2/{scope}/statement.{form}",
                partial(_statement, desk, methods, scope, form),
                methods=["GET"],
                name=f"{scope}/statement.{form}",
                tags=[scope],
                response_model=None,
            )
    routes.add_api_route("/api/v2/{name:path}", named, methods=["GET", "POST"], include_in_schema=False)
    routes.add_api_route("/api/v2", enveloped, methods=["POST"], name="JSON-RPC")
    return routes


def _documented(name: str) -> dict[str, Any] | None:
    """The description of a POST body for OpenAPI, where there is a model of it."""
    model = DOCUMENTED.get(name)
    return (
        None
        if model is None
        else {"requestBody": {"content": {"application/json": {"schema": model.model_json_schema()}}}}
    )


async def _statement(desk: Desk, methods: Mapping[str, Method], scope: str, form: str, request: Request) -> Response:
    """A statement as a file, for browsers and spreadsheets."""
    answer = await _answer(desk, methods, request, f"{scope}/get_statement", {"format": form})
    outcome = _outcome.decode(answer)
    if outcome.error is not UNSET:
        return _response(answer, "Basic")
    headers = {"content-disposition": 'attachment; filename="statement.csv"'} if form == "csv" else {}
    return Response(msgspec.json.decode(answer, type=_Text).result, headers=headers, media_type=_MEDIA[form])


async def _serve(desk: Desk, methods: Mapping[str, Method], request: Request, name: str) -> Response:
    return _response(await _answer(desk, methods, request, name))


async def _answer(
    desk: Desk, methods: Mapping[str, Method], request: Request, name: str, given: dict[str, Any] | None = None
) -> bytes:
    """The JSON-RPC answer to a request. given: parameters that the path implies."""
    hub = desk.hub
    now = hub.clock()
    connection = connection_of(request.scope)
    waiter = Waiter(desk, methods, connection.number, connection.address)
    try:
        body = await request.body()
    except ClientDisconnect:  # nobody reads the answer
        return error("null", Refused(-32700, "Parse error", "the client has disconnected"), now, hub.clock())
    try:
        frame = _frame(methods, name, request, body, given or {})
        header = request.headers.get("authorization")
        if header is not None:
            target = request.scope["raw_path"]
            if request.scope["query_string"]:
                target += b"?" + request.scope["query_string"]
            waiter.session.log_on(hub.auth.of_header(header, request.method, target, body, now, connection.address))
    except Refused as refused:
        return error("null", refused, now, hub.clock())
    waiter.session.receive(frame, now)
    return await waiter.answer


def _frame(methods: Mapping[str, Method], name: str, request: Request, body: bytes, given: dict[str, Any]) -> bytes:
    """The request as a JSON-RPC frame."""
    if request.method == "GET":
        pairs = parse_qsl(request.url.query, keep_blank_values=True, max_num_fields=64)
        method = methods.get(name)
        values = from_query(method.reader.struct, [*given.items(), *pairs]) if method else {}
        return encode({"method": name, "params": values}).encode()
    if not name:
        return body
    try:
        whole = bool(body) and msgspec.json.decode(body, type=_MaybeRequest).method is not UNSET
        parameters = bytes(msgspec.json.decode(body, type=Raw)) if body else b"{}"
    except (ValueError, RecursionError) as error_:
        raise Refused(-32700, "Parse error", str(error_)[:160]) from None
    if not whole:
        return b'{"method":' + encode(name).encode() + b',"params":' + parameters + b"}"
    if msgspec.json.decode(body, type=_MaybeRequest).method != name:
        raise Refused(-32600, "Invalid Request", f"method: the path says {name[:64]}", field="method")
    return body


def _response(answer: bytes, challenge: str = "Bearer") -> Response:
    """An answer with the HTTP status and headers that belong to its error."""
    outcome = _outcome.decode(answer)
    if outcome.error is UNSET:
        return Response(answer, media_type="application/json")
    status = _STATUS.get(outcome.error.code, int(HTTPStatus.BAD_REQUEST))
    headers = {"retry-after": str(-(-outcome.error.data.retry_after_ms // 1000))} if status == 429 else {}
    if status == 401:
        headers["www-authenticate"] = challenge + ' realm="QIEE Hub"'
    return Response(answer, status, headers, "application/json")
