"""The floor under any Starlette app: a route that reads the body and answers."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.load import SEND


async def _read(request: Request) -> Response:
    await request.body()
    return Response(b'{"data":[]}', media_type="application/json")


app = Starlette(routes=[Route(SEND, _read, methods=["POST"])])
