"""Every way to spell an inward address is refused; the outward one beside it is not."""

import pytest

from safeconduct.core.machines import is_this_machine
from safeconduct.egress.addresses import Reach, literal

INWARD = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "100.127.255.255",
    "100.100.100.200",
    "169.254.169.254",
    "168.63.129.16",
    "192.0.0.192",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.7",
    "192.88.99.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:a9fe:a9fe",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "2001:10::1",
    "3fff::1",
    "100::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1111%1",
    "fec0::1",
    "ff02::1",
    "5f00::1",
]
OUTWARD = [
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.0.1",
    "172.32.0.1",
    "168.63.129.17",
    "192.169.0.1",
    "169.253.0.1",
    "223.255.255.1",
    "2606:4700:4700::1111",
    "::ffff:1.1.1.1",
    "64:ff9b::101:101",
    "2002:101:101::1",
]


@pytest.mark.requirement("P-24", "SEC-21")
@pytest.mark.parametrize("address", INWARD)
def test_no_inward_address_is_permitted(address: str) -> None:
    assert not Reach().permits(address)


@pytest.mark.requirement("P-24", "SEC-21")
@pytest.mark.parametrize("address", OUTWARD)
def test_public_addresses_are_permitted_and_are_not_local(address: str) -> None:
    assert Reach().permits(address)
    assert not Reach(allow_loopback=True, allow_private=True).is_local(address)


@pytest.mark.parametrize("address", ["", "localhost", "127.1", "2130706433", "0x7f.0.0.1", "[::1]"])
def test_what_is_not_an_address_is_not_permitted(address: str) -> None:
    assert not Reach(allow_loopback=True, allow_private=True).permits(address)


@pytest.mark.requirement("P-24", "SEC-27")
@pytest.mark.parametrize(
    "address", ["10.1.2.3", "172.20.0.1", "192.168.0.9", "100.64.1.1", "fd12::1", "::ffff:10.0.0.1"]
)
def test_private_networks_open_with_their_own_switch_only(address: str) -> None:
    assert Reach(allow_private=True).permits(address)
    assert not Reach(allow_loopback=True).permits(address)


@pytest.mark.requirement("SEC-20")
@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_loopback_opens_with_its_own_switch_only(address: str) -> None:
    assert Reach(allow_loopback=True).permits(address)
    assert not Reach(allow_private=True).permits(address)


@pytest.mark.requirement("P-24")
@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "100.100.100.200",
        "fd00:ec2::254",
        "168.63.129.16",
        "0.0.0.0",
        "64:ff9b::a00:1",
        "2002:a00:1::1",
        "fe80::1",
    ],
)
def test_no_switch_opens_metadata_services_or_tunnels_inward(address: str) -> None:
    assert not Reach(allow_loopback=True, allow_private=True).permits(address)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("example.com", None),
        ("0x7f.example", None),
        ("10.example", None),
        ("dead", None),
    ],
)
def test_a_host_part_is_an_address_or_a_name(host: str, address: str | None) -> None:
    assert literal(host) == address


@pytest.mark.requirement("SEC-21")
@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "127.1",
        "127.0.1",
        "0177.0.0.1",
        "127.0.0.0x1",
        "127.0.0.1.",
        "1.2.3.4.5",
        "example.1",
        "256.0.0.1",
        "fe80::1%eth0",
        "::g",
    ],
)
def test_odd_spellings_of_addresses_are_refused(host: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        literal(host)


def test_this_machine_is_recognised_by_name_and_address_but_not_by_resemblance() -> None:
    assert is_this_machine("localhost")
    assert is_this_machine("127.0.0.1")
    assert not is_this_machine("localhost.example.com")
    assert not is_this_machine("127.1")
