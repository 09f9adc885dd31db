"""What a browser would make of something that shows itself in a notebook."""

import html.parser


class Reader(html.parser.HTMLParser):
    """Tags, attributes and text of a piece of HTML, each tag closed."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.words, self._open = [], [], "", []
        self.feed(page)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag != "br":
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, words):
        self.words += words + " "


def require_whole(page):
    """HTML that needs nothing else and is right on a light and on a dark ground."""
    read = Reader(page)
    assert not {"script", "style", "link", "img", "iframe", "a"} & set(read.tags)
    names = {name for name, _ in read.attributes}
    assert not any(name.startswith("on") or name in ("src", "href", "class", "id") for name in names)
    styles = " ".join(value for name, value in read.attributes if name in ("style", "stroke", "fill"))
    assert "url(" not in styles
    assert not any(f"{name}:#" in styles or f"{name}:white" in styles for name in ("color", "background"))
    return read
