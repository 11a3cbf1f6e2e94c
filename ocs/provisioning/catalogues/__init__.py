"""What is sold: checked, compared, published, rolled back, explained, tried on recorded usage.

catalogs, catalog_versions  publishing, and what is in force when
catalog_diff                what a draft changes
examples, prices, choices   what something costs, and why it is that price
whatif, whatif_pages        what recorded usage would have cost by a draft
"""
