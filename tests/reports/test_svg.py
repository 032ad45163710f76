"""SVG elements: text of data can become neither markup nor control characters."""

from xml.etree import ElementTree

from appliance.reports import svg
from tests.reports.example import HOSTILE


def test_text_of_data_stays_text() -> None:
    drawing = svg.drawing(
        10, 10, HOSTILE, [svg.text(1, 2, HOSTILE), svg.dot(1, 1, "good", HOSTILE)]
    )
    root = ElementTree.fromstring(drawing)
    assert {element.tag for element in root.iter()} == {"svg", "text", "circle", "title"}
    shown = "".join(root.itertext()) + root.attrib["aria-label"]
    assert "\x1b" not in shown and "\u202e" not in shown
    assert "<script>alert(1)</script>" in shown


def test_long_labels_are_cut() -> None:
    assert len(svg.safe("x" * 500)) == svg.LABEL_LIMIT + 1


def test_elements_are_where_they_were_put() -> None:
    line, box, path = (
        svg.line(0, 1, 2, 3, "grid"),
        svg.box(1, 2, 3, 4, "good"),
        svg.path([(0, 1)], ""),
    )
    assert line == '<line x1="0.0" y1="1.0" x2="2.0" y2="3.0" class="grid"/>'
    assert 'width="3.0" height="4.0"' in box
    assert path == '<polyline points="0.0,1.0"/>'
