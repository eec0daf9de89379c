"""The explorer: look instead of read, in the browser, without a network.

    fathom explore

A page is a `Page`: controls, whose values stand in the address, and cards, each drawn by a function
of some of these values. So a view can be shared and reloaded, a card that fails leaves the others
alone, and what is shown can be tested as a function. Every number comes from the code that trains.
"""

from fathom.explorer.app import make_app
from fathom.explorer.page import Card, Click, Page

__all__ = ["Card", "Click", "Page", "make_app"]
