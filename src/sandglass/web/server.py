"""The server behind the page: one process, one model. `build_app` is the application, `serve` runs it on a socket."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from sandglass import __version__
from sandglass.core.errors import BadInput
from sandglass.web import bounds as door
from sandglass.web.answers import Example, Health, HeatmapAnswer, ModelAnswer, PredictAnswer, Problem
from sandglass.web.bounds import Guard
from sandglass.web.examples import PICTURES, example, example_png
from sandglass.web.looker import Looker
from sandglass.web.uploads import HeatmapOptions, PredictOptions, form_schema, read_upload
from sandglass.web.worker import Worker

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
ABOUT = (
    "Finds the joints of people in photographs. Points are image pixels (x, y) of the upright photograph, "
    "a pixel's centre lies at +0.5; boxes are x1, y1, x2, y2. Nothing that is sent is kept."
)
REFUSALS = {
    400: "The form is broken.",
    403: "Asked from another web site, or by another name than the server's.",
    408: "The photograph did not arrive in time.",
    413: "Too many bytes or pixels.",
    415: "No form, or no picture in it.",
    422: "The picture cannot be decoded, or a field or box cannot be used.",
    503: "All seats are taken: come again after the seconds in Retry-After.",
    504: "The answer was not ready in time.",
}
Responses = dict[int | str, dict[str, Any]]


def build_app(looker: Looker, hosts: frozenset[str] | None = LOCAL_NAMES) -> ASGIApp:
    """The application. `hosts` are the names that it answers to, None for any."""
    worker = Worker(looker.bounds)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        worker.close()

    app = FastAPI(
        title="sandglass",
        version=__version__,
        description=ABOUT,
        docs_url=None,  # its pages load scripts from another host; ours is /api
        redoc_url=None,
        lifespan=lifespan,
    )
    _add_errors(app)
    _add_questions(app, looker, worker)
    _add_examples(app)
    _add_page(app)
    return Guard(app, hosts)


def _add_errors(app: FastAPI) -> None:
    """Every answer that is no success is one line of JSON, without a path or a traceback."""

    def problem(status: int, line: str, headers: Any = None) -> JSONResponse:
        return JSONResponse({"error": line}, status, headers=headers)

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, error.detail, error.headers)

    @app.exception_handler(BadInput)
    async def unusable(_: Request, error: BadInput) -> JSONResponse:
        return problem(422, str(error))

    @app.exception_handler(Exception)
    async def our_mistake(_: Request, __: Exception) -> JSONResponse:  # uvicorn logs the traceback on the server
        return problem(500, "the server made a mistake; its log says more")


def _add_questions(app: FastAPI, looker: Looker, worker: Worker) -> None:
    refusals: Responses = {status: {"model": Problem, "description": text} for status, text in REFUSALS.items()}

    @app.post("/predict", responses=refusals, openapi_extra=form_schema(PredictOptions))
    async def predict(request: Request) -> PredictAnswer:
        """The people in a photograph: one for each box, or the one whom the whole photograph shows."""
        with worker.seat():
            data, options = await read_upload(request, looker.bounds, PredictOptions)
            return await worker.do(lambda: looker.poses(data, options))

    @app.post("/heatmaps", responses=refusals, openapi_extra=form_schema(HeatmapOptions))
    async def heatmaps(request: Request) -> HeatmapAnswer:
        """The heatmaps of one person, joint by joint, after each stack of the network."""
        with worker.seat():
            data, options = await read_upload(request, looker.bounds, HeatmapOptions)
            return await worker.do(lambda: looker.heatmaps(data, options))

    @app.get("/model")
    async def model() -> ModelAnswer:
        """What the model is: its skeleton, its size, its training, and what the server allows."""
        return looker.model()

    @app.get("/health")
    async def health() -> Health:
        """Whether the server is there, and how busy."""
        return Health(status="ok", waiting=worker.taken, seats=worker.seats)


def _add_examples(app: FastAPI) -> None:
    known = {f"{index}.png": index for index in PICTURES}

    @app.get("/examples")
    async def examples() -> list[Example]:
        """Drawn photographs to try the page with."""
        return await asyncio.to_thread(lambda: [example(index) for index in PICTURES])

    @app.get("/examples/{name}", response_class=Response, responses={200: {"content": {"image/png": {}}}})
    async def example_picture(name: str) -> Response:
        """One of them."""
        if name not in known:
            raise HTTPException(404, "no such example; /examples lists them")
        data = await asyncio.to_thread(example_png, known[name])
        return Response(data, media_type="image/png", headers={"cache-control": "max-age=3600"})


def _add_page(app: FastAPI) -> None:
    """The page's files, read once: no path that a request names is ever opened."""

    def add(path: str, data: bytes, kind: str) -> None:
        @app.get(path, include_in_schema=False)
        async def page_file() -> Response:
            return Response(data, media_type=kind, headers={"cache-control": "no-cache"})

    for file in (files("sandglass.web") / "page").iterdir():
        suffix = "." + file.name.rpartition(".")[2]
        if suffix in KINDS:
            path = {"index.html": "/", "api.html": "/api"}.get(file.name, f"/{file.name}")
            add(path, file.read_bytes(), KINDS[suffix])


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises BadInput when it is taken or not this machine's."""
    if not 0 <= port < 2**16:
        raise BadInput(f"port {port} does not exist; choose one below {2**16} with --port")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=1024)  # type: ignore[arg-type]
    except (OSError, OverflowError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise BadInput(f"cannot listen on {host}, port {port} ({why}); choose another with --port or --host") from None


def serve(looker: Looker, listener: socket.socket) -> uvicorn.Server:
    """A server for `listener`, to be `run(sockets=[listener])`. On loopback it answers to local names only."""
    address = listener.getsockname()[0]
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of every broken form
    app = build_app(looker, LOCAL_NAMES | {address} if door.loopback(address) else None)
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=door.Impatient,
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=door.CONNECTIONS,
            timeout_keep_alive=door.IDLE_SECONDS,
            timeout_graceful_shutdown=5,
        )
    )
