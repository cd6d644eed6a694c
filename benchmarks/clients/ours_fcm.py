"""FcmProvider, as the dispatcher uses it."""

import ssl
import time

from benchmarks.clients.task import Task, push_all, run
from expo_gateway.protocol.fcm import FcmRequest
from expo_gateway.providers.base import Accepted
from expo_gateway.providers.fcm import FcmProvider


def device_token(number: int) -> str:
    return f"cDK5hPvrRk2{number:011d}:APA91b{'x' * 134}"


async def main(task: Task) -> dict[str, float]:
    provider = FcmProvider(
        service_account=task.service_account_json(),
        endpoint=f"https://localhost:{task.port}",
        clock=time.time,
        emulated=False,
        ssl_context=ssl.create_default_context(cafile=task.ca),
    )

    async def push(number: int) -> bool:
        request = FcmRequest(
            device_token=device_token(number),
            notification={"title": "Your order is on its way", "body": "Hello, it left our house today."},
            data={"n": str(number)},
            android={"priority": "high"},
        )
        return isinstance(await provider.send(request), Accepted)

    try:
        return await push_all(task, push)
    finally:
        await provider.close()


if __name__ == "__main__":
    run(Task.from_arguments(), main)
