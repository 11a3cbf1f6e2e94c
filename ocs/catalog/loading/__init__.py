"""Catalogue files: a marked YAML document becomes a Catalog, or every Problem in it.

document      the file as a whole; one module below it for each section or kind of value
values        codes, quantities, amounts and rates that all sections are made of
number_plans  destinations in CSV files beside a catalogue
schema        the JSON Schema for editors, out of the keys that the sections know
"""
