"""Pictures of every page of the explorer, wide and narrow, light and dark, to look at.

python -m benchmarks.explorer_pages --out pictures

What the browser complains of on the way is printed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.browser import driving
from tests.browser.driving import NARROW, WIDE, Tab

from fathom.explorer.pages import all_pages


def main() -> None:
    """Open the pages, and keep how each looks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--pages", nargs="*", help="addresses, such as runs or ?x=year; else all")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    pages = all_pages(options.runs)
    paths = options.pages or [page.path for page in pages]
    with driving.browser() as browser, driving.serving_pages(pages, options.runs) as site:
        for width in (WIDE, NARROW):
            tab = Tab(browser, site.address, width=width)
            for path in paths:
                tab.open(path)
                for scheme in ("light", "dark"):
                    tab.show(width=width, scheme=scheme)
                    name = "".join(c if c.isalnum() else "-" for c in path) or "home"
                    file = options.out / f"{name}-{width}-{scheme}.png"
                    tab.page.screenshot(path=file, full_page=True)
                    print(file, *tab.faults, sep="\n  ", flush=True)
                    tab.faults.clear()
            tab.context.close()


if __name__ == "__main__":
    main()
