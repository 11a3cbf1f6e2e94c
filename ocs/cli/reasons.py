"""How `ocs price` and `ocs why` show why one price holds and the others do not."""

from rich.console import Console

from ocs.cli.output import Document


def show_reasons(target: Console, document: Document) -> None:
    """Print a line for each price of the list; nothing where there is only one."""
    rules = document["rules"]
    if document["rules_in_all"] < 2:
        return
    target.print("Of the prices of this service:")
    for one in rules:
        mark = "*" if one["chosen"] else "-"
        target.print(f"  {mark} '{one['rule']}' {_verb(one)}", soft_wrap=True)
    left = document["rules_in_all"] - len(rules)
    if left > 0:
        target.print(f"  and {left} less specific ones")


def _verb(one: Document) -> str:
    return f"is taken: {one['reason']}" if one["chosen"] else str(one["reason"])
