"""Take the README's pictures of the pages anew: `make pictures`.

Two gateways run as in the demo: one grants, the other enrolls. What the pictures show was made by
the commands of this program, and is removed again.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from playwright.sync_api import sync_playwright

from reconciler.cli.demo.gateway import DemoGateway
from reconciler.core.model.times import rfc3339
from reconciler.core.setting_values import UnixPath

if TYPE_CHECKING:
    from typing import Literal

    from playwright.sync_api import ViewportSize

    Scheme = Literal["light", "dark"]

ROOT: Final = Path(__file__).resolve().parents[1]
IMAGES: Final = ROOT / "docs" / "images"
MAX_SIZE: Final = 150_000  # octets
PICTURES: Final[
    tuple[tuple[str, str, Scheme, tuple[int, int]], ...]
] = (  # name, path, colours, and size in CSS pixels
    ("overview.png", "/", "light", (900, 1060)),
    ("grant.png", "/grants/beta-notes", "dark", (900, 860)),
)
GRANT: Final = """\
apiVersion: federation.mosaicstack.dev/v1
kind: Grant
metadata: {{name: {name}}}
spec:
  peer: beta
  subjectUserId: {user}
  expiresAt: {end}
  scope:
    resources:
      - {{type: notes, verbs: [list, get], filter: {{teams: [platform]}}}}
      - {{type: events, verbs: [list], filter: {{personal: false}}}}
    maxRowsPerQuery: 100
  certificate: {{lifetime: 24h}}
"""
GRANTS: Final = (  # name, user, and days until it ends
    ("beta-notes", "maria@alpha.example", 200),
    ("beta-offsite", "jonas@alpha.example", 6),
    ("beta-audit", "aiko@alpha.example", 13),
    ("beta-migration", "aiko@alpha.example", 13),
)


def main() -> None:
    """Write the pictures into `docs/images`."""
    folder = Path(tempfile.mkdtemp(prefix="mosaic-pictures-"))
    folder.chmod(0o755)  # as root, the database server runs as another account
    alpha, beta = DemoGateway(folder / "alpha"), DemoGateway(folder / "beta")
    try:
        for gateway in (alpha, beta):
            gateway.show("init")
        _declare(alpha)
        with alpha.up(), beta.up():
            for _ in range(2):  # what enrolls again supersedes, so there is more than one bar
                invitation = alpha.json("grant", "invite", "beta-notes")["invitation"]["url"]
                _enroll(beta, invitation)
            alpha.show("grant", "suspend", "beta-audit", "--reason", "ticket 4711")
            _photograph(_address(alpha))
    finally:
        for gateway in (alpha, beta):
            gateway.show("destroy", "--yes")
        shutil.rmtree(folder)


def _declare(alpha: DemoGateway) -> None:
    """Commit manifests, and apply them."""
    shutil.copytree(ROOT / "manifests", alpha.manifests, dirs_exist_ok=True)
    for name, user, days in GRANTS:
        end = datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)
        text = GRANT.format(name=name, user=user, end=rfc3339(end))
        (alpha.manifests / f"{name}.yaml").write_text(text, encoding="utf-8")
    identity = ("-c", "user.name=Ana Lima", "-c", "user.email=ana@alpha.example")
    for words in (
        ("init", "--quiet"),
        ("add", "manifests"),
        (*identity, "commit", "--quiet", "--message", "Beta may read notes until the migration"),
    ):
        subprocess.run(["git", *words], cwd=alpha.folder, check=True)
    alpha.show("apply", "--yes")


def _enroll(beta: DemoGateway, invitation: str) -> None:
    if beta.json("peer", "list"):
        beta.show("peer", "revoke", "alpha", "--yes", "--reason", "its key is replaced")
        (beta.manifests / "alpha.yaml").unlink()
    beta.show("peer", "add", "-", "--name", "alpha", stdin=invitation)


def _address(alpha: DemoGateway) -> str:
    address = alpha.settings.private_listen
    assert address is not None
    assert not isinstance(address, UnixPath)
    return f"http://{address[0]}:{address[1]}"


def _photograph(url: str) -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    program = shutil.which("chromium")
    assert program is not None, "chromium is missing"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        with closing(browser):
            for name, path, scheme, (width, height) in PICTURES:
                size: ViewportSize = {"width": width, "height": height}
                page = browser.new_page(viewport=size, color_scheme=scheme)
                page.goto(url + path)
                picture = page.screenshot(path=IMAGES / name)
                assert len(picture) < MAX_SIZE, f"{name} has {len(picture)} octets"
                print(f"wrote {(IMAGES / name).relative_to(ROOT)}")


if __name__ == "__main__":
    main()
