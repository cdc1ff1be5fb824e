"""The parser of server-sent events, against a reading of whole streams by the standard's grammar."""

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipeline.auth0.sse import Message, Parser

value = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=6)
line = st.one_of(
    st.just(""),
    st.builds(lambda name, space, text: f"{name}:{space}{text}", st.sampled_from(
        ["data", "event", "id", "retry", "", "other"]), st.sampled_from(["", " ", "  "]), value),
    st.sampled_from(["data", "id", "event", "retry: 250", "retry: ²", "id: a\0b", ":beat", "\ufeffdata: x"]),
    value,
)  # fmt: skip
ends = st.sampled_from(["\n", "\r", "\r\n"])
streams = st.lists(st.tuples(line, ends), max_size=25).map(lambda parts: "".join(a + b for a, b in parts))


def whole(text: str) -> tuple[list[Message], float | None]:
    """Read a whole stream at once."""
    found: list[Message] = []
    data: list[str] = []
    event = identity = ""
    retry: float | None = None
    lines = re.split("\r\n|\r|\n", text.removeprefix("\ufeff"))
    for one in lines[:-1]:
        name, _, rest = one.partition(":")
        rest = rest[1:] if rest.startswith(" ") else rest
        if one == "":
            if data:
                found.append(Message(event or "message", "\n".join(data), identity))
            event, data = "", []
        elif name == "event":
            event = rest
        elif name == "data":
            data.append(rest)
        elif name == "id" and "\0" not in rest:
            identity = rest
        elif name == "retry" and re.fullmatch("[0-9]+", rest):
            retry = int(rest) / 1000
    return found, retry


@given(streams, st.booleans(), st.data())
def test_cuts_anywhere_change_nothing(text: str, marked: bool, data: st.DataObject) -> None:
    content = ("\ufeff" * marked + text).encode()
    cuts = data.draw(st.lists(st.integers(0, len(content)), max_size=12).map(sorted))
    parser, found = Parser(), []
    for begin, end in pairwise([0, *cuts, len(content)]):
        found += parser.feed(content[begin:end])
    assert (found, parser.retry) == whole("\ufeff" * marked + text)


@given(streams)
def test_single_bytes_change_nothing(text: str) -> None:
    parser = Parser()
    found = [message for byte in text.encode() for message in parser.feed(bytes([byte]))]
    assert found == whole(text)[0]


def test_the_example_of_the_documentation() -> None:
    text = (
        ":connected\n\nretry: 2000\n\nevent: user.created\nid: MTIz==\ndata: {\"offset\":\"MTIz==\"}\n\n"
        ": heartbeat\n\nevent: offset-only\nid: 4Lcu\ndata: {}\n\nevent: user.updated\ndata: cut o"
    )  # fmt: skip
    parser = Parser()
    assert parser.feed(text.encode()) == [
        Message("user.created", '{"offset":"MTIz=="}', "MTIz=="), Message("offset-only", "{}", "4Lcu")
    ]  # fmt: skip
    assert parser.retry == 2


def test_damaged_utf_8_is_replaced_and_the_rest_is_read() -> None:
    assert Parser().feed(b"data: \xff\xe2\x82\n\ndata: b\n\n") == [
        Message("message", "\ufffd\ufffd", ""), Message("message", "b", "")
    ]  # fmt: skip
