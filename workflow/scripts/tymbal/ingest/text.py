"""Text files as labs have them: in one of a few encodings, decoded strictly, never with replacement characters."""

import codecs
import json
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, TypeVar

from tymbal.errors import InputError

T = TypeVar("T")

MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
UNSURE = "would fit as well; compare names that are not ASCII"  # part of the name of an encoding
ENCODINGS = ("utf-8", "cp950", "gbk")  # of files without a byte-order mark; cp950 holds all of Big5


def read_text(path: Path, parse: Callable[[str], T], names: Collection[str] = ()) -> tuple[T, str]:
    """Read a text file in the first encoding that decodes it strictly and under which it is what is expected.

    Most bytes decode under several encodings, and only one gives what was written. So the content decides: `parse`
    must find what it needs, and of the encodings under which it does, the one with most of `names` is taken.

    Args:
        path: the file.
        parse: from the text, which may be empty, to what is needed of it; raises InputError if that is not there.
        names: names that should occur somewhere in the text, such as the classes as the source calls them.

    Returns:
        What `parse` gave, and the encoding; if another one could be meant as well, that is said beside it.

    Raises:
        InputError: the file cannot be read, decodes under no encoding, or `parse` refuses all of them.
    """
    telling = {name for name in names if not name.isascii()}  # ASCII looks the same under most encodings
    accepted: tuple[T, str] | None = None
    most = -1
    others: list[str] = []  # that are as good
    refused = []
    for encoding, text in _decodings(path):
        try:
            value = parse(text)
        except InputError as error:
            refused.append((encoding, error))
            continue
        found = sum(name in text for name in telling)
        if found > most:
            accepted, most, others = (value, encoding), found, []
        elif found == most:
            others.append(encoding)
        if encoding.startswith("utf") or 0 < found == len(telling):
            break  # hardly anything else is UTF by chance
    if accepted is not None:
        value, encoding = accepted
        return value, f"{encoding} ({', '.join(others)} {UNSURE})" if others else encoding
    if len(refused) == 1:
        raise refused[0][1]
    raise InputError("\n".join(f"read as {encoding}: {error}" for encoding, error in refused))


def parse_json(text: str, name: str) -> Any:
    """The value of a JSON text.

    Args:
        text: the JSON.
        name: its file's, for messages.

    Raises:
        InputError: it is not valid JSON, holds NaN, Infinity or a key twice, or is nested too deeply to be read.
    """
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse)
        if "\\ud" in text.casefold():
            json.dumps(value, ensure_ascii=False).encode()  # half a character, escaped, could never be written again
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is not valid JSON ({error}). Correct it there.") from error
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    held = dict(pairs)
    if len(held) < len(pairs):
        raise ValueError(f"a key occurs twice in an object that holds {str(pairs)[:200]}")
    return held


def _refuse(constant: str) -> Any:
    raise ValueError(f"it holds {constant}, which is no number in JSON")


def _decodings(path: Path) -> Iterator[tuple[str, str]]:
    """Encoding and text, for every encoding that may be meant."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}). Correct its path in the settings, or `data_root` and `roots`."
        ) from error
    decoded = False
    for encoding in _candidates(data):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:  # never part of a text: of another encoding, or a damaged file
            decoded = True
            yield encoding, text
        if text.isascii():
            break  # all further encodings would give the same
    if not decoded:
        raise InputError(
            f"{path} is not text in UTF-8, Big5 (cp950), GBK or UTF-16; as UTF-8 it ends at {_failure(data)}. "
            "Save it again as UTF-8 (in Excel: 'CSV UTF-8'); if it is not a text file, correct the settings."
        )


def _candidates(data: bytes) -> list[str]:
    marked = [encoding for mark, encoding in MARKS.items() if data.startswith(mark)]
    if marked:
        return marked
    if 100 * data.count(0) > len(data):
        # Commas and line ends in UTF-16 hold a zero byte each, the second of a pair in little-endian order. Fewer
        # zeros than in such a text are damage.
        little = data[1::2].count(0) >= data[0::2].count(0)
        return ["utf-16-le", "utf-16-be"] if little else ["utf-16-be", "utf-16-le"]
    return list(ENCODINGS)


def _failure(data: bytes) -> str:
    """Where the data stop being text in UTF-8."""
    try:
        data.decode("utf-8")
        position, what = data.index(b"\0"), "a NUL character"
    except UnicodeDecodeError as error:
        position, what = error.start, error.reason
    line = data.count(b"\n", 0, position) + 1
    return f"line {line}, byte {position + 1} of the file ({what})"
