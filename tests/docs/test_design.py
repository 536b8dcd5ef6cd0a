"""The page on the design lists the modules that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "design.md"


def test_every_module_is_in_the_table_and_every_entry_exists():
    listed = re.findall(r"^\| `(_\w+/_\w+)` \|", PAGE.read_text(), re.M)
    package = ROOT / "skmaxent"
    modules = {
        f"{path.parent.name}/{path.stem}"
        for path in package.glob("_*/_*.py")
        if path.stem != "__init__"
    }
    assert len(listed) == len(set(listed))
    assert set(listed) == modules


def test_packages_are_listed_in_the_order_of_the_import_contract():
    contract = re.search(r"(?s)layers = \[(.*?)\]", (ROOT / "pyproject.toml").read_text()).group(1)
    layers = re.findall(r"_\w+", contract)
    listed = re.findall(r"^\| `(_\w+)` \|", PAGE.read_text(), re.M)
    assert listed == layers
