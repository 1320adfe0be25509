"""What the demo's tests share: one quick run of the whole application, and a reader of the HTML report."""

from html.parser import HTMLParser

import pytest

from perfkit.demo import app
from perfkit.demo.results import Options


def _say(doing):
    assert doing.startswith("app: ")


@pytest.fixture(scope="session")
def whole_app():
    return app.run(Options(quick=True), _say)


class Page(HTMLParser):
    """An HTML page whose elements are all closed, in their order: its text, figures, attributes and styles."""

    VOID = frozenset({"meta"})

    def __init__(self, source):
        super().__init__()
        self.open, self.attributes, self.figures, self.tags = [], [], set(), []
        self.text = self.style = ""
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *each) for each in attrs]
        if tag == "data":
            self.figures.add(float(dict(attrs)["value"]))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            self.style += data
        else:
            self.text += data

    def values(self, name):
        """Return the values of an attribute."""
        return [value for _, each, value in self.attributes if each == name]


@pytest.fixture(scope="session")
def parsed():
    return Page


@pytest.fixture(scope="session")
def figures():
    """``figures(report)``: every number of the parts of a JSON report."""

    def within(value):
        if isinstance(value, dict):
            return set().union(*map(within, value.values()))
        if isinstance(value, list):
            return set().union(*map(within, value))
        return {float(value)} if isinstance(value, int | float) and not isinstance(value, bool) else set()

    return lambda report: within(report["parts"])
