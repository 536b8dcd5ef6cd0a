"""Examples in the docstrings of public methods, which pytest collects for modules alone."""

import doctest
import inspect

import pytest

import skmaxent

CLASSES = [
    member for name in skmaxent.__all__ if inspect.isclass(member := getattr(skmaxent, name))
]
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def examples():
    parser = doctest.DocTestParser()
    for cls in CLASSES:
        for name, member in vars(cls).items():
            docstring = inspect.getdoc(member)
            if not name.startswith("_") and docstring and ">>>" in docstring:
                place = f"{cls.__name__}.{name}"
                yield pytest.param(parser.get_doctest(docstring, {}, place, None, 0), id=place)


@pytest.mark.parametrize("example", list(examples()))
def test_examples_of_methods_print_what_they_say(example):
    results = doctest.DocTestRunner(optionflags=FLAGS).run(example)
    assert results.attempted > 0
    assert results.failed == 0


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_a_public_class_names_the_package_as_its_module(cls):
    assert cls.__module__ == "skmaxent"
