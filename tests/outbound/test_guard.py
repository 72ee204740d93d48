"""Does the guard refuse every way we know to smuggle a request to where it must not go, and let honest targets through?"""

from ipaddress import ip_network

import pytest

from portal.outbound.guard import Blocked, Reach, check_address, check_url, parse_host

pytestmark = pytest.mark.once

PUBLIC = Reach()
PRIVATE = Reach(private=True)

# --- The corpus: every URL here must end at the guard, by its spelling or by its address ------------------------------
REFUSED_BY_SPELLING = [
    # IPv4 in the spellings that only some parsers understand
    *("127.1", "127.0.1", "0177.0.0.1", "0177.1", "0x7f.1", "0x7f.0.0.1", "0x7f000001", "0X7F000001", "2130706433"),
    *("017700000001", "0", "00", "0x0", "0x", "0.0", "127.0.0.1.", "127.000.000.001", "127.0.0.01", "10.0.0.010"),
    *("192.168.257", "3232235777", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376", "169.254.43518", "256.1.1.1"),
    *("1.2.3.4.5", "127.0.0.1.2", "4294967295", "4294967296", "18446744071562067969", "127.0.0.0x1", "x.0x1", "a.123"),
    *("127..0.1", "127.0.0.-1", "+127.0.0.1", "x.00"),
    # characters that compatibility mapping turns into digits, dots or letters
    *("①②⑦.⓪.⓪.①", "①②⑦.0.0.1", "１２７.0.0.1", "127。0。0。1", "127．0．0．1", "127｡0｡0｡1", "1２7.0.0.1", "¹²⁷.0.0.1"),
    *(
        "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
        "ｌｏｃａｌｈｏｓｔ",
        "ℓocalhost",
        "locaⅼhost",
        "lﬁ.example",
        "example．com",
        "example。com",
        "㎞.example",
    ),
    *("𝟏𝟐𝟕.0.0.1", "𝐥𝐨𝐜𝐚𝐥𝐡𝐨𝐬𝐭", "١٢٧.0.0.1", "१२७.०.०.१", "\u212aube.example", "ſtaging.example"),
    # IPv6 with something on it
    *("[fe80::1%25eth0]", "[fe80::1%eth0]", "[::1%lo]", "[::1]x", "[::1", "::1", "[127.0.0.1]", "[localhost]", "[]"),
    *("[::1]]", "[[::1]]", "[:::1]", "[::ffff:127.1]", "[::ffff:0x7f.0.0.1]", "[v1.fe80::a]", "[1:2:3:4:5:6:7:8:9]"),
    # a second host hiding behind user info, backslash, white space or control characters
    *(
        "example.com@127.0.0.1",
        "user:pass@127.0.0.1",
        "@127.0.0.1",
        "127.0.0.1@",
        "a.com\\@127.0.0.1",
        "127.0.0.1\\.a.com",
    ),
    *(
        "a.com%40127.0.0.1",
        "127.0.0.1%00.a.com",
        "a.com%2f@127.0.0.1",
        "%31%32%37.0.0.1",
        "loc%61lhost",
        "a.com%0d%0aX:1",
    ),
    *(
        "127.0.0.1\t.a.com",
        "a.com\t@127.0.0.1",
        "127.0.0.1\n.a.com",
        "a.com\r\nHost: b",
        "127.0.0.1\x00.a.com",
        " 127.0.0.1",
    ),
    *(
        "127.0.0.1 ",
        "a.com b.com",
        "a\u200b.com",
        "local\u00adhost",
        "a\u2028.com",
        "a\u0085.com",
        "a\x0b.com",
        "a\ufeff.com",
    ),
    *("a\u202e.com", "a.com;127.0.0.1", "a.com,127.0.0.1", "a.com&@127.0.0.1", "$(id).a.com", "`id`.a.com", "a|b.com"),
    # not names at all
    *(
        "",
        ".",
        "..",
        ".a.com",
        "a..com",
        "-a.com",
        "a-.com",
        "--help",
        "*",
        "*.a.com",
        "a" * 64 + ".com",
        "a." * 127 + "com",
    ),
    *("a.com..", "a!b.com", "a'b.com", "{a}.com", "<a>.com", "a~b.com", "😀.example", "\u0301a.example"),
    # ports
    *(
        "127.0.0.1:0",
        "a.com:",
        "a.com:65536",
        "a.com:99999",
        "a.com:-1",
        "a.com:+80",
        "a.com:80:80",
        "a.com:８０",
        "a.com:0x50",
    ),
    *("a.com:80a", "a.com: 80", "a.com:٨٠", "127.0.0.1:22:80", "[::1]:", "[::1]:0"),
]

OTHER_URLS = [
    *("file:///etc/passwd", "gopher://127.0.0.1:6379/_x", "dict://127.0.0.1:11211/", "ftp://a.com/", "ws://a.com/"),
    *(
        "javascript:alert(1)",
        "data:text/plain,x",
        "http:a.com",
        "http:/a.com",
        "http:///a.com",
        "//a.com/",
        "a.com",
        "http:",
    ),
    *(
        "http://",
        "https://?x",
        "http://#a",
        "http+unix://%2Fvar%2Frun%2Fdocker.sock/",
        "ldap://a.com",
        "\nhttp://a.com",
    ),
    *(
        " http://a.com",
        "http://a.com/a b",
        "http://a.com/\r\nX: y",
        "http://a.com/\x7f",
        "http://a.com/\\..\\x",
        "ht\ttp://a.com",
    ),
    *(
        "http:\\\\a.com",
        "http:/\\a.com",
        "http://a.com/\u2028",
        "jar:http://a.com!/",
        "netdoc:///etc/passwd",
        "http\u2024://a",
    ),
]

REFUSED_BY_ADDRESS = [
    # this machine, and the networks around it
    *(
        "0.0.0.0",
        "0.1.2.3",
        "127.0.0.1",
        "127.0.0.53",
        "127.255.255.254",
        "169.254.169.254",
        "169.254.0.1",
        "169.254.170.2",
    ),
    *("10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255", "100.64.0.1"),
    *("100.100.100.200", "100.127.255.255", "168.63.129.16", "192.0.0.1", "192.0.0.192", "192.0.0.9", "192.0.2.1"),
    *("192.88.99.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.7", "224.0.0.1", "239.255.255.250"),
    *("240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::2", "::127.0.0.1", "::7f00:1", "::10.0.0.1", "::8.8.8.8", "0:0:0:0:0:0:0:1"),
    *("fe80::1", "febf::1", "fec0::1", "feff::1", "fc00::1", "fd00::1", "fd00:ec2::254", "fd20:ce::254", "fdff::1"),
    *(
        "ff02::1",
        "ff0e::1",
        "100::1",
        "100:0:0:1::1",
        "2001::1",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "2001:db8::1",
        "3fff::1",
    ),
    *("5f00::1", "4000::1", "8000::1", "e000::1"),
    # IPv4 inside IPv6
    *(
        "::ffff:127.0.0.1",
        "::ffff:7f00:1",
        "0:0:0:0:0:ffff:7f00:1",
        "::ffff:169.254.169.254",
        "::ffff:10.0.0.1",
        "::ffff:0.0.0.0",
    ),
    *("::ffff:0:127.0.0.1", "::ffff:0:10.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe"),
    *("64:ff9b::10.0.0.1", "64:ff9b:1::127.0.0.1", "64:ff9b:1:7f00:0:100::", "64:ff9b:1:a00:0:100::", "2002:7f00:1::"),
    *(
        "2002:a00:1::1",
        "2002:c0a8:101::1",
        "2002:a9fe:a9fe::",
        "2001:0:7f00:1::1",
        "2a00::5efe:127.0.0.1",
        "2a00::200:5efe:10.0.0.1",
    ),
    # what a resolver might hand over if it were made to
    *("127.1", "0x7f.1", "fe80::1%eth0", "::1%lo", "localhost", "", "1.2.3.4/32", "not an address"),
]

CORPUS_SIZE = len(REFUSED_BY_SPELLING) + len(OTHER_URLS) + len(REFUSED_BY_ADDRESS)


def test_the_corpus_is_as_large_as_promised() -> None:
    assert CORPUS_SIZE >= 150
    for cases in (REFUSED_BY_SPELLING, OTHER_URLS, REFUSED_BY_ADDRESS):
        assert len(set(cases)) == len(cases)


@pytest.mark.parametrize("authority", REFUSED_BY_SPELLING, ids=ascii)
def test_a_host_that_could_be_read_two_ways_is_refused(authority: str) -> None:
    for url in (f"http://{authority}/", f"https://{authority}/path?x=1#f", f"http://{authority}"):
        with pytest.raises(ValueError, match=r"\.\Z"):  # a sentence
            check_url(url)


@pytest.mark.parametrize("url", OTHER_URLS, ids=ascii)
def test_a_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"\.\Z"):
        check_url(url)


@pytest.mark.parametrize("address", REFUSED_BY_ADDRESS, ids=ascii)
def test_an_address_that_is_not_public_is_blocked(address: str) -> None:
    with pytest.raises(Blocked) as caught:
        check_address(address, PUBLIC)
    assert caught.value.address == address
    assert caught.value.reason
    if address:
        assert address not in str(caught.value)  # a name must not be a way to ask what our own DNS says


@pytest.mark.parametrize(
    "host", [h for h in REFUSED_BY_SPELLING if ":" not in h and "[" not in h and "@" not in h], ids=ascii
)
def test_the_other_kinds_of_monitor_refuse_the_same_hosts(host: str) -> None:
    with pytest.raises(ValueError, match=r"\.\Z"):
        parse_host(host)


@pytest.mark.parametrize("host", ["fe80::1%eth0", "[::1]", "::ffff:127.1", "1:2", "a:80", "127.0.0.1:80", "::1]"])
def test_a_bare_host_takes_only_plain_ipv6(host: str) -> None:
    with pytest.raises(ValueError):
        parse_host(host)


# --- Honest targets ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "93.184.216.34", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.167.1.1"]
    + ["169.253.1.1", "223.255.255.255", "198.17.0.1", "2606:4700:4700::1111", "2a00:1450::1", "2001:4860:4860::8888"]
    + ["::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "64:ff9b:1::8.8.8.8", "2002:808:808::1"],
)
def test_public_addresses_are_reachable(address: str) -> None:
    check_address(address, PUBLIC)


@pytest.mark.parametrize("address", ["10.1.2.3", "172.16.9.9", "192.168.1.1", "fd12:3456::1", "::ffff:10.0.0.1"])
def test_a_private_probe_reaches_private_ranges(address: str) -> None:
    check_address(address, PRIVATE)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "::1", "169.254.169.254", "fe80::1", "100.64.0.1", "168.63.129.16", "fd00:ec2::254", "224.0.0.1"]
    + ["0.0.0.0", "::ffff:127.0.0.1", "100.100.100.200", "fd20:ce::254", "192.0.2.1", "64:ff9b::7f00:1", "2001::1"],
)
def test_private_does_not_open_the_rest(address: str) -> None:
    with pytest.raises(Blocked):
        check_address(address, PRIVATE)


def test_allow_opens_exactly_what_it_names() -> None:
    reach = Reach(allow=(ip_network("127.0.0.1/32"), ip_network("fd00:ec2::254/128")))
    check_address("127.0.0.1", reach)
    check_address("::ffff:127.0.0.1", reach)  # the kernel dials 127.0.0.1
    check_address("fd00:ec2::254", reach)
    for other in ("127.0.0.2", "::1", "10.0.0.1", "fd00:ec2::253"):
        with pytest.raises(Blocked):
            check_address(other, reach)


def test_deny_closes_what_would_be_open() -> None:
    reach = Reach(
        allow=(ip_network("10.0.0.0/8"),), private=True, deny=(ip_network("10.0.0.5/32"), ip_network("9.9.9.9/32"))
    )
    check_address("10.0.0.6", reach)
    for own in ("10.0.0.5", "9.9.9.9", "::ffff:10.0.0.5"):
        with pytest.raises(Blocked):
            check_address(own, reach)
    with pytest.raises(Blocked):
        check_address("64:ff9b::9.9.9.9", reach)


def test_the_refusal_names_the_cure() -> None:
    with pytest.raises(Blocked, match="private probe") as private:
        check_address("192.168.1.1", PUBLIC)
    assert private.value.reason == "private"
    with pytest.raises(Blocked, match="OUTBOUND_ALLOW"):
        check_address("127.0.0.1", PUBLIC)
    with pytest.raises(Blocked, match="cloud metadata"):
        check_address("::ffff:169.254.169.254", PUBLIC)


@pytest.mark.parametrize(
    ("host", "form"),
    [
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        ("a_b.example.com", "a_b.example.com"),
        ("_dmarc.example.com", "_dmarc.example.com"),
        ("localhost", "localhost"),
        ("web1", "web1"),
        ("1and1.com", "1and1.com"),
        ("3com", "3com"),
        ("0x7f.example", "0x7f.example"),
        ("a" * 63 + ".com", "a" * 63 + ".com"),
        ("192.0.2.7", "192.0.2.7"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("straße.de", "xn--strae-oqa.de"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
        ("пример.рф", "xn--e1afmkfd.xn--p1ai"),
        ("مثال.إختبار", "xn--mgbh0fb.xn--kgbechtv"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ],
)
def test_one_form_for_every_host(host: str, form: str) -> None:
    assert parse_host(host) == form
    assert parse_host(form) == form


@pytest.mark.parametrize(
    ("url", "normal", "port"),
    [
        ("http://example.com", "http://example.com/", 80),
        ("HTTPS://Example.com:443/a?b=c#d", "https://example.com/a?b=c", 443),
        ("http://example.com:8080?x", "http://example.com:8080/?x", 8080),
        ("https://example.com:80/", "https://example.com:80/", 80),
        ("http://[2001:DB8::1]:81/x", "http://[2001:db8::1]:81/x", 81),
        ("http://192.0.2.7/a@b:c", "http://192.0.2.7/a@b:c", 80),
        ("http://example.com/ü?q=ä", "http://example.com/%C3%BC?q=%C3%A4", 80),
        ("http://example.com/%41%zz", "http://example.com/%41%zz", 80),
        ("http://bücher.example/", "http://xn--bcher-kva.example/", 80),
        ("http://example.com./", "http://example.com/", 80),
        ("http://example.com/a?u=http://127.0.0.1/", "http://example.com/a?u=http://127.0.0.1/", 80),
    ],
)
def test_a_good_url_gets_one_normal_form(url: str, normal: str, port: int) -> None:
    split = check_url(url)
    assert (split.url, split.port) == (normal, port)
    assert check_url(split.url) == split


def test_other_schemes_when_the_caller_says_so() -> None:
    split = check_url("smtp://mail.example.com:587", schemes=("smtp",))
    assert (split.host, split.port) == ("mail.example.com", 587)
    with pytest.raises(ValueError, match="needs a port"):
        check_url("smtp://mail.example.com", schemes=("smtp",))
    with pytest.raises(ValueError, match="Only smtp URLs"):
        check_url("http://example.com", schemes=("smtp",))


def test_a_url_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        check_url("http://example.com/" + "a" * 9000)
