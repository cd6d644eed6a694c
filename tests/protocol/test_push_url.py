import pytest

from expo_gateway.protocol.push_url import PushUrl, read_allowed, read_push_url, why_refused

NOBODY = read_allowed(())
SOMEWHERE = read_push_url("https://push.example.com/a")


def test_a_push_url_is_taken_apart() -> None:
    assert read_push_url("https://Push.Example.com/a/b?c=d#e") == PushUrl(
        is_tls=True, host="push.example.com", port=443, target="/a/b?c=d"
    )
    assert read_push_url("http://[::1]:8080") == PushUrl(is_tls=False, host="::1", port=8080, target="/")


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("https://a.example/x", "a.example"),
        ("http://a.example:8123/x", "a.example:8123"),
        ("http://[::1]/x", "[::1]"),
        ("https://[::1]:80/x", "[::1]:80"),
    ],
)
def test_the_authority_is_what_stands_in_the_host_header(url: str, authority: str) -> None:
    assert read_push_url(url).authority == authority


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "http://",
        "http:///path",
        "http://user@example.com/",
        "http://user:password@example.com/",
        "http://example.com:99999/",
        "http://example.com:x/",
        "http://exa mple.com/",
        "http://example.com/\r\nHost: other",
        "http://ex%61mple.com/",
        "http://[::1/",
        "http://bücher.example/",
        "http://example.com/" + "x" * 2048,
    ],
)
def test_what_is_no_push_url_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ValueError, match=r"^(is|has|begins)") as refused:
        read_push_url(url)

    assert not url or url not in str(refused.value)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::"),
        *("10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd00::1", "198.18.0.1"),
        *("169.254.169.254", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "fec0::1"),
        *("224.0.0.1", "239.1.1.1", "ff02::1", "255.255.255.255", "240.0.0.1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe"),
        *("2002:7f00:1::", "2001:0:1::1", "192.0.2.1", "2001:db8::1", "no address"),
    ],
)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert why_refused(SOMEWHERE, address, NOBODY, stays_in=False)


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f::1", "::ffff:93.184.215.14", "64:ff9b::5db8:d70e"])
def test_a_public_address_is_not_refused(address: str) -> None:
    assert why_refused(SOMEWHERE, address, NOBODY, stays_in=False) == ""


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("10.0.0.0/8", "10.1.2.3"),
        ("10.1.2.3", "10.1.2.3"),
        ("10.0.0.0/8", "::ffff:10.1.2.3"),
        ("fd00::/8", "fd00::1"),
        ("push.example.com", "192.168.1.1"),
        ("PUSH.example.com:443", "127.0.0.1"),
    ],
)
def test_what_the_operator_allows_is_not_refused(entry: str, address: str) -> None:
    assert why_refused(SOMEWHERE, address, read_allowed([entry]), stays_in=False) == ""
    assert why_refused(SOMEWHERE, address, read_allowed([entry]), stays_in=True) == ""


@pytest.mark.parametrize("entry", ["push.example.com:444", "example.com", "11.0.0.0/8", "fd00::/8"])
def test_what_is_allowed_is_that_host_port_or_network_and_no_other(entry: str) -> None:
    assert why_refused(SOMEWHERE, "10.0.0.1", read_allowed([entry]), stays_in=False)


def test_from_an_emulator_nothing_leaves_the_machine() -> None:
    assert why_refused(SOMEWHERE, "127.0.0.1", NOBODY, stays_in=True) == ""
    assert "emulator" in why_refused(SOMEWHERE, "93.184.215.14", NOBODY, stays_in=True)


@pytest.mark.parametrize(
    "entry", ["", "a b", "example.com:x", "example.com:70000", "http://example.com", "10.0.0.0/40"]
)
def test_an_entry_that_allows_nothing_is_a_mistake(entry: str) -> None:
    with pytest.raises(ValueError, match=r"\[1\]: got"):
        read_allowed(["localhost", entry])
