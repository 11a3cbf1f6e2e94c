"""What every test gets: the plugins of tests/support."""

pytest_plugins = [
    "tests.support.ci",
    "tests.support.postgres",
    "tests.support.results",
    "tests.support.rules",
    "tests.support.tools",
]
