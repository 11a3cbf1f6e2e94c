"""What every test gets: the plugins of tests/support."""

pytest_plugins = [
    "tests.support.ci",
    "tests.support.tools",
    "tests.support.postgres",
    "tests.support.recording",  # after ci and tools, which it imports
    "tests.support.results",
    "tests.support.rules",
]
