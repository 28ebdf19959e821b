"""The demonstration that README.md begins with."""

from demo_l7 import demonstrate


def test_it_shows_what_it_says(site):
    demonstrate(site)
