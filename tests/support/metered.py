"""A catalogue of metered services, and an office that sells them."""

from collections.abc import Iterator
from contextlib import contextmanager

from ocs.provisioning.catalogues import catalogs
from tests.support.desks import Office, open_office

METERED = """\
name: Metered
currency: EUR
time_zone: Europe/Madrid
time_bands:
  night: {from: 22:00, to: 06:00}
destinations:
  near: [34]
units:
  kWh: {decimals: 3}
attributes:
  meter: [main, car]
  site: any
services:
  energy: {unit: kWh}
  steam: {unit: kWh}
  transfer: {unit: octets}
  machine: {unit: seconds}
  ticket: {unit: events}
  letter: {unit: events, destination_rated: true}
  lamp: {unit: events}
  web:
    contexts: 32251@3gpp.org
    default: true
    unit: octets
    quota: {slice: 10 MB}
plans:
  basic:
    services:
      energy:
        prices:
          - {when: {meter: car}, price: 0.10}
          - {time_band: night, price: 0.12}
          - {price: 0.25}
      steam: {price: 1.00}
      transfer: {price: 0.02, per: 1 MB, increment: 1 MB}
      machine: {price: 0.60, per: 1 min, increment: 1 s}
      ticket: {price: 4.00}
      letter: {prices: [{destination: near, price: 1.00}, {price: 2.00}]}
      lamp: free
      web: {price: 0.02, per: 1 MB, increment: 100 kB}
    allowances:
      solar: {unit: kWh, amount: 3 kWh, services: energy}
"""


@contextmanager
def metered_office(url: str, text: str = METERED) -> Iterator[Office]:
    """Yield an office on a new database that sells ``text``."""
    with open_office(url, publish=False) as office:
        catalogs.publish(office.desk, text, "metered.yaml")
        yield office
