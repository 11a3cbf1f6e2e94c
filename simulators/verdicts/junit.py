"""A report as JUnit XML, which systems for continuous integration show test by test.

One suite: the run itself is a test, and so is every verdict. Called by `ocs simulate run --junit`.
"""

import re
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from simulators.reports.report import Report

_NEVER_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(report: Report, began_unix_ns: int) -> bytes:
    """The whole file, UTF-8."""
    failed = [one for one in report.verdicts if not one.ok]
    errors = [] if report.flowed else _problems(report)
    counts = {
        "tests": str(len(report.verdicts) + 1),
        "failures": str(len(failed)),
        "errors": str(int(bool(errors))),
        "skipped": "0",
        "time": f"{report.seconds:.3f}",
    }
    root = ET.Element("testsuites", {"name": "ocs simulate", **counts})
    began = datetime.fromtimestamp(began_unix_ns // 1_000_000_000, UTC)
    suite = ET.SubElement(
        root,
        "testsuite",
        {"name": _text(report.scenario), **counts, "timestamp": f"{began:%Y-%m-%dT%H:%M:%S}"},
    )
    run = _case(suite, report, "the run", report.seconds)
    if errors:
        error = ET.SubElement(run, "error", {"message": _text(errors[0]), "type": "problem"})
        error.text = _text("\n".join(errors))
    for verdict in report.verdicts:
        case = _case(suite, report, verdict.name, 0.0)
        if not verdict.ok:
            words = f"expected {verdict.expected}; found {verdict.found}"
            failure = ET.SubElement(
                case, "failure", {"message": _text(words), "type": "expectation"}
            )
            failure.text = _text(words)
    ET.SubElement(suite, "system-out").text = _text(report.as_text())
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _problems(report: Report) -> list[str]:
    problems = list(report.problems)
    if report.differing_answers:
        problems.append(f"{report.differing_answers} repeated answers differ from the first one")
    if not report.answers:
        problems.append("nothing was answered")
    return problems


def _case(suite: ET.Element, report: Report, name: str, seconds: float) -> ET.Element:
    return ET.SubElement(
        suite,
        "testcase",
        {
            "classname": f"simulate.{_text(report.scenario)}",
            "name": _text(name),
            "time": f"{seconds:.3f}",
        },
    )


def _text(words: str) -> str:
    """Without what XML has no way to say."""
    return _NEVER_IN_XML.sub("\N{REPLACEMENT CHARACTER}", words)
