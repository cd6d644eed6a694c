"""Apple and Google for benchmarks: nginx, which answers every push 200 at the cost of C, over TLS with real names.

One port takes what it gets, one lets SLOW_PER_S pushes a second through. The second is how the dispatcher is held: a
slow provider keeps a project's few claimed batches in flight, and the rest of the backlog waits in the outbox.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from benchmarks.load import get
from benchmarks.processes import Process, free_port, running, wait_for_port
from expo_gateway.emulators.authority import ensure_certificates
from expo_gateway.emulators.tls import EmulatorTls

KEY_ID, TEAM_ID = "BENCHKEY01", "BENCHTEAM1"
GOOGLE_PROJECT = "bench-shop"
# Our choice: a few percent of a core on our side; 800 in flight are answered in 16 s, long before 30 s are over.
SLOW_PER_S = 50

_CONFIG = """
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr error;
{user}
events {{ worker_connections 4096; }}
http {{
  access_log off;
  default_type application/json;
  client_body_temp_path {directory}/client;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  keepalive_requests 1000000000;
  http2_max_concurrent_streams 1000;
  ssl_certificate {tls.server_pem};
  ssl_certificate_key {tls.server_key};
  limit_req_zone $server_port zone=slow:1m rate={slow}r/s;
  upstream taken {{ server 127.0.0.1:{plain}; keepalive 64; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{fast} ssl http2;
    listen 127.0.0.1:{plain};
    location /3/device/ {{ add_header apns-id $http_apns_id; return 200; }}
    location /v1/projects/ {{ return 200 '{{"name":"projects/bench-shop/messages/0:1700000000000000-31bd1c96"}}'; }}
    location /token {{ return 200 '{{"access_token":"ya29.bench","expires_in":3599,"token_type":"Bearer"}}'; }}
    location /status {{ stub_status; }}
  }}
  server {{
    listen 127.0.0.1:{slowly} ssl http2;
    location / {{
      limit_req zone=slow burst=1000000;
      proxy_http_version 1.1;
      proxy_set_header connection "";
      proxy_pass http://taken;
    }}
  }}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mock:
    process: Process
    port: int
    slow_port: int
    plain_port: int
    tls: EmulatorTls
    apns_key: Path
    service_account: Path

    def requests(self) -> int:
        """Since it was started, on all ports, this question and those before it not counted."""
        text = get(f"http://127.0.0.1:{self.plain_port}/status").decode()
        found = re.search(r"^ \d+ \d+ (\d+)", text, re.MULTILINE)
        assert found is not None
        return int(found[1])


def is_there() -> bool:
    return program() is not None


def program() -> str | None:
    return shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")


@contextmanager
def provider_mock(directory: Path) -> Iterator[Mock]:
    """Apple and Google on the loopback, and the files that an operator would have of them."""
    nginx = program()
    assert nginx is not None
    directory.mkdir()
    tls = ensure_certificates(directory / "tls")
    fast, slowly, plain = free_port(), free_port(), free_port()
    config = _CONFIG.format(
        directory=directory,
        tls=tls,
        fast=fast,
        slowly=slowly,
        plain=plain,
        slow=SLOW_PER_S,
        user="user root;" if os.geteuid() == 0 else "",
    )
    (directory / "nginx.conf").write_text(config)
    command = [nginx, "-c", str(directory / "nginx.conf"), "-p", str(directory)]
    with running(command, log=directory / "nginx.log") as process:
        wait_for_port(plain, process)
        yield Mock(
            process=process,
            port=fast,
            slow_port=slowly,
            plain_port=plain,
            tls=tls,
            apns_key=_apns_key(directory),
            service_account=_service_account(directory, token_uri=f"https://localhost:{fast}/token"),
        )


def _apns_key(directory: Path) -> Path:
    path = directory / f"AuthKey_{KEY_ID}.p8"
    path.write_bytes(_pem(ec.generate_private_key(ec.SECP256R1())))
    return path


def _service_account(directory: Path, *, token_uri: str) -> Path:
    path = directory / "service-account.json"
    account = {
        "type": "service_account",
        "project_id": GOOGLE_PROJECT,
        "private_key_id": "1",
        "private_key": _pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)).decode(),
        "client_email": f"push@{GOOGLE_PROJECT}.iam.gserviceaccount.com",
        "token_uri": token_uri,
    }
    path.write_text(json.dumps(account))
    return path


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
