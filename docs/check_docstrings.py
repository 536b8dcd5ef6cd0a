"""Numpydoc's validation of everything public; exits with 1 where something is missing.

python docs/check_docstrings.py
"""

import inspect
import sys
from dataclasses import is_dataclass

from numpydoc.validate import validate

import skmaxent

# What not every docstring needs: a longer summary, other places to see, a description besides the
# type of what is returned, a verb to begin with.
OPTIONAL = {"ES01", "SA01", "RT03", "SS05"}
# Results are made by functions, not by users: their fields are attributes.
FOR_CALLERS = {"PR01"}
# An example is asked for where users begin: in each public object, not in each of its methods.
FOR_OBJECTS = {"EX01"}


def public():
    """Public names, and those of their methods and properties that are ours."""
    for name in skmaxent.__all__:
        found = getattr(skmaxent, name)
        yield f"skmaxent.{name}", True
        for member in dir(found) if inspect.isclass(found) else ():
            static = inspect.getattr_static(found, member)
            ours = getattr(getattr(found, member), "__module__", "") or ""
            is_ours = isinstance(static, property) or ours.startswith("skmaxent")
            if not member.startswith("_") and is_ours:
                yield f"skmaxent.{name}.{member}", False


def main():
    n_errors = 0
    for name, is_object in public():
        skipped = OPTIONAL if is_object else OPTIONAL | FOR_OBJECTS
        if is_object and is_dataclass(getattr(skmaxent, name.split(".")[1])):
            skipped = skipped | FOR_CALLERS
        for code, message in validate(name)["errors"]:
            if code in skipped:
                continue
            print(f"{name}: {code} {message}")
            n_errors += 1
    print(f"{n_errors} errors")
    return int(n_errors > 0)


if __name__ == "__main__":
    sys.exit(main())
