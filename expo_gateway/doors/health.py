"""Health for whoever runs the process: is it alive, and can it do its work?"""

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

Checks = Mapping[str, Callable[[], Awaitable[str]]]
"""Name -> what is wrong with it, "" when nothing is."""


def routes(checks: Checks) -> list[BaseRoute]:
    async def live(_: Request) -> JSONResponse:
        """200 while the process answers at all."""
        return JSONResponse({"status": "ok"})

    async def ready(_: Request) -> JSONResponse:
        """200 when every check passes, else 503; each check's answer by name."""
        found = {name: await check() for name, check in checks.items()}
        fine = not any(found.values())
        body = {"status": "ok" if fine else "error", "checks": {name: wrong or "ok" for name, wrong in found.items()}}
        return JSONResponse(body, status_code=200 if fine else 503)

    return [Route("/health/live", live, methods=["GET"]), Route("/health/ready", ready, methods=["GET"])]
