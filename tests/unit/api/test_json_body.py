"""What is taken for JSON: what every reader takes alike, and nothing else."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.http.json_body import DEEPEST, MalformedJsonError, loads

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda children: st.lists(children) | st.dictionaries(st.text(max_size=5), children),
)


@given(JSON)
def test_any_json_document_is_read_as_it_is(document: object) -> None:
    """What the standard library writes in strict mode comes back unchanged."""
    text = json.dumps(document, allow_nan=False)
    assert loads(text.encode()) == json.loads(text)


@given(st.binary(max_size=100))
def test_arbitrary_bytes_are_read_or_refused(data: bytes) -> None:
    """Nothing but a value or the one error comes of any bytes."""
    with suppress(MalformedJsonError):
        loads(data)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "line 1, column 1"),
        (b'{"a": }', "line 1, column 7"),
        (b"{} {}", "Extra data"),
        (b"\xff", "Byte 0 is not UTF-8"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        (b"\xef\xbb\xbf{}", "BOM"),
        (b"[NaN]", "NaN is not a JSON number"),
        (b"[-Infinity]", "-Infinity is not a JSON number"),
        (b"1e999", "larger than a double"),
        (b"1" * 5000, "more than 1000 digits"),
        (b'{"a": 1, "a": 2}', "two members named 'a'"),
        (b'["\\ud800"]', "half a surrogate pair"),
        (b'{"\\udfff": 1}', "half a surrogate pair"),
        (b"[" * 200 + b"]" * 200, f"more than {DEEPEST} levels"),
        (b"[" * 200_000, f"more than {DEEPEST} levels"),
        (b'{"a":' * 150 + b"1" + b"}" * 150, f"more than {DEEPEST} levels"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_readers_differ_on_is_refused(data: bytes, said: str) -> None:
    """Broken, ambiguous and bottomless documents are refused, with a reason."""
    with pytest.raises(MalformedJsonError, match=said):
        loads(data)


def test_a_surrogate_pair_is_one_character() -> None:
    """An escaped pair is an ordinary character beyond the basic plane."""
    assert loads(b'"\\ud83d\\ude00"') == "\N{GRINNING FACE}"


def test_nesting_up_to_the_limit_is_read() -> None:
    """As deep as documented is fine."""
    data = b"[" * DEEPEST + b"]" * DEEPEST
    assert loads(data) == json.loads(data)
