"""Health for whoever runs the process: is it alive, and can it do its work?"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

Checks = Mapping[str, Callable[[], Awaitable[str]]]
"""Name -> what is wrong with it, "" when nothing is."""

# Our choice: shorter than the patience of Docker's and Kubernetes' probes is usually set to.
CHECK_S = 2.0


def routes(checks: Checks, *, check_s: float = CHECK_S) -> list[BaseRoute]:
    async def live(_: Request) -> JSONResponse:
        """200 while the process answers at all."""
        return JSONResponse({"status": "ok"})

    async def ready(_: Request) -> JSONResponse:
        """200 when every check passes, else 503; each check's answer by name."""
        troubles = await asyncio.gather(*(_trouble(check, check_s) for check in checks.values()))
        found = dict(zip(checks, troubles, strict=True))
        fine = not any(troubles)
        body = {"status": "ok" if fine else "error", "checks": {name: wrong or "ok" for name, wrong in found.items()}}
        return JSONResponse(body, status_code=200 if fine else 503, headers={"cache-control": "no-store"})

    return [Route("/health/live", live, methods=["GET"]), Route("/health/ready", ready, methods=["GET"])]


async def _trouble(check: Callable[[], Awaitable[str]], check_s: float) -> str:
    try:
        async with asyncio.timeout(check_s):
            return await check()
    except TimeoutError:
        return f"no answer within {check_s:g} s"
