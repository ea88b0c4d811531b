"""`init` reads flags and variables as every command does, and a later run needs none of them."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.config.home import Home
from reconciler.embedded.destroy import destroy_home
from tests.support.commands.in_process import Quick
from tests.support.commands.process import COMMAND
from tests.support.gateways.home import as_root, open_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as folder:
        try:
            yield folder
        finally:
            for home in list(folder.rglob(".mosaic")):
                destroy_home(Home(home))


def stored(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / ".mosaic" / "mosaic.toml").read_text())


GIVEN = {
    "MOSAIC_PUBLIC_URL": "https://Müller.example:8443",
    "MOSAIC_LISTEN": "127.0.0.1:28443",
    "MOSAIC_OID_ARC": "1.3.6.1.4.1.55555",
    "MOSAIC_CA_URL": "https://127.0.0.1:29443",
    "MOSAIC_SOURCE": "declared",
    "MOSAIC_PRIVATE_LISTEN": "127.0.0.1:30443",
    "MOSAIC_RATE_LIMIT": "10/s",
    "MOSAIC_ALLOW_ADDRESSES": "10.0.0.0/8,::1/128",
    "MOSAIC_KEYRING": "sealing",
    "MOSAIC_TOKEN_PEPPER_FILE": "secret/pepper",
    "MOSAIC_CA_PROVISIONERS": "ours",
}


def test_init_writes_what_variables_set_and_makes_a_gateway_of_it(folder: Path) -> None:
    mosaic = Quick(folder)
    made = mosaic.ok("init", **GIVEN)
    assert "put manifests into declared/" in made.out
    assert made.err.startswith(f"creating a gateway in {folder / '.mosaic'}: ")
    assert "warning" in made.err
    assert "port 8443, and the gateway listens on port 28443" in made.err
    assert stored(folder) == {
        "public_url": "https://xn--mller-kva.example:8443",
        "listen": "127.0.0.1:28443",
        "oid_arc": "1.3.6.1.4.1.55555",
        "ca_url": "https://127.0.0.1:29443",
        "source": "declared",
        "private_listen": "127.0.0.1:30443",
        "rate_limit": "10/s",
        "allow_addresses": "10.0.0.0/8,::1/128",
        "keyring": "sealing",
        "token_pepper_file": "secret/pepper",
        "ca_provisioners": "ours",
    }
    config = json.loads((folder / ".mosaic/ca/ca.json").read_text())
    assert config["address"] == "127.0.0.1:29443"
    assert config["crl"]["idpURL"].startswith("https://xn--mller-kva.example:8443/federation/v1/")
    for each in ("sealing/primary", "secret/pepper", "ours/peers.json", "ours/gateway.json"):
        assert (folder / each).is_file(), each
    states = {each["check"]: each["state"] for each in mosaic.document("doctor")}
    assert set(states.values()) == {"ok", "warning"}
    assert {name for name, state in states.items() if state != "ok"} == {
        "listen",
        "gateway",
        "root key",
    }


def test_a_flag_of_init_wins_over_a_variable(folder: Path) -> None:
    Quick(folder).ok(
        "init", "--public-url", "https://a.example", MOSAIC_PUBLIC_URL="https://b.example"
    )
    assert stored(folder)["public_url"] == "https://a.example"


def test_what_is_not_set_fits_what_is(folder: Path) -> None:
    mosaic = Quick(folder)
    mosaic.ok("init", MOSAIC_LISTEN="0.0.0.0:28444")
    assert stored(folder)["public_url"] == "https://127.0.0.1:28444"
    mosaic.ok("init", "--home", "two/.mosaic", MOSAIC_PUBLIC_URL="https://b.example:28445")
    assert stored(folder / "two")["listen"] == "127.0.0.1:28445"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MOSAIC_DATABASE_URL", "postgresql://somewhere/else"),
        ("MOSAIC_CA_ROOT", "root.crt"),
        ("MOSAIC_PUBLIC_URL", "https://*.example"),
        ("MOSAIC_LISTEN", "nowhere"),
        ("MOSAIC_LISTEN", "a b:80"),
        ("MOSAIC_OID_ARC", "1.40.1"),
        ("MOSAIC_LISTNE", "127.0.0.1:1"),
    ],
)
@pytest.mark.parametrize("verb", ["init", "up"])
def test_a_setting_that_no_home_can_have_is_refused_before_anything_is_made(
    folder: Path, verb: str, variable: str, value: str
) -> None:
    done = Quick(folder)(verb, **{variable: value})
    assert done.code == 78, done.err
    assert variable in done.err
    assert list(folder.iterdir()) == []


def test_another_url_or_arc_than_the_complete_home_has_is_refused(folder: Path) -> None:
    mosaic = Quick(folder)
    mosaic.ok("init", MOSAIC_PUBLIC_URL="https://A.example")
    before = (folder / ".mosaic/mosaic.toml").read_bytes()
    mosaic.ok("init", MOSAIC_PUBLIC_URL="https://a.example:443/")
    for variables in (
        {"MOSAIC_PUBLIC_URL": "https://b.example"},
        {"MOSAIC_OID_ARC": "1.2.3"},
    ):
        again = mosaic("init", **variables)
        assert (again.code, again.out) == (1, "")
        assert "is fixed" in again.err
    assert (folder / ".mosaic/mosaic.toml").read_bytes() == before


def test_a_flag_that_a_complete_home_does_not_take_is_refused_with_the_line_to_write(
    folder: Path,
) -> None:
    mosaic = Quick(folder)
    mosaic.ok("init", "--listen", "127.0.0.1:28446")
    mosaic.ok("init", "--listen", "127.0.0.1:28446", MOSAIC_LOG_FORMAT="json")

    for flag, value, line in (
        ("--listen", "0.0.0.0:28447", 'listen = "0.0.0.0:28447"'),
        ("--source", "elsewhere", 'source = "elsewhere"'),
    ):
        again = mosaic("init", flag, value)
        assert (again.code, again.out) == (1, "")
        assert f"{flag} {value} comes too late" in again.err
        (written,) = re.findall("`(.+)`", again.err)
        assert written == line
    config = folder / ".mosaic/mosaic.toml"
    config.write_text(re.sub(r"(?m)^source = .*", written, config.read_text()))
    mosaic.ok("init", "--source", "elsewhere")


@pytest.mark.parametrize(
    ("variable", "value", "has"),
    [
        ("MOSAIC_PUBLIC_URL", "https://b.example", "https://a.example"),
        ("MOSAIC_OID_ARC", "1.2.3", "1.3.6.1.4.1.99999"),
    ],
)
def test_no_gateway_starts_whose_settings_are_not_its_cas(
    folder: Path, variable: str, value: str, has: str
) -> None:
    mosaic = Quick(folder)
    mosaic.ok("init", MOSAIC_PUBLIC_URL="https://a.example")
    for verb in ("up", "serve"):
        done = mosaic.process(verb, **{variable: value})
        assert done.code == 78
        assert f"error: {variable}: got {value!r}" in done.err
        assert repr(has) in done.err
        assert f"to {has}" in done.err, "what to type"
    findings = {each["check"]: each for each in mosaic("doctor", "--output", "json").document}
    assert findings["public URL"]["state"] == "ok"
    result = mosaic("doctor", "--output", "json", **{variable: value})
    assert result.code == 1
    (failed,) = (each for each in result.document if each["state"] == "failed")
    assert failed["check"] == "public URL"
    assert repr(has) in failed["detail"]


def test_an_interrupted_init_can_be_completed_with_other_settings(folder: Path) -> None:
    mosaic = Quick(folder)
    mosaic.ok("init", MOSAIC_PUBLIC_URL="https://a.example")
    home = Home(folder / ".mosaic")
    home.config.rename(home.path / "mosaic.toml.draft")  # killed before its last step
    mosaic.ok("init", MOSAIC_PUBLIC_URL="https://b.example")
    assert stored(folder)["public_url"] == "https://b.example"
    assert "https://b.example/" in (home.ca / "ca.json").read_text()


def test_ca_init_refuses_what_its_authority_is_not(folder: Path) -> None:
    mosaic = Quick(folder, {"MOSAIC_PUBLIC_URL": "https://A.example"})
    made = ("ca", "init", "--dir", "ca")
    assert "wrote the certificate authority" in mosaic.ok(*made).out
    assert "https://a.example/federation" in (folder / "ca/ca.json").read_text()
    assert "nothing was changed" in mosaic.ok(*made).out
    other = mosaic(*made, MOSAIC_PUBLIC_URL="https://b.example")
    assert other.code == 78
    assert "mosaic federation ca move https://b.example --dir" in other.err
    arc = mosaic(*made, "--oid-arc", "1.2.3")
    assert arc.code == 78
    assert "--oid-arc" in arc.err


@as_root
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        (".mosaic/mosaic.toml", ("status",)),
        (".mosaic/mosaic.toml", ("init",)),
        (".mosaic/ca/ca.json", ("up",)),
        (".mosaic/ca/ca.json", ("ca", "move", "https://b.example")),
        (".mosaic/ca/root_ca.crt", ("serve",)),
        (".mosaic/keys", ("keys", "status")),
        (".mosaic/keys/primary", ("up",)),
        (".mosaic/keys/plan-mac-key", ("plan", "--save", "saved.plan")),
        (".mosaic/provisioners/peers.json", ("serve",)),
        (".mosaic/secrets/token-pepper", ("serve",)),
        (".mosaic", ("init",)),
    ],
)
def test_what_may_not_be_read_is_told_as_that(
    folder: Path, name: str, arguments: tuple[str, ...]
) -> None:
    Quick(folder).ok("init")
    path = folder / name
    mode = path.stat().st_mode
    path.chmod(0)
    try:
        without = "--bounding-set=-dac_override,-dac_read_search,-fowner"
        done = subprocess.run(
            ["setpriv", without, "--inh-caps=-all", *COMMAND, *arguments],
            cwd=folder,
            env=Quick(folder).environ(),
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        path.chmod(mode & 0o777)
    assert done.returncode in (1, 78), done.stderr
    assert "Permission denied" in done.stderr
    assert path.name in done.stderr
    assert "internal error" not in done.stderr
    assert "run the command as" in done.stderr
    assert "restore" not in done.stderr


def test_of_two_inits_at_once_for_two_urls_one_is_refused(folder: Path) -> None:
    init = Quick(folder).process
    urls = ["https://one.example", "https://two.example"]
    with ThreadPoolExecutor() as pool:
        ends = list(pool.map(lambda url: init("init", MOSAIC_PUBLIC_URL=url), urls))
    made = urls.index(stored(folder)["public_url"])
    assert (ends[made].code, ends[1 - made].code) == (0, 1)
    assert f"it is {urls[made]!r}, not {urls[1 - made]!r}" in ends[1 - made].err
