"""HTTP/1.1 as real clients speak it, byte by byte. The points are those of the facts about clients."""

import gzip
import json
import time
import zlib
from contextlib import ExitStack

import pytest

from tests.conftest import Server
from tests.e2e.wire import GET_RECEIPTS, MESSAGE, SEND, TOKEN, Reply, connected, head, post, still_serves

HUNDRED = json.dumps([{"to": TOKEN, "body": "x" * 3500}] * 100).encode()


def is_one_ticket(reply: Reply) -> bool:
    return reply.status == 200 and [ticket["status"] for ticket in reply.json()["data"]] == ["ok"]


# -- connections ------------------------------------------------------------------------------------------------------


def test_point_22_a_connection_stays_in_step_after_errors(server: Server) -> None:
    with connected(server) as wire:
        for _ in range(10):
            assert wire.request(body=b"{").status == 400
            assert wire.request("/nothing/here").status == 404
            assert wire.request(body=gzip.compress(MESSAGE)[:-9]).status == 400
            assert wire.request(method="PUT").status == 404
            assert wire.request(GET_RECEIPTS, b'{"ids":7}').status == 400
            assert is_one_ticket(wire.request())


def test_a_connection_serves_more_than_1000_requests(server: Server) -> None:
    """Hypercorn closes after 1,000 by default."""
    with connected(server) as wire:
        replies = [wire.request(GET_RECEIPTS, b'{"ids":[]}') for _ in range(1100)]

    assert {reply.status for reply in replies} == {200}


def test_an_answer_does_not_wait_for_an_acknowledgement(server: Server) -> None:
    """Without TCP_NODELAY on the server's side each answer on a used connection takes 40 ms more."""
    with connected(server) as wire:
        started_at = time.monotonic()
        for _ in range(50):
            wire.request(GET_RECEIPTS, b'{"ids":[]}')
        took_s = time.monotonic() - started_at

    assert took_s < 50 * 0.02


def test_an_idle_connection_may_be_used_again(server: Server) -> None:
    with connected(server) as idle:
        assert is_one_ticket(idle.request())
        still_serves(server)
        assert is_one_ticket(idle.request())


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    one = head(**{"content-length": str(len(MESSAGE))}) + MESSAGE
    other = head(GET_RECEIPTS, **{"content-length": "10"}) + b'{"ids":[]}'
    with connected(server) as wire:
        wire.write(one, other, one)
        replies = [wire.read() for _ in range(3)]

    assert [is_one_ticket(replies[0]), replies[1].body, is_one_ticket(replies[2])] == [True, b'{"data":{}}', True]


def test_a_client_that_asks_for_it_gets_its_connection_closed(server: Server) -> None:
    with connected(server) as wire:
        assert is_one_ticket(wire.request(connection="close"))
        assert wire.is_closed()


def test_http_1_0_is_answered(server: Server) -> None:
    with connected(server) as wire:
        wire.write(head(version="1.0", **{"content-length": str(len(MESSAGE))}), MESSAGE)
        assert is_one_ticket(wire.read())
        assert wire.is_closed()


# -- bodies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size_bytes", [1, 7, 1000])
def test_point_22_a_chunked_body_is_read(size_bytes: int, server: Server) -> None:
    pieces = [MESSAGE[at : at + size_bytes] for at in range(0, len(MESSAGE), size_bytes)]
    chunks = [b"%x;name=value\r\n%s\r\n" % (len(piece), piece) for piece in pieces]
    with connected(server) as wire:
        wire.write(head(**{"transfer-encoding": "chunked"}), *chunks, b"0\r\nx-trailer: 1\r\n\r\n")
        first = wire.read()
        second = wire.request()

    assert (is_one_ticket(first), is_one_ticket(second)) == (True, True)


def test_point_22_a_client_that_expects_100_continue_gets_it(server: Server) -> None:
    with connected(server) as wire:
        wire.write(head(**{"content-length": str(len(MESSAGE)), "expect": "100-continue"}))
        interim = wire.socket.recv(4096)
        wire.write(MESSAGE)
        reply = wire.read()

    assert (interim.startswith(b"HTTP/1.1 100"), is_one_ticket(reply)) == (True, True)


def test_point_22_a_client_that_does_not_wait_for_100_continue_is_served(server: Server) -> None:
    with connected(server) as wire:
        wire.write(head(**{"content-length": str(len(MESSAGE)), "expect": "100-continue"}), MESSAGE)
        assert is_one_ticket(wire.read())
        assert is_one_ticket(wire.request())


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=UTF-8", "application/json;charset=utf-8", "application/json; charset=utf-16"],
)
def test_point_22_a_charset_is_taken(content_type: str, server: Server) -> None:
    """http.rb and .NET name it. Whatever they say, JSON between systems is UTF-8 (RFC 8259, section 8.1)."""
    assert is_one_ticket(post(server, MESSAGE, content_type=content_type))


@pytest.mark.parametrize("settings", ["AAMAAABkAAQCAAAAAAIAAAAA", ""])
def test_point_23_a_post_that_offers_an_upgrade_to_h2c_keeps_its_body(settings: str, server: Server) -> None:
    """As java.net.http.HttpClient asks. A server may ignore the offer, and with a body that is wise."""
    with connected(server) as wire:
        reply = wire.request(connection="Upgrade, HTTP2-Settings", upgrade="h2c", http2_settings=settings)

    assert is_one_ticket(reply)


@pytest.mark.parametrize("upgrade", ["websocket", "h2", "TLS/1.0"])
def test_any_other_upgrade_is_ignored(upgrade: str, server: Server) -> None:
    with connected(server) as wire:
        assert is_one_ticket(wire.request(connection="Upgrade", upgrade=upgrade))
        assert is_one_ticket(wire.request())


@pytest.mark.parametrize(
    "body", [MESSAGE, gzip.compress(MESSAGE), zlib.compress(MESSAGE)], ids=["plain", "gzip", "zlib"]
)
@pytest.mark.parametrize("label", [{}, {"content_encoding": "gzip"}, {"content_encoding": "deflate"}])
def test_point_18_a_body_is_inflated_whatever_its_label(body: bytes, label: dict[str, str], server: Server) -> None:
    """Elixir and Erlang compress always, Dru1X for PHP labels zlib as gzip."""
    assert is_one_ticket(post(server, body, **label))


@pytest.mark.parametrize("body", [HUNDRED, gzip.compress(HUNDRED)], ids=["plain", "gzip"])
def test_point_18_a_hundred_messages_of_some_4_kb_are_taken(body: bytes, server: Server) -> None:
    assert len(post(server, body).json()["data"]) == 100


# -- requests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["exp.host", "exp.host:443", "localhost", "anything.example:1", ""])
def test_point_20_any_host_is_served(host: str, server: Server) -> None:
    """ctwillie, the Laravel channel and hlspablo send exp.host whatever the base URL."""
    assert is_one_ticket(post(server, MESSAGE, host=host))


@pytest.mark.parametrize(
    "path",
    ["/--/api/v2//push/send", "//--/api/v2/push/send", "/--//api///v2/push//send", "/--/api/v2/push/send/", "//"],
)
def test_point_21_doubled_slashes_are_merged(path: str, server: Server) -> None:
    assert is_one_ticket(post(server, MESSAGE, path))


def test_point_21_doubled_slashes_before_get_receipts_are_merged(server: Server) -> None:
    """As the Python SDK does with a host that ends in a slash."""
    assert post(server, b'{"ids":[]}', "//--/api/v2/push/getReceipts").body == b'{"data":{}}'


@pytest.mark.parametrize("query", ["?useFcmV1=true", "?useFcmV1=false", "?useFcmV1=1", "?", "?a=b&a=c&%ff", "?//"])
def test_point_12_the_query_is_ignored(query: str, server: Server) -> None:
    assert is_one_ticket(post(server, MESSAGE, SEND + query))


def test_point_26_a_post_to_the_root_sends(server: Server) -> None:
    """Symfony's notifier drops the path when its DSN names a host. It wants one ticket as an object."""
    reply = post(server, {"to": TOKEN, "body": "x"}, "/")

    assert reply.json()["data"]["status"] == "ok"


@pytest.mark.parametrize("authorization", ["Bearer x", "Bearer ", "Basic dTpw", "nonsense"])
@pytest.mark.parametrize("path", [SEND, GET_RECEIPTS])
def test_point_27_any_authorization_is_ignored(path: str, authorization: str, server: Server) -> None:
    body = MESSAGE if path == SEND else b'{"ids":[]}'

    assert post(server, body, path, authorization=authorization).status == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", [SEND, GET_RECEIPTS, "/", "/--/api/v2/push", "/favicon.ico"])
def test_another_method_or_path_is_not_found_in_expos_words(method: str, path: str, server: Server) -> None:
    with connected(server) as wire:
        reply = wire.request(path, method=method)

    assert (reply.status, reply.error["code"]) == (404, "NOT_FOUND")


def test_a_head_request_has_no_body_and_does_not_confuse_the_next(server: Server) -> None:
    with connected(server) as wire:
        wire.write(head(method="HEAD"))
        raw = wire.socket.recv(65536)
        assert (raw[:12], raw.partition(b"\r\n\r\n")[2]) == (b"HTTP/1.1 404", b"")
        assert is_one_ticket(wire.request())


def test_a_target_in_absolute_form_is_served(server: Server) -> None:
    """RFC 9112, section 3.2.2: a server must accept it; HTTP proxies pass it on."""
    assert is_one_ticket(post(server, MESSAGE, f"http://exp.host{SEND}"))


def test_headers_beyond_reason_are_refused(server: Server) -> None:
    with connected(server) as wire:
        reply = wire.request(x_padding="x" * 100_000)
        closed = wire.is_closed()

    assert (reply.status in (400, 431), closed) == (True, True)


# -- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wanted", ["gzip, deflate", "gzip", "deflate", "br, zstd, gzip", "false", "true", "*", "identity;q=0", ""]
)
def test_point_19_answers_are_never_compressed(wanted: str, server: Server) -> None:
    """Kotlin and Erlang clients name gzip and do not inflate; the Ruby one sends the words true and false."""
    reply = post(server, [{"to": TOKEN}] * 100, accept_encoding=wanted)

    assert (reply.status, reply.headers.get("content-encoding"), len(reply.json()["data"])) == (200, None, 100)


@pytest.mark.parametrize("accept", ["application/json", "*/*", "text/html", "application/xml;q=0.1", ""])
def test_point_19_accept_is_not_asked_for(accept: str, server: Server) -> None:
    assert is_one_ticket(post(server, MESSAGE, accept=accept))


def test_point_25_answers_are_compact(server: Server) -> None:
    """solvecrew for Symfony reads 1,024 bytes: fifteen tickets."""
    reply = post(server, [{"to": TOKEN}] * 15)

    assert b" " not in reply.body
    assert reply.body == json.dumps(reply.json(), separators=(",", ":")).encode()


def test_answers_have_a_length_and_are_not_chunked(server: Server) -> None:
    reply = post(server, MESSAGE)

    assert (reply.headers["content-length"], "transfer-encoding" in reply.headers) == (str(len(reply.body)), False)


def test_an_answer_names_neither_its_server_nor_another_protocol(server: Server) -> None:
    assert {"server", "alt-svc"} & post(server, MESSAGE).headers.keys() == set()


def test_twelve_connections_at_once_are_served(server: Server) -> None:
    """Point 28: six at a time is what every SDK opens; here two of them."""
    with ExitStack() as stack:
        wires = [stack.enter_context(connected(server)) for _ in range(12)]
        for wire in wires:
            wire.write(head(**{"content-length": str(len(MESSAGE))}), MESSAGE)

        assert all(is_one_ticket(wire.read()) for wire in wires)
