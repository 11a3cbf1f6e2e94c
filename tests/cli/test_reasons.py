"""The text form of why a price is taken and the others are not."""

from pathlib import Path

CATALOGUE = """
name: Choice
currency: EUR
time_zone: UTC
time_bands:
  night: {from: 22:00, to: 06:00}
services:
  data:
    contexts: 32251@3gpp.org
    default: true
    unit: octets
    quota: {slice: 10 MB}
plans:
  basic:
    services:
      data:
        prices:
          - {when: {rat: nr}, price: 0.09, per: 1 MB, increment: 1 MB, code: fast}
          - {time_band: night, price: 0.01, per: 1 MB, increment: 1 MB, code: at-night}
          - {price: 0.05, per: 1 MB, increment: 1 MB, code: by-day}
"""



def test_people_see_why_a_price_is_taken(cli, tmp_path: Path):
    path = tmp_path / "choice.yaml"
    path.write_text(CATALOGUE, encoding="utf-8")
    shown = cli(
        "price", "data", "1 MB", "--plan", "basic", "--catalogue", str(path),
        "--at", "2026-01-05T23:00:00Z",
    )  # fmt: skip
    assert shown.code == 0, shown.err
    assert "* 'at-night' is taken: it is the most specific that holds: time band" in shown.out
    assert "- 'fast' wants rat nr, which was not said" in shown.out
