"""What is counted, for Prometheus: GET /metrics.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

Render = Callable[[str], Awaitable[tuple[bytes, str]]]
"""Value of `accept` -> body, content type."""


def routes(render: Render) -> list[BaseRoute]:
    async def metrics(request: Request) -> Response:
        body, content_type = await render(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type, "cache-control": "no-store"})

    return [Route("/metrics", metrics, methods=["GET"])]
