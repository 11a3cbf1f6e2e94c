"""`ocs audit`: does every micro unit add up?"""

from rich.console import Console

from ocs.cli.command import Run, ocs_command
from ocs.cli.output import Document, table


@ocs_command("audit", example="ocs audit --json")
def audit(run: Run) -> int:
    """Check everything stored: balances, holds, prices, answers. Exit code 1 unless it is clean.

    It reads one snapshot account by account; the server may go on meanwhile.
    """
    from ocs.cli.progress import counting
    from ocs.provisioning.proof import audit as audits

    with counting(run.out, "accounts") as progress:
        result = audits.run(run.desk, run.catalogues, progress)
    run.out.show(audits.view(result), show)
    return 0 if result.clean else 1


def show(target: Console, document: Document) -> None:
    """Print an audit's result."""
    target.print(
        f"{document['accounts']} accounts, {document['buckets']} buckets, "
        f"{document['movements']} movements, {document['requests']} requests, "
        f"{document['sessions_open']} open and {document['sessions_closed']} closed sessions"
    )
    for totals in document["totals"]:
        rows = [
            *totals["sides"],
            {"side": "into buckets", "amount_text": totals["into_buckets_text"]},
            {"side": "in buckets", "amount_text": totals["in_buckets_text"]},
            {"side": "difference", "amount_text": str(totals["difference"])},
        ]
        table(
            target,
            rows,
            {"side": "Side", "amount_text": totals["unit"]},
            empty="",
            right=frozenset({"amount_text"}),
        )
    for violation in document["violations"]:
        target.print(f"NOT CLEAN: {violation['message']}", soft_wrap=True)
    if document["clean"]:
        target.print("audit clean: every micro unit adds up")
    else:
        target.print(f"audit not clean: {len(document['violations'])} violations")
