"""Shells of gateways without a home that are backed up, and of what they are restored into."""

from __future__ import annotations

from tests.support.commands.in_process import Quick


def with_provisioners(made: Quick) -> Quick:
    """Return a shell that names the CA's provisioners too, as a backup needs them."""
    folder = made.cwd / "gateway" / "provisioners"
    folder.mkdir()
    (folder / "peers.json").write_text("{}")
    return Quick(made.cwd, {**made.variables, "MOSAIC_CA_PROVISIONERS": str(folder)})


def elsewhere(mosaic: Quick, url: str, place: str = "restored") -> Quick:
    """Return a shell whose gateway is another database, and whose files are not there yet."""
    old, new = str(mosaic.cwd / "gateway"), str(mosaic.cwd / place)
    variables = {name: text.replace(old, new) for name, text in mosaic.variables.items()}
    return Quick(mosaic.cwd, {**variables, "MOSAIC_DATABASE_URL": url})
