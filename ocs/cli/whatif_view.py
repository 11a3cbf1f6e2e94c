"""How `ocs catalog whatif` shows a comparison to people."""

from typing import Any

from rich.console import Console

from ocs.cli.output import Document, facts, table

_MONEY = {"charged": "Charged", "draft_charge": "Draft", "difference": "Difference"}
_RIGHT = frozenset({*_MONEY, "difference_percent", "records", "used_text", "percent", "count"})


def show_comparison(target: Console, document: Document) -> None:
    """Print totals, then what they are made of."""
    facts(
        target,
        [
            ("Draft", f"{document['draft_name']} ({document['draft']})"),
            ("From", document["since"]),
            ("Until", document["until"]),
            ("Records", document["records"]),
            ("No usage", document["left_out"] or None),
            ("Begun within", document["begun_within"] or None),
            ("Charged", _with_currency(document, "charged")),
            ("Draft charges", _with_currency(document, "draft_charge")),
            ("Difference", _difference(document)),
        ],
    )
    if not document["records"]:
        target.print("no usage was recorded between these times")
        return
    _sums(target, document["plans"], {"plan": "Plan", "draft_plan": "Charged by"})
    _sums(
        target,
        document["services"],
        {"plan": "Plan", "service": "Service", "used_text": "Used"},
    )
    _spread(target, document["subscribers"])
    for title, cases in (("Pay most more", "highest"), ("Pay most less", "lowest")):
        if document[cases]:
            _sums(
                target, document[cases],
                {"subscriber": "Subscriber", "account_id": "Account", "plan": "Plan"}, title,
            )  # fmt: skip
    for one in document["unrated"]:
        target.print(f"not charged, {one['records']} records: {one['reason']}", soft_wrap=True)


def _sums(
    target: Console, rows: list[dict[str, Any]], columns: dict[str, str], title: str = ""
) -> None:
    table(
        target,
        rows,
        {**columns, **_MONEY, "difference_percent": "%"},
        empty="no usage was recorded",
        title=title,
        right=_RIGHT,
    )


def _spread(target: Console, spread: Document) -> None:
    if not spread["count"]:
        return
    target.print(
        f"{spread['count']} subscribers: {spread['pay_more']} pay more, {spread['pay_less']} pay "
        f"less, {spread['pay_the_same']} pay the same"
    )
    table(
        target,
        spread["percentiles"],
        {"percent": "Percentile", "difference": "Difference at most"},
        empty="",
        right=_RIGHT,
    )


def _with_currency(document: Document, name: str) -> str:
    return f"{document[name]} {document['currency']}"


def _difference(document: Document) -> str:
    words = _with_currency(document, "difference")
    percent = document["difference_percent"]
    return words if percent is None else f"{words} ({percent} %)"
