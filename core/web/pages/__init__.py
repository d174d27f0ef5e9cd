"""The pages that `amphipod serve` serves: Jinja2 templates, two files of our own for the browser, French from a .po."""
