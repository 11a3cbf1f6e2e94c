"""The house style that no checker knows: sizes, banned calls, where Twisted may live, dead modules.

Each test lists every offender with its place, so that one run shows all there is to mend.
"""

import ast
import configparser
import re

import pytest

from tests.support.sources import PRODUCT, ROOT, Module, files, modules

pytestmark = pytest.mark.xdist_group("tidy")
"""Whoever has read and parsed the sources uses them for all tests."""

MODULE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60

PURE = ("ocs.catalog", "ocs.rating", "ocs.ledger", "ocs.charging", "ocs.amounts")
MONEY = (*PURE, "ocs.currencies", "ocs.provisioning")
TWISTED = (
    *("protocol.transport", "protocol.transport_sctp", "protocol.transport_tls"),
    *("ocs.service", "ocs.app"),
    *("simulators.traffic.gateway", "simulators.traffic.simulation"),
    *("simulators.traffic.running", "simulators.replay.carrier"),
)
WALL_CLOCK = ("time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "date.today")

IMPURE_MODULES = {
    *("time", "random", "secrets", "uuid", "os", "io", "socket", "threading", "asyncio"),
    *("subprocess", "pathlib", "logging", "structlog", "yaml", "sqlite3", "sqlalchemy", "alembic"),
    *("psycopg", "twisted"),
}
IMPURE_CALLS = {"open", "print", "input", "breakpoint", *WALL_CLOCK}

# Words left for later work, and paths of somebody's own machine.
UNFINISHED = re.compile(r"\b(?:[T]ODO|[F]IXME|[H]ACK)\b")
MACHINE_PATH = re.compile(r"(?<![\w.*])/(?:home|root|work|Users)/\w|[A-Z]:\\Users\\")


def assert_none(offenders: list[str]) -> None:
    assert not offenders, "\n".join(["", *offenders])


def functions(module: Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [
        node
        for node in module.nodes
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def is_table(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """One statement beside the docstring: a long one is a table, with nothing to follow."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return len(body) <= 1 and not any(hasattr(statement, "body") for statement in body)


def called_as(name: str, *banned: str) -> bool:
    """`datetime.datetime.now` is `datetime.now`, however it was imported."""
    return any(name == one or name.endswith(f".{one}") for one in banned)


def test_there_is_something_to_check() -> None:
    assert {"ocs.amounts", "protocol.codec"} <= {module.name for module in modules(*PRODUCT)}


def test_no_module_is_longer_than_500_lines() -> None:
    long = [
        f"{module.place}: {lines} lines"
        for module in modules()
        if (lines := len(module.text.splitlines())) > MODULE_LINES_MAX
    ]
    assert_none(long)


def test_no_function_is_longer_than_60_lines() -> None:
    long = [
        f"{module.place}:{node.lineno} {node.name}: {lines} lines"
        for module in modules()
        for node in functions(module)
        if (lines := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES_MAX
        and not is_table(node)
    ]
    assert_none(long)


def test_every_module_says_what_it_is() -> None:
    assert_none([module.place for module in modules() if not ast.get_docstring(module.tree)])


def test_the_only_future_import_is_annotations() -> None:
    others = [
        f"{module.place}:{line} {name}"
        for module in modules()
        for name, line in module.imports()
        if name.startswith("__future__.") and name != "__future__.annotations"
    ]
    assert_none(others)


def test_pure_packages_have_no_clock_no_chance_and_no_outside_world() -> None:
    impure = [
        f"{module.place}:{line} imports {name}"
        for module in modules(*PURE)
        for name, line in module.imports()
        if name.split(".")[0] in IMPURE_MODULES
    ] + [
        f"{module.place}:{line} calls {name}"
        for module in modules(*PURE)
        for name, line in module.calls()
        if called_as(name, *IMPURE_CALLS)
    ]
    assert_none(impure)


def test_only_the_clock_asks_for_the_time_of_day() -> None:
    asked = [
        f"{module.place}:{line} {name}"
        for module in modules("ocs", "protocol", "config")
        if module.name != "ocs.clock"
        for name, line in module.calls()
        if called_as(name, *WALL_CLOCK)
    ]
    assert_none(asked)


def test_money_never_meets_a_float() -> None:
    floats = [
        f"{module.place}:{node.lineno} {ast.unparse(node)}"
        for module in modules(*MONEY)
        for node in module.nodes
        if (isinstance(node, ast.Constant) and isinstance(node.value, float))
        or (isinstance(node, ast.Name) and node.id == "float")
    ] + [
        f"{module.place}:{node.lineno} {ast.unparse(node)}"
        for module in modules(*PURE)
        for node in module.nodes
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div)
    ]
    assert_none(floats)


def test_only_commands_print() -> None:
    printed = [
        f"{module.place}:{line}"
        for module in modules(*PRODUCT)
        if not module.inside("ocs.cli")
        for name, line in module.calls()
        if name == "print"
    ]
    assert_none(printed)


def test_twisted_lives_at_the_edge() -> None:
    strays = [
        f"{module.place}:{line} {name}"
        for module in modules(*PRODUCT)
        if not module.inside(*TWISTED)
        for name, line in module.imports()
        if name == "twisted" or name.startswith("twisted.")
    ]
    assert_none(strays)


def test_no_module_installs_a_reactor_by_being_imported() -> None:
    """`from twisted.internet import reactor` at the top of a file picks the default reactor."""
    early = [
        f"{module.place}:{node.lineno}"
        for module in modules(*PRODUCT)
        for node in module.tree.body
        if isinstance(node, ast.ImportFrom)
        and node.module == "twisted.internet"
        and "reactor" in {alias.name for alias in node.names}
    ]
    assert_none(early)


def test_no_module_is_dead() -> None:
    """Each is imported by the product or the benchmarks, named by one in a string, or started."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    scripts = parser["options.entry_points"]["console_scripts"]
    used = set(re.findall(r"=\s*([\w.]+):", scripts))
    for module in modules(*PRODUCT, "benchmarks"):
        used |= {name for name, _ in module.imports() if name != module.name}
        used |= {
            node.value
            for node in module.nodes
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
    dead = [
        module.place
        for module in modules(*PRODUCT)
        if module.path.name not in {"__init__.py", "__main__.py"}
        and not module.inside("ocs.store.migrations")
        and module.name not in used
    ]
    assert_none(dead)


def test_nothing_is_left_for_later() -> None:
    assert_none(offending_lines(UNFINISHED))


def test_no_path_of_somebodys_machine() -> None:
    assert_none(offending_lines(MACHINE_PATH))


def offending_lines(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number} {line.strip()}"
        for path in files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]


def test_the_patterns_find_what_they_should() -> None:
    assert UNFINISHED.search("# TO" + "DO: later")
    assert MACHINE_PATH.search("see /ho" + "me/ann/notes")
    assert not MACHINE_PATH.search("https://example.org/home/page")
