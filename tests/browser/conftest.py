"""One browser, one server and one tab for all tests of a process."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

import fathom
from fathom.explorer.pages import all_pages
from tests.browser import driving
from tests.browser.driving import Site, Tab

each_page = pytest.mark.parametrize(
    "path", [page.path for page in all_pages(Path("runs"))], ids=lambda path: path or "home"
)
HOSTILE = "<img src=x onerror=document.title='taken'>"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    reason = driving.missing()
    if reason is not None:
        pytest.skip(reason)
    with driving.browser() as opened:
        yield opened


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, and one that broke off and has a hostile name."""
    folder = tmp_path_factory.mktemp("explored") / "runs"
    recipe = fathom.recipe("default", "digits", epochs=2)
    tiny = type(recipe.model)("cifar_resnet20", {"depths": [1, 1, 1], "widths": [4, 4, 4]})
    recipe = dataclasses.replace(recipe, model=tiny)
    for _ in zip(range(3), fathom.train(recipe, out=folder / HOSTILE), strict=False):
        pass
    list(fathom.train(recipe, out=folder / "whole"))
    return folder


@pytest.fixture(scope="session")
def site(browser: Browser, runs: Path) -> Iterator[Site]:
    """The explorer of those runs, served."""
    with driving.serving_pages(all_pages(runs), runs) as served:
        yield served


@pytest.fixture(scope="session")
def shared_tab(browser: Browser, site: Site) -> Iterator[Tab]:
    tab = Tab(browser, site.address)
    yield tab
    tab.context.close()


@pytest.fixture
def tab(shared_tab: Tab) -> Iterator[Tab]:
    """The tab, which has to be without faults at the end of each test."""
    shared_tab.faults.clear()
    yield shared_tab
    shared_tab.show()  # a test that failed halfway may have left it narrow or dark
    assert shared_tab.faults == []
