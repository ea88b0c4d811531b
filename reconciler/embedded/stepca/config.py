"""`ca.json` as it is: where the CA says that the gateway is, and how that is changed.

One file says all of it, and it is replaced as a whole: a move that is killed anywhere has been made
or has not.
"""

from __future__ import annotations

import fcntl
import json
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.issuance.crl_locations import CrlLocations, read_crl_locations, template_data
from reconciler.core.model.origin import address_text
from reconciler.crypto.ca_material import SIGNING, TEMPLATES
from reconciler.embedded.folders import locked
from reconciler.embedded.stepca.ca_files import CONFIG, LOCK, PUBLIC, json_bytes
from reconciler.errors import OTHER_USER, NeedsEdit
from reconciler.files import replace_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from reconciler.core.model.origin import Address

# what templates of older versions say, and what says the same of more than one place
ONE_PLACE: Final = "[{{ toJson .crlUrl }}]"
ALL_PLACES: Final = "{{ toJson .crlUrls }}"


def read_ca_config(folder: Path) -> tuple[dict[str, Any], CrlLocations]:
    """Return the `ca.json` of a CA's folder, and the places in it.

    Raises:
        NeedsEdit: `config_invalid`: it cannot be read, or is not as `ca init` writes it.
    """
    path = folder / CONFIG
    try:
        document = json.loads(path.read_text())
        data = [
            each["options"]["x509"]["templateData"]
            for each in document["authority"]["provisioners"]
        ]
        places = [read_crl_locations(each) for each in data]
        list_url, first = document["crl"]["idpURL"], places[0]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        reason = getattr(error, "strerror", None) or error
        denied = isinstance(error, PermissionError)
        raise NeedsEdit(
            "config_invalid",
            f"{path}: it does not say where the gateway is: {reason}",
            hint=OTHER_USER if denied else "restore it from its backup",
        ) from None
    if any(each != first or each.list_url != list_url for each in places):
        raise NeedsEdit(
            "config_invalid",
            f"{path}: idpURL and the templateData of its provisioners do not agree",
            hint="restore it from its backup",
        )
    return document, first


def change_places(folder: Path, change: Callable[[CrlLocations], CrlLocations]) -> CrlLocations:
    """Give a CA that does not run other places; return them.

    Raises:
        NeedsEdit: `config_invalid`: `ca.json` or a template is not as `ca init` writes it, or
            cannot be written.
    """
    try:
        with locked(folder / LOCK, fcntl.LOCK_EX):
            document, places = read_ca_config(folder)
            templates = _templates_of_many_places(folder)
            changed = change(places)
            if changed != places or templates:
                document["crl"]["idpURL"] = changed.list_url
                for each in document["authority"]["provisioners"]:
                    each["options"]["x509"]["templateData"] = template_data(changed)
                replace_file(folder / CONFIG, json_bytes(document), PUBLIC)
            # last: what they read is in ca.json then, wherever this is killed
            for path, text in templates.items():
                replace_file(path, text.encode(), PUBLIC)
    except OSError as error:
        raise NeedsEdit(
            "config_invalid",
            f"{folder}: the certificate authority cannot be changed: {error.strerror}",
            hint=OTHER_USER,
        ) from error
    return changed


def move_listener(folder: Path, address: Address) -> None:
    """Let a CA that does not run listen elsewhere; only at a host that its own certificate names.

    Raises:
        NeedsEdit: `config_invalid`: `ca.json` is not as `ca init` writes it, or cannot be written.
    """
    text = address_text(address)
    with locked(folder / LOCK, fcntl.LOCK_EX):
        document, _ = read_ca_config(folder)
        if document.get("address") != text and address[0] in document.get("dnsNames", ()):
            document["address"] = text
            replace_file(folder / CONFIG, json_bytes(document), PUBLIC)


def listen_host(folder: Path) -> str:
    """Return the host that a CA listens on; empty for every address of the machine.

    Raises:
        NeedsEdit: `config_invalid`: `ca.json` is not as `ca init` writes it.
    """
    document, _ = read_ca_config(folder)
    return str(document.get("address", "")).rpartition(":")[0].strip("[]")


def _templates_of_many_places(folder: Path) -> dict[Path, str]:
    """Return the templates of an older version, as they have to be now."""
    older: dict[Path, str] = {}
    for name in SIGNING:
        path = folder / "templates" / TEMPLATES[name]
        text = path.read_text()
        if ONE_PLACE in text:
            older[path] = text.replace(ONE_PLACE, ALL_PLACES)
        elif ALL_PLACES not in text:
            raise NeedsEdit(
                "config_invalid",
                f"{path}: its crlDistributionPoints are not those that `ca init` wrote",
                hint=f'give it the line "crlDistributionPoints": {ALL_PLACES}',
            )
    return older
