"""The certificate in a request's headers: one spelling of each proxy, and nothing else."""

from __future__ import annotations

import base64
from typing import Final
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.authority.certificate_header import (
    CertificateMalformed,
    CertificateMissing,
    certificate_of,
)

DER: Final = bytes(range(256)) * 3 + b"!"  # base64 of it has plus signs and slashes
OTHER: Final = b"other" * 40
NAMES: Final = ("client-cert", "x-ssl-client-cert", "x-forwarded-client-cert")


def pem(der: bytes = DER, end: str = "\n") -> str:
    text = base64.b64encode(der).decode()
    lines = [text[n : n + 64] for n in range(0, len(text), 64)]
    return end.join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])


def client_cert(der: bytes = DER) -> str:
    return f":{base64.b64encode(der).decode()}:"


def escaped(der: bytes = DER) -> str:
    return quote(pem(der), safe="")


def element(der: bytes = DER) -> str:
    return f'By=spiffe://a;Hash=aa;Cert="{escaped(der)}";Subject="CN=beta";URI=mosaic://grant/1'


def read(*headers: tuple[str, str]) -> bytes:
    return certificate_of([(name.encode(), value.encode("latin-1")) for name, value in headers])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("client-cert", client_cert()),
        ("x-ssl-client-cert", escaped()),
        ("x-ssl-client-cert", quote(pem(), safe="+/=")),  # as a load balancer of AWS escapes
        ("x-ssl-client-cert", quote(pem(end="\r\n"), safe="")),
        ("x-ssl-client-cert", quote(pem().strip(), safe="")),
        ("x-forwarded-client-cert", element()),
        ("x-forwarded-client-cert", f"{element(OTHER)},{element()}"),
        ("x-forwarded-client-cert", f"By=a, {element()}"),
        ("x-forwarded-client-cert", f'{element()};Chain="{escaped(OTHER)}"'),
        ("x-forwarded-client-cert", f'Subject="CN=\\"a\\",Cert=b;O=x\\, y";Cert="{escaped()}"'),
    ],
)
def test_the_spelling_of_a_proxy_gives_the_certificate(name: str, value: str) -> None:
    assert read(("host", "a"), (name, value), ("accept", "*/*")) == DER


def test_no_header_is_a_missing_certificate() -> None:
    for headers in ([], [("client-cert-chain", client_cert())], [("x_ssl_client_cert", escaped())]):
        with pytest.raises(CertificateMissing):
            read(*headers)


@pytest.mark.parametrize("first", NAMES)
@pytest.mark.parametrize("second", NAMES)
@pytest.mark.parametrize("value", ["", None])
def test_two_headers_are_refused_even_if_one_is_empty(
    first: str, second: str, value: str | None
) -> None:
    spelled = dict(zip(NAMES, (client_cert(), escaped(), element()), strict=True))
    with pytest.raises(CertificateMalformed, match="expected 1"):
        read((first, spelled[first]), (second, spelled[second] if value is None else value))


B64: Final = base64.b64encode(DER).decode()


@pytest.mark.parametrize(
    "value",
    [
        *("", ":", "::", B64, f":{B64}", f"{B64}:", f":{B64}:;a=1", f":{B64}:, :{B64}:"),
        *(f":{B64[:-1]}:", f":{B64[:9]} {B64[9:]}:", f":{B64[:9]}%2B{B64[10:]}:", f'"{B64}"'),
        *(f":{B64.replace('+', '-')}:", f":{B64}====:", ":é:", f":{pem()}:"),
    ],
)
def test_what_is_no_byte_sequence_is_refused(value: str) -> None:
    with pytest.raises(CertificateMalformed, match="client-cert cannot be read"):
        read(("client-cert", value))


PEM_TEXTS: Final = [
    *("", "a", pem().replace("\n", "\n\t"), pem().replace("\n", " "), pem().replace("\n", "")),
    *(pem() + pem(OTHER), f"x\n{pem()}", f"{pem()}x", f"\n{pem()}", pem().replace("END", "BEGIN")),
    pem().replace("CERTIFICATE", "TRUSTED CERTIFICATE"),
    pem().replace("BEGIN CERTIFICATE-----\n", "BEGIN CERTIFICATE-----\nProc-Type: 4\n\n"),
    pem().replace("=", ""),
    pem()[:70] + "\n=\n" + pem()[71:],
    pem() + "\0",
]


@pytest.mark.parametrize("text", PEM_TEXTS)
@pytest.mark.parametrize("name", ["x-ssl-client-cert", "x-forwarded-client-cert"])
def test_what_is_not_one_pem_certificate_is_refused(name: str, text: str) -> None:
    value = quote(text, safe="")
    with pytest.raises(CertificateMalformed, match=f"{name} cannot be read"):
        read((name, value if name == "x-ssl-client-cert" else f'Cert="{value}"'))


@pytest.mark.parametrize(
    "value",
    [
        quote(quote(pem(), safe=""), safe=""),
        escaped().replace("%20", "+"),
        escaped().replace("%0A", "%0"),
        escaped().replace("%0A", "%u000A"),
        escaped().replace("%20", " "),
        escaped() + "%",
        escaped() + "%C3%A9",
        pem().replace("\n", " "),
        escaped().replace("M", "é", 1),
    ],
)
def test_what_is_escaped_in_another_way_is_refused(value: str) -> None:
    with pytest.raises(CertificateMalformed):
        read(("x-ssl-client-cert", value))


@pytest.mark.parametrize(
    "before",
    [
        f'Cert="{escaped(OTHER)}";By="',  # an open quote takes in what the next proxy adds
        f'Cert="{escaped(OTHER)}";By="a\\',
        f'Cert="{escaped(OTHER)}";By=a"',
        f'Cert="{escaped(OTHER)}";By="a\\\\"',
        f'Cert="{escaped(OTHER)}";By="a"b',
        f"Cert={escaped(OTHER)};=",
    ],
)
@pytest.mark.parametrize(
    "after", [element(), f'Subject="";{element()}', f'Subject="CN=a";Cert="{escaped()}"']
)
def test_a_client_cannot_hide_what_the_nearest_proxy_adds(before: str, after: str) -> None:
    with pytest.raises(CertificateMalformed):
        read(("x-forwarded-client-cert", f"{before},{after}"))


@pytest.mark.parametrize(
    "value",
    [
        *("", ",", "Cert", "Cert=", 'Cert=""', "By=a", f"{element()},By=a", f"{element()},"),
        *(f"{element()};", f",{element()}", f'Cert="{escaped()}";Cert="{escaped(OTHER)}"'),
        *(f'cert="{escaped()}"', f"Cert='{escaped()}'", f'Cert = "{escaped()}"'),
        *(f'{element()}"', f'Cert="{escaped()}', f'X="{element()}"'),
    ],
)
def test_what_is_no_element_with_one_certificate_at_the_end_is_refused(value: str) -> None:
    with pytest.raises(CertificateMalformed):
        read(("x-forwarded-client-cert", value))


@given(st.text(st.sampled_from('Cert="\\,;= aH%'), max_size=40))
def test_whatever_a_client_sends_first_the_last_certificate_counts(prefix: str) -> None:
    value = f"{prefix},{element()}".encode()
    try:
        der = certificate_of([(b"x-forwarded-client-cert", value)])
    except CertificateMalformed:
        return
    assert der == DER
