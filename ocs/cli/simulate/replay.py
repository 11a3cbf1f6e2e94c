"""`ocs simulate replay FILE`: play a capture or usage records to a server and compare."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ocs.cli.command import Run, ocs_command
from ocs.cli.output import console, print_json
from ocs.cli.simulate.choosing import OUTPUT_FILE, Server, server_options
from ocs.errors import DocumentError, Problem, RefusedError, UsageError

if TYPE_CHECKING:
    from simulators.replay.preparing import Options
    from simulators.replay.rules import Rules
    from simulators.reports.report import Measurements

_EXAMPLE = """ocs simulate replay yesterday.pcapng --host 10.0.0.7 --speed max
ocs simulate replay gy.pcap --origin-host 'pgw(.*)=lab\\1' --subscriber '49(.*)=99\\1'
ocs simulate replay usage.csv --rules lab.yaml --report result.json"""
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_ASPECTS = (
    *("result_code", "services", "granted", "validity_time", "final_unit", "thresholds"),
    *("holding_times", "triggers", "pools", "money", "failure_handling", "proxy_info"),
)


class _Speed(click.ParamType[float]):
    """A factor, or `max`, which is 0 for the player."""

    name = "factor"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The factor as a number."""
        if value == "max":
            return 0.0
        try:
            factor = float(value)
        except ValueError:
            factor = 0.0
        if not 0.0001 <= factor <= 1_000_000:
            self.fail(f"'{value}' is neither max nor a number from 0.0001 to 1000000", param, ctx)
        return factor


@ocs_command("replay", example=_EXAMPLE)
@click.argument("file", type=_FILE, metavar="FILE")
@server_options
@click.option("--rules", "rules_file", type=_FILE, help="Rewriting and tolerances, as YAML.")
@click.option(
    "--speed", type=_Speed(), default="1", show_default=True,
    help="How much faster than recorded; max: as fast as answers come.",
)  # fmt: skip
@click.option("--origin-host", multiple=True, help="NAME for all, or MATCH=NAME.")
@click.option("--origin-realm", multiple=True, help="The same for realms.")
@click.option("--subscriber", multiple=True, metavar="MATCH=NEW", help="Other identities.")
@click.option("--session-ids", type=click.Choice(["fresh", "keep"]), help="Else as the rules say.")
@click.option("--timestamps", type=click.Choice(["move", "keep"]), help="Else as the rules say.")
@click.option("--agent", metavar="HOST", help="One connection, of this host, carries all.")
@click.option("--partial", is_flag=True, help="Also sessions that began before the capture.")
@click.option(
    "--captured-port", type=click.IntRange(1, 65535), help="Only the server's port in the capture."
)
@click.option("--first", type=click.IntRange(min=1), help="Only so many requests.")
@click.option("--tshark", "by_tshark", is_flag=True, help="Let tshark read the capture.")
@click.option(
    "--window", type=click.IntRange(1, 65_536), default=32, show_default=True,
    help="Requests of a client that may wait for answers.",
)  # fmt: skip
@click.option(
    "--answer-timeout", type=click.FloatRange(0.1, 600), default=10.0, show_default=True,
    help="Seconds to wait for an answer.",
)  # fmt: skip
@click.option("--granted-tolerance", type=click.FloatRange(0, 100), help="Percent of a grant.")
@click.option("--validity-tolerance", type=click.IntRange(min=0), help="Seconds of validity.")
@click.option("--ignore", multiple=True, type=click.Choice(_ASPECTS), help="Do not compare this.")
@click.option("--no-compare", is_flag=True, help="Only play.")
@click.option("--no-examples", is_flag=True, help="Show no messages.")
@click.option(
    "--report", "report_file", type=OUTPUT_FILE,
    help="Also write the report there, as JSON.",
)  # fmt: skip
def replay(run: Run, file: Path, **given: Any) -> int:
    """Play FILE, a capture (pcap, pcapng) or usage records (CSV, JSON), to a server, and compare.

    Exit code 0 means that all of it was played and that no answer differs from the recorded one.
    """
    from simulators.replay.carrier import Target
    from simulators.replay.findings import UnusableError
    from simulators.replay.preparing import play, prepare

    server = Server(
        *(given.pop(name) for name in ("host", "port")),
        *(given.pop(f"tls_{name}") for name in ("certificate", "key", "trusted")),
    )
    window, timeout = given.pop("window"), given.pop("answer_timeout")
    report_file, examples = given.pop("report_file"), not given.pop("no_examples")
    options = _options(given)
    target = Target(server.host, server.port, server.credentials, window, timeout)
    try:
        prepared = prepare(file, options)
    except UnusableError as error:
        raise RefusedError(str(error)) from None
    except _document_error() as error:
        raise _in_words(error) from None
    result = play(prepared, target, None if run.out.as_json else _progress())
    document = result.document()
    if report_file is not None:
        report_file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    if run.out.as_json:
        print_json(document)
    else:
        click.echo(result.as_text(examples=examples))
    return 0 if result.ok else 1


def _options(given: dict[str, Any]) -> "Options":
    from simulators.replay.loading import Selection
    from simulators.replay.player import Pace
    from simulators.replay.preparing import Options

    return Options(
        _rules(given),
        Selection(given["captured_port"] or 0, given["first"] or 0, given["by_tshark"]),
        Pace(given["speed"]),
        given["partial"],
        not given["no_compare"],
    )


def _rules(given: dict[str, Any]) -> "Rules":
    """The rules file, with the options before its own rules."""
    from simulators.replay.rules import Rules, SubscriberRewrite, load_rules, with_options

    try:
        rules = Rules() if given["rules_file"] is None else load_rules(given["rules_file"])
    except _document_error() as error:
        raise _in_words(error) from None
    except UnicodeDecodeError:
        raise RefusedError(f"{given['rules_file']} is not UTF-8 text") from None
    tolerances = rules.tolerances.model_copy(
        update={
            name: given[option]
            for name, option in (
                ("granted_percent", "granted_tolerance"),
                ("validity_seconds", "validity_tolerance"),
            )
            if given[option] is not None
        }
    )
    subscribers = []
    for text in given["subscriber"]:
        match, equals, replace = text.rpartition("=")
        if not equals:
            raise UsageError(f"--subscriber needs MATCH=NEW, not '{text}'")
        subscribers.append({"match": match, "replace": replace})
    try:
        return with_options(
            rules,
            origin_host=(*_rewrites(given["origin_host"]), *rules.origin_host),
            origin_realm=(*_rewrites(given["origin_realm"]), *rules.origin_realm),
            subscriber=(
                *(SubscriberRewrite.model_validate(one) for one in subscribers),
                *rules.subscriber,
            ),
            session_id=given["session_ids"],
            timestamps=given["timestamps"],
            agent=given["agent"],
            tolerances=tolerances,
            ignore=(*rules.ignore, *given["ignore"]),
        )
    except ValueError as error:
        raise UsageError(_first_words(error)) from None


def _rewrites(texts: tuple[str, ...]) -> tuple[Any, ...]:
    from simulators.replay.rules import single_rewrite

    try:
        return tuple(single_rewrite(text) for text in texts)
    except ValueError as error:
        raise UsageError(_first_words(error)) from None


def _first_words(error: ValueError) -> str:
    """What pydantic says about the first mistake, or the error itself."""
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return str(first["msg"]).removeprefix("Value error, ")
    return str(error)


def _document_error() -> type[Exception]:
    from simulators.scenarios.document import DocumentError as SimulatorDocumentError

    return SimulatorDocumentError


def _in_words(error: Any) -> DocumentError:
    return DocumentError(
        tuple(
            Problem(one.message, one.source, one.line, one.column, one.path)
            for one in error.problems
        )
    )


def _progress() -> Any:
    from simulators.reports.report import progress_line

    target = console(stderr=True)
    before: dict[str, Any] = {}
    spoken = 0.0

    def progress(measured: "Measurements", seconds: float) -> None:
        nonlocal spoken
        if seconds - spoken >= 1.0:
            spoken = seconds
            target.print(progress_line(measured, seconds, before))

    return progress
