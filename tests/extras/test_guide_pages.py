"""The code of the pages that need an extra prints what they show."""

from pathlib import Path

import pytest
from helpers.pages import differences

DOCS = Path(__file__).parents[2] / "docs"


# Sockets of a cluster that the garbage collector finds first.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("page", ["callbacks", "distributed", "export"])
def test_the_pages_print_what_they_show(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert differences(DOCS / f"{page}.md", {"__name__": "__main__"}) == []
