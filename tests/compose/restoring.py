"""A backup that is restored, as docs/deploy.md says it; last, since it takes the volumes away.

It costs most of a minute: `make test-compose ARGS=tests/compose/restoring.py` adds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.compose.lasting import ROWS, documented, facts, goes_on

if TYPE_CHECKING:
    from tests.compose.stack import Stack


def test_a_restored_backup_is_the_gateway_that_was_backed_up(stack: Stack) -> None:
    before = facts(stack)
    backup, restore = documented("Backing up")
    stack.type(backup.replace("install -d", "rm -rf backup; install -d"))
    stack.wait_healthy("proxy")
    goes_on(stack, "forgotten")
    (stack.manifests("alpha") / "forgotten.yaml").unlink()
    stack.type(restore)
    stack.wait_healthy("proxy")
    assert facts(stack).root == before.root
    assert stack.sql("alpha", ROWS) == before.rows
    goes_on(stack, "after-restore")
