"""Links from the HTML view of an estimator to its page in the documentation."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, metadata


@cache
def documentation_site() -> str | None:
    """Return the address of the documentation in the metadata of the package; None without one."""
    try:
        urls = metadata("skmaxent").get_all("Project-URL") or []
    except PackageNotFoundError:
        return None
    addresses = dict(url.split(", ", 1) for url in urls)
    return addresses.get("Documentation")


def documentation_link(name: str) -> str:
    """Return the address of the page of a public class; empty where there is no site."""
    site = documentation_site()
    return "" if site is None else f"{site.rstrip('/')}/generated/skmaxent.{name}.html"
