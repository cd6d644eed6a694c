"""An FcmRequest as the body of `messages:send`, by pyfcm.

pyfcm gives payload, endpoint and its hold on the credentials. Its transport is never used: it opens a session for every
push or every thread, fetches an access token each time, blocks, sleeps and sends again on its own.
"""

from typing import Any

import orjson
from google.oauth2 import service_account
from pyfcm import FCMNotification

from expo_gateway.protocol.fcm import FcmRequest


class FcmMessages(FCMNotification):  # type: ignore[misc]  # pyfcm has no types
    """Bodies for one project. `endpoint` takes the place of https://fcm.googleapis.com."""

    def __init__(self, *, credentials: service_account.Credentials, endpoint: str) -> None:
        super().__init__(credentials=credentials)
        self.FCM_END_POINT_BASE = f"{endpoint.rstrip('/')}/v1/projects"

    @property
    def url(self) -> str:
        return str(self.fcm_end_point)

    def body(self, request: FcmRequest) -> bytes:
        """The request as JSON, neither more nor less. orjson.JSONEncodeError when it holds lone surrogates."""
        document = self.parse_payload(
            fcm_token=request.device_token,
            data_payload=dict(request.data),
            android_config=dict(request.android),
        )
        message = document["message"]
        # parse_payload adds an empty notification where there is no data, and loses an empty title, and the image when
        # there is neither title nor body: the notification is put in as it stands.
        message.pop("notification", None)
        if request.notification is not None:
            message["notification"] = dict(request.notification)
        if request.others:
            message.update(request.others)
        return orjson.dumps(document)

    def json_dumps(self, data: dict[str, Any]) -> dict[str, Any]:
        """parse_payload's last step, left to `body`."""
        return data
