"""Which running sessions a change concerns, and what comes to their clients. For commands that
change an account.
"""

from typing import TYPE_CHECKING, Any

from rich.console import Console

from ocs.cli.command import Run
from ocs.cli.output import Document

if TYPE_CHECKING:
    from ocs.charging.model.server_requests import Trigger


def with_sessions(run: Run, document: Document, trigger: "Trigger") -> Document:
    """Return the result of a change with the sessions that it concerns."""
    from ocs.provisioning import session_requests

    account_id = int(document["account_id"])
    return {**document, "sessions": session_requests.asked(run.desk, account_id, trigger)}


def show_asked(target: Console, sessions: list[Any]) -> None:
    """Say of each session that is concerned what happens next."""
    for one in sessions:
        if one["asked"]:
            what = "its client is asked now"
        elif one["reports_by"]:
            what = f"its client cannot be asked; it reports by {one['reports_by']}"
        else:
            what = "its client cannot be asked; it sees the change with its next report"
        target.print(f"session {one['session_id']}: {what}", soft_wrap=True)
