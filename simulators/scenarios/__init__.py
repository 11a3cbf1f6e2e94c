"""What to simulate: YAML files that remember their lines, and the values read from them."""
