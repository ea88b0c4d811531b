"""Settings: where they come from, which one wins, and what is said of a wrong one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.config import SETTINGS, Setting
from tests.support.commands.in_process import Quick, shell
from tests.support.commands.process import write
from tests.support.gateways.enrollee import grant_manifest, peer_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.commands.process import Ended


@pytest.fixture
def mosaic(tmp_path: Path) -> Quick:
    """A shell beside valid manifests, with no gateway anywhere."""
    write(tmp_path / "manifests", beta=peer_manifest(), tasks=grant_manifest("beta-tasks"))
    return Quick(tmp_path)


def home(folder: Path, *lines: str) -> Path:
    """Make what is taken for a home, as far as settings go."""
    made = folder / ".mosaic"
    made.mkdir(parents=True)
    (made / "mosaic.toml").write_text("\n".join(lines))
    return made


def wrong(done: Ended) -> str:
    """Insist on exit 78 with the error object; return what it says."""
    assert (done.code, done.out) == (78, "")
    error = done.error
    assert set(error) == {"code", "message", "hint", "exitCode"}
    assert error["code"] == "config_invalid"
    assert error["hint"]
    return f"{error['message']}; {error['hint']}"


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("MOSAIC_LISTEN", "8443", "MOSAIC_LISTEN"),
        ("MOSAIC_LISTEN", "127.0.0.1:99999", "MOSAIC_LISTEN"),
        ("MOSAIC_LISTEN", "localhost:http", "MOSAIC_LISTEN"),
        ("MOSAIC_PUBLIC_URL", "http://gateway.example", "MOSAIC_PUBLIC_URL"),
        ("MOSAIC_CA_URL", "ca.example", "MOSAIC_CA_URL"),
        ("MOSAIC_ALLOW_ADDRESSES", "10.0.0.0/33", "MOSAIC_ALLOW_ADDRESSES"),
        ("MOSAIC_TRUSTED_PROXIES", "everyone", "MOSAIC_TRUSTED_PROXIES"),
        ("MOSAIC_PROXY_PROTOCOL", "v2", "expected true or false"),
        ("MOSAIC_PROXY_PROTOCOL", "true", "name its network: MOSAIC_TRUSTED_PROXIES"),
        ("MOSAIC_RATE_LIMIT", "many", "MOSAIC_RATE_LIMIT"),
        ("MOSAIC_OID_ARC", "1.2.x", "MOSAIC_OID_ARC"),
        ("MOSAIC_KEYRING", " ", "MOSAIC_KEYRING"),
        ("MOSAIC_SOURCES", "m", "did you mean MOSAIC_SOURCE?"),
        ("MOSAIC_LISTNE", "127.0.0.1:1", "did you mean MOSAIC_LISTEN?"),
        ("MOSAIC_RATE", "30/s", "did you mean MOSAIC_PATH?"),  # that is as near as it gets
        ("MOSAIC_CO_URE", "x", "did you mean MOSAIC_CA_URL?"),
        ("MOSAIC_DATABASE_URL_FIL", "x", "did you mean MOSAIC_DATABASE_URL_FILE?"),
    ],
)
def test_a_wrong_variable_is_named_with_what_to_do(
    mosaic: Quick, variable: str, value: str, expected: str
) -> None:
    done = mosaic("validate", "--source", "manifests", "--output", "json", **{variable: value})
    assert expected in wrong(done)


# what a namespace with these Services, or a container with these links, gives to every process
SERVICE_LINKS = {
    "MOSAIC_CA_SERVICE_HOST": "10.0.0.2",
    "MOSAIC_CA_SERVICE_PORT": "9000",
    "MOSAIC_CA_SERVICE_PORT_HTTPS": "9000",
    "MOSAIC_CA_PORT": "tcp://10.0.0.2:9000",
    "MOSAIC_CA_PORT_9000_TCP": "tcp://10.0.0.2:9000",
    "MOSAIC_CA_PORT_9000_TCP_PROTO": "tcp",
    "MOSAIC_CA_PORT_9000_TCP_PORT": "9000",
    "MOSAIC_CA_PORT_9000_TCP_ADDR": "10.0.0.2",
    "MOSAIC_PORT": "tcp://10.0.0.3:8443",
    "MOSAIC_SERVICE_HOST": "10.0.0.3",
    "MOSAIC_PATH_PORT": "udp://[fd00::1]:53",
    "MOSAIC_LISTEN_PORT": "tcp://10.0.0.4:1",
    "MOSAIC_NAME": "/gateway/mosaic",  # two edits from MOSAIC_HOME
    "MOSAIC_REF_NAME": "/gateway/mosaic-ref",
    "MOSAIC_CA_ENV_PATH": "/usr/bin:/bin",
    "MOSAIC_ENV_MOTD": "two\nlines",
}


@pytest.mark.parametrize("variable", SERVICE_LINKS)
def test_what_a_platform_injects_for_services_and_links_is_passed_over(
    mosaic: Quick, variable: str
) -> None:
    link = {variable: SERVICE_LINKS[variable]}
    mosaic.ok("validate", "--source", "manifests", **link)


def test_a_near_miss_is_refused_though_it_ends_as_a_service_link_does(mosaic: Quick) -> None:
    done = mosaic("validate", "--source", "manifests", "--output", "json", MOSAIC_NAME="elsewhere")
    assert "did you mean MOSAIC_HOME?" in wrong(done)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_an_empty_variable_is_an_unset_one(mosaic: Quick, setting: Setting) -> None:
    empty = {setting.variable: "", f"{setting.variable}_FILE": ""}
    mosaic.ok("validate", "--source", "manifests", **empty)
    mosaic.ok("validate", "--source", "manifests", MOSAIC_LISTNE="")


BROKEN_SETTINGS: tuple[dict[str, str], ...] = (
    {"MOSAIC_HOME": "nowhere"},
    {"MOSAIC_HOME": "manifests"},
    {"MOSAIC_LISTNE": "1"},
    {"MOSAIC_DATABASE_URL": "x"},
    {"MOSAIC_REF": "main"},
    {"MOSAIC_DATABASE_URL_FILE": "nowhere"},
)


@pytest.mark.parametrize("variables", BROKEN_SETTINGS, ids=str)
def test_what_needs_no_settings_looks_at_none(mosaic: Quick, variables: dict[str, str]) -> None:
    home(mosaic.cwd, "lisen = nowhere")
    for arguments in (
        ("validate", "manifests"),
        ("validate", "manifests", "--home", "nowhere"),
        ("fmt", "--diff", "manifests"),
        ("schema", "grant"),
        ("schema", "openapi"),
        ("completion", "bash"),
        ("--help",),
        ("grant", "create", "--help"),
    ):
        done = mosaic(*arguments, **variables)
        assert (done.code, done.err) == (0, ""), arguments


@pytest.mark.parametrize(
    "variable",
    ["MOSAIC_FOO_BAR", "MOSAIC_PORT_8443_TCP", "MOSAIC_GATEWAY_SERVICE_HOST", "MOSAICS", "OTHER"],
)
def test_a_variable_of_somebody_else_is_none_of_ours(mosaic: Quick, variable: str) -> None:
    mosaic.ok("validate", "--source", "manifests", **{variable: "anything"})


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('lisen = "127.0.0.1:1"', "there is no setting 'lisen'; did you mean 'listen'?"),
        ('public_ulr = "https://a.example"', "did you mean 'public_url'?"),
        ('MOSAIC_LISTEN = "127.0.0.1:1"', "'MOSAIC_LISTEN'; did you mean 'listen'?"),
        ('listen = "8443"', "listen"),
        ("listen = 8443", "expected text"),
        ("listen = ", "cannot be read"),
        ('home = "elsewhere"', "there is no setting 'home'"),
    ],
)
def test_a_wrong_line_of_mosaic_toml_is_named_with_its_file(
    mosaic: Quick, line: str, expected: str
) -> None:
    made = home(mosaic.cwd, line)
    failure = wrong(mosaic("validate", "--output", "json"))
    assert expected in failure
    assert str(made / "mosaic.toml") in failure


def test_no_home_and_a_home_that_is_not_there_exit_with_78(mosaic: Quick) -> None:
    for arguments in (("plan", "manifests"), ("grant", "list"), ("apply", "manifests", "--yes")):
        done = mosaic(*arguments, "--output", "json")
        assert (done.code, done.out, done.error["code"]) == (78, "", "home_missing")
    named = mosaic("grant", "list", "--home", "nowhere", "--output", "json")
    assert (named.code, named.error["code"]) == (78, "home_missing")
    assert f"mosaic federation init --home {mosaic.cwd / 'nowhere'}" in named.error["hint"]
    by_variable = mosaic("grant", "list", "--output", "json", MOSAIC_HOME="nowhere")
    assert "MOSAIC_HOME" in by_variable.error["message"]


def test_the_folder_around_a_home_is_not_taken_for_a_new_home(mosaic: Quick) -> None:
    made = home(mosaic.cwd)
    around = str(mosaic.cwd)
    for verb in (("grant", "list"), ("init",)):
        refused = mosaic(*verb, "--home", around)
        assert refused.code == 78
        assert f"did you mean --home {made}?" in refused.err
    assert f"MOSAIC_HOME={made}?" in mosaic("plan", MOSAIC_HOME=around).err
    file = str(made / "mosaic.toml")
    assert f"did you mean --home {made}?" in mosaic("grant", "list", "--home", file).err


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        (("validate", "manifests", "--path", "inner"), {}),
        (("plan", "manifests", "--path", "inner"), {}),
        (("validate", "--source", "manifests", "--path", "inner"), {}),
        (("validate", "--source", "manifests"), {"MOSAIC_PATH": "inner"}),
    ],
    ids=str,
)
def test_a_path_within_a_folder_names_who_set_it(
    mosaic: Quick, arguments: tuple[str, ...], variables: dict[str, str]
) -> None:
    done = mosaic(*arguments, **variables)
    assert done.code == 78
    name = next(iter(variables), "--path")
    assert f"error: {name}: it is a folder within a git repository" in done.err


def test_no_source_exits_with_78(mosaic: Quick) -> None:
    assert "MOSAIC_SOURCE" in wrong(mosaic("validate", "--output", "json"))


def test_a_home_is_found_upward_and_its_paths_are_relative_to_its_folder(mosaic: Quick) -> None:
    home(mosaic.cwd, 'source = "manifests"')
    below = mosaic.cwd / "some" / "where"
    below.mkdir(parents=True)
    assert Quick(below).ok("validate").out == "valid: 1 peer and 1 grant\n"
    config = mosaic.cwd / ".mosaic" / "mosaic.toml"
    config.write_bytes(b"\xef\xbb\xbf" + config.read_bytes() + b"\r\n")  # as some editors do
    assert Quick(below).ok("validate").out == "valid: 1 peer and 1 grant\n"


def test_a_flag_wins_over_a_variable_and_that_over_mosaic_toml(mosaic: Quick) -> None:
    home(mosaic.cwd, 'source = "nowhere"')
    write(mosaic.cwd / "other", gamma=peer_manifest("gamma"))
    assert mosaic("validate").code == 1
    assert mosaic.ok("validate", MOSAIC_SOURCE="manifests").out == "valid: 1 peer and 1 grant\n"
    argument = mosaic.ok("validate", "other", MOSAIC_SOURCE="manifests")
    assert argument.out == "valid: 1 peer and 0 grants\n"


def test_a_secret_comes_from_a_file_and_is_never_shown(tmp_path: Path, database_url: str) -> None:
    mosaic = shell(tmp_path, database_url)
    del mosaic.variables["MOSAIC_DATABASE_URL"]
    for before, after in (("\ufeff", "\r\n"), ("", "\n")):
        (tmp_path / "url").write_text(f"{before}{database_url}{after}")
        assert mosaic.ok("grant", "list", MOSAIC_DATABASE_URL_FILE="url").out
    both = mosaic(
        *("grant", "list", "--output", "json"),
        MOSAIC_DATABASE_URL_FILE="url",
        MOSAIC_DATABASE_URL=database_url,
    )
    assert "MOSAIC_DATABASE_URL" in wrong(both)
    missing = mosaic("grant", "list", "--output", "json", MOSAIC_DATABASE_URL_FILE="nowhere")
    assert "MOSAIC_DATABASE_URL_FILE" in wrong(missing)
    (tmp_path / "empty").write_text("")
    empty = mosaic("grant", "list", "--output", "json", MOSAIC_DATABASE_URL_FILE="empty")
    assert "is empty" in wrong(empty)


@pytest.mark.parametrize(
    "url",
    [
        *("", "mysql://a:s3cret@b/c", "postgresql//s3cret", "s3cret"),
        *("postgresql://a:s3cret@[b/c", "postgresql://a:s3cret@x@b/c"),
    ],
)
def test_a_wrong_database_url_is_an_error_that_does_not_show_it(mosaic: Quick, url: str) -> None:
    done = mosaic("grant", "suspend", "x", "--output", "json", MOSAIC_DATABASE_URL=url)
    assert done.code == 78
    assert "MOSAIC_DATABASE_URL" in done.error["message"]
    assert "s3cret" not in done.err


@pytest.mark.parametrize("content", ["", "nothex", "00" * 31, "00" * 33])
def test_a_wrong_token_pepper_is_an_error_that_does_not_show_it(
    tmp_path: Path, database_url: str, content: str
) -> None:
    mosaic = shell(tmp_path, database_url)
    (tmp_path / "pepper").write_text(content)
    write(tmp_path / "manifests", beta=peer_manifest(), tasks=grant_manifest("beta-tasks"))
    done = mosaic(
        *("apply", "--yes", "--invite", "--output", "json"), MOSAIC_TOKEN_PEPPER_FILE="pepper"
    )
    failure = wrong(done)
    assert str(tmp_path / "pepper") in failure
    assert content == "" or content not in failure
    assert mosaic.document("grant", "list") == []
