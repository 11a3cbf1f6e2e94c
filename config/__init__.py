"""The files that come with the server: commented settings, sample catalogues and scenarios.

This module only says where they are; nothing is read here.
"""

from pathlib import Path

_ROOT = Path(__file__).resolve().parent


def config_path(name: str) -> Path:
    """Return the place of a file by its name inside this package, such as ``ocs.yaml`` or
    ``catalogues/mobile.yaml``.

    Raises FileNotFoundError when there is no such file, ValueError when it is outside.
    """
    path = (_ROOT / name).resolve()
    if not path.is_relative_to(_ROOT):
        raise ValueError(f"'{name}' is outside the configuration files")
    if not path.is_file():
        raise FileNotFoundError(f"there is no configuration file '{name}' in {_ROOT}")
    return path


def settings_path() -> Path:
    """Return the place of the commented settings, all of them at their defaults."""
    return config_path("ocs.yaml")


def sample_catalogue_path() -> Path:
    """Return the place of the sample catalogue of a mobile operator, which the demo sells."""
    return config_path("catalogues/mobile.yaml")


def black_box_catalogue_path() -> Path:
    """Return the place of the catalogue that the black-box tests are written for."""
    return config_path("catalogues/black-box.yaml")
