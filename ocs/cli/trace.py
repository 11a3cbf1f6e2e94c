"""`ocs trace`: a subscriber's requests and answers as they come."""

import time

import click
from rich.console import Console

from ocs.amounts import format_amount
from ocs.cli.command import Run, ocs_command
from ocs.cli.output import Document

POLL_SECONDS = 0.25


@ocs_command(
    "trace",
    example="ocs trace +4915112345678 --since 10m\nocs trace +4915112345678 --count 5 --timeout 60",
)
@click.argument("name", metavar="SUBSCRIBER")
@click.option("--since", default="now", show_default=True, help="A time, or an age such as 10m.")
@click.option("--count", type=click.IntRange(min=1), help="End after this many requests.")
@click.option("--timeout", type=click.FloatRange(min=0), help="End after this many seconds.")
def trace(run: Run, name: str, since: str, count: int | None, timeout: float | None) -> None:
    """Follow what a subscriber's requests ask, what is answered and what it costs.

    It shows what is committed, ends with Ctrl-C, and prints one JSON document a line with --json.
    """
    from ocs.clock import first_id_at
    from ocs.provisioning import records
    from ocs.provisioning.desk import find_subscriber
    from ocs.provisioning.instants import parse_instant
    from ocs.provisioning.views import request_view

    desk = run.desk
    account_id = find_subscriber(desk, name).account_id
    last = first_id_at(parse_instant(since, desk.clock.now_ns())) - 1
    until = None if timeout is None else time.monotonic() + timeout
    left = count or 0
    while True:
        for stored in records.follow(desk, account_id, last, left):
            run.out.stream([request_view(stored)], _show)
            last = stored.request_id
            if count is not None:
                left -= 1
        if count is not None and left <= 0:
            return
        if until is not None and time.monotonic() >= until:
            return
        time.sleep(POLL_SECONDS)


def _show(target: Console, document: Document) -> None:
    number = "" if document["kind"] in {"operator", "timer"} else f" {document['number']}"
    origin = document["origin_host"] or document["operator"] or "server"
    target.print(
        f"{document['at']}  {document['kind']}{number}  {document['session_id']}  from {origin}",
        soft_wrap=True,
    )
    for asked in document["asked"]:
        words = [] if asked["requested"] is None else [f"wants {_units(asked['requested'])}"]
        words += [f"used {_units(used)}" for used in asked["used"]]
        target.print(f"    asks   {_group(asked)}{', '.join(words)}", soft_wrap=True)
    for answer in document["answered"]:
        words = [answer["outcome"]]
        if answer["granted"] is not None:
            words.append(f"granted {_units(answer['granted'])}")
        if answer["validity_seconds"]:
            words.append(f"valid {answer['validity_seconds']} s")
        if answer["final_unit_action"]:
            words.append(f"final units: {answer['final_unit_action']}")
        if answer["reason"]:
            words.append(answer["reason"])
        target.print(f"    answer {_group(answer)}{', '.join(words)}", soft_wrap=True)
    for line in document["charged"]:
        if line["used"] or line["charged_micro"]:
            free = f", {line['from_buckets']} of it free" if line["from_buckets"] else ""
            target.print(
                f"    charge {line['service']}: {line['used']} {line['unit']}{free}, "
                f"{line['charged']}",
                soft_wrap=True,
            )
    reason = f" ({document['reason']})" if document["reason"] else ""
    note = f"; {document['note']}" if document["note"] else ""
    target.print(
        f"    -> {document['outcome']}{reason}, balance {document['balance']}, "
        f"held {document['held']}{note}",
        soft_wrap=True,
    )


def _group(part: Document) -> str:
    if part["service_identifiers"]:
        return f"service {', '.join(map(str, part['service_identifiers']))}: "
    return "" if part["rating_group"] is None else f"rating group {part['rating_group']}: "


def _units(units: Document) -> str:
    words = [
        format_amount(value) if name == "money_micro" else f"{value} {name.replace('_', ' ')}"
        for name, value in units.items()
    ]
    return ", ".join(words) or "any"
