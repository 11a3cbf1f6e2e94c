"""`ocs why`: the explanation of one ledger line."""

import click
from rich.console import Console

from ocs.cli.command import Run, ocs_command
from ocs.cli.output import Document, facts
from ocs.cli.reasons import show_reasons


@ocs_command("why", example="ocs why 6871947673600.0")
@click.argument("entry", metavar="ENTRY")
def why(run: Run, entry: str) -> int:
    """Explain one line of a ledger, step by step, computed again from its catalogue.

    ENTRY is REQUEST_ID.LINE as `ocs account ledger` prints it. Exit code 1 when the price computed
    again is not what was charged.
    """
    from ocs.provisioning.proof import why as explanations

    document = explanations.explain(run.desk, run.catalogues, entry)
    run.out.show(document, show)
    return 0 if document["matches"] else 1


def show(target: Console, document: Document) -> None:
    """Print an explanation."""
    facts(
        target,
        [
            ("Entry", document["entry"]),
            ("Account", document["account_id"]),
            ("At", document["at"]),
            ("Amount", f"{document['amount_text']} in bucket {document['bucket']}"),
            ("Side", document["side"]),
        ],
    )
    show_reasons(target, document)
    for number, step in enumerate(document["steps"], start=1):
        target.print(f"  {number}. {step}", soft_wrap=True)
    if document["recomputed"] is not None:
        verdict = "the ledger says the same" if document["matches"] else "THE LEDGER DIFFERS"
        target.print(f"computed again: {document['recomputed']}; {verdict}")
