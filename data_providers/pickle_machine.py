"""The stack machine that a pickle is a program for, reduced to building plain data.

Python's own machine imports and calls whatever the program names. This one has nothing to call:
a name is looked up in a list that its user brings, and what the list does not hold is refused.
All steps take time and memory in proportion to the bytes they read, whatever a hostile file does.
Opcodes of all protocols are known, those of Python 2 too; strings of Python 2 are read as latin-1.
"""

from __future__ import annotations

import codecs
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

# A small object takes some 60 bytes, so this bounds the memory of a file of single-byte opcodes.
MAX_STEPS = 10_000_000

Find = Callable[[str], Callable[..., Any]]


class RefusedError(Exception):
    """The pickle asks for something that is not admitted."""


class Name(str):
    """A global name such as "numpy.dtype", and what makes objects of that name."""

    make: Callable[..., Any]


class Unbuilt(ABC):
    """An object that a name has made and whose state has not come yet.

    Nothing but its state can follow, so it is never part of anything.
    """

    def __init__(self) -> None:
        self.memo: list[int] = []  # where the finished object will be remembered

    @abstractmethod
    def build(self, state: Any) -> Any:
        """The finished object."""


class Machine:
    """Runs one pickle.

    Args:
        find: gives for "module.name" what makes the object from the pickle's arguments, or
            raises RefusedError.
    """

    def __init__(self, content: bytes, find: Find) -> None:
        self._content = content
        self._at = 0
        self._find = find
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """The object that the pickle describes.

        Raises:
            RefusedError: it asks for more than plain data.
            Exception: it is damaged.
        """
        for _ in range(MAX_STEPS):
            code = self._take(1)
            if code in _VALUES:
                self._stack.append(_VALUES[code](self))
            elif code in _ACTIONS:
                _ACTIONS[code](self)
            elif code == b".":
                return self._pop()
            else:
                raise ValueError(f"opcode {code!r} at byte {self._at - 1}")
        raise ValueError(f"more than {MAX_STEPS} steps")

    # --- reading ----------------------------------------------------------------------------

    def _take(self, count: int) -> bytes:
        end = self._at + count
        if count < 0 or end > len(self._content):
            raise ValueError("it ends too early")
        taken = self._content[self._at : end]
        self._at = end
        return taken

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _counted(self, form: str) -> bytes:
        """Bytes with their number before them."""
        return self._take(self._number(form))

    def _line(self) -> bytes:
        end = self._content.index(b"\n", self._at)
        line = self._take(end - self._at)
        self._at += 1
        return line

    def _int_line(self) -> int:
        line = self._line()
        return line == b"01" if line in (b"00", b"01") else int(line)  # so were booleans written

    def _quoted_line(self) -> str:
        line = self._line()
        if len(line) < 2 or line[:1] not in (b"'", b'"') or line[:1] != line[-1:]:
            raise ValueError("a string without its quotes")
        return codecs.escape_decode(line[1:-1])[0].decode("latin1")

    # --- the stack --------------------------------------------------------------------------

    def _pop(self) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise ValueError("nothing on the stack")
        return _whole(self._stack.pop())

    def _pop_to_mark(self) -> list[Any]:
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        return [_whole(item) for item in items]

    def _pop_tuple(self, size: int) -> tuple[Any, ...]:
        return tuple([self._pop() for _ in range(size)][::-1])

    def _mark(self) -> None:
        self._marks.append(len(self._stack))

    def _top(self, kind: type) -> Any:
        if not self._stack or type(self._stack[-1]) is not kind:
            raise ValueError(f"no {kind.__name__} to add to")
        return self._stack[-1]

    # --- containers -------------------------------------------------------------------------

    def _dict(self) -> dict[Any, Any]:
        return dict(_pairs(self._pop_to_mark()))

    def _extend(self, items: list[Any]) -> None:
        self._top(list).extend(items)

    def _update(self, items: list[Any]) -> None:
        self._top(dict).update(_pairs(items))

    def _add(self) -> None:
        items = self._pop_to_mark()
        self._top(set).update(map(checked_key, items))

    # --- memory -----------------------------------------------------------------------------

    def _put(self, key: int) -> None:
        value = self._stack[-1]
        if isinstance(value, Unbuilt):
            value.memo.append(key)
        self._memo[key] = value

    def _get(self, key: int) -> Any:
        return _whole(self._memo[key])

    # --- objects ----------------------------------------------------------------------------

    def _name(self, module: str, name: str) -> Name:
        # numpy 2 moved numpy.core to numpy._core; Python 3 moved __builtin__ to builtins.
        moved = module.replace("numpy._core", "numpy.core").replace("__builtin__", "builtins")
        found = Name(f"{moved}.{name}")
        found.make = self._find(found)
        return found

    def _global(self) -> Name:
        return self._name(self._line().decode("latin1"), self._line().decode("latin1"))

    def _stack_global(self) -> Name:
        module, name = self._pop_tuple(2)
        return self._name(str_of(module), str_of(name))

    def _call(self, name: Any, arguments: Any) -> Any:
        if not isinstance(name, Name) or not isinstance(arguments, tuple):
            raise ValueError("a call of what is no name")
        return name.make(*arguments)

    def _reduce(self) -> Any:
        name, arguments = self._pop_tuple(2)
        return self._call(name, arguments)

    def _object(self) -> Any:
        name, *arguments = self._pop_to_mark()
        return self._call(name, tuple(arguments))

    def _instance(self) -> Any:
        name = self._global()
        return self._call(name, tuple(self._pop_to_mark()))

    def _build(self) -> None:
        state = self._pop()
        unbuilt = self._stack[-1]
        if not isinstance(unbuilt, Unbuilt):
            raise ValueError(f"a state for what has none, a {type(unbuilt).__name__}")
        value = self._stack[-1] = unbuilt.build(state)
        self._memo.update(dict.fromkeys(unbuilt.memo, value))


def _whole(value: Any) -> Any:
    if isinstance(value, Unbuilt):
        raise ValueError("an object without its state")
    return value


def str_of(value: Any) -> str:
    """Raises: ValueError if it is no string."""
    if not isinstance(value, str):
        raise ValueError(f"expected a string, found a {type(value).__name__}")
    return value


def checked_key(key: Any) -> Any:
    """A key of a dict or an item of a set.

    Raises: ValueError for other than strings and ordinary numbers: a tuple can nest too deeply
        to be hashed, and large integers can be chosen to have the same hash all.
    """
    if isinstance(key, (str, bytes, float, type(None))) or (
        isinstance(key, int) and abs(key) < 2**60
    ):
        return key
    raise ValueError(f"a {type(key).__name__} as a key")


def _pairs(items: list[Any]) -> list[tuple[Any, Any]]:
    return [(checked_key(key), value) for key, value in zip(items[::2], items[1::2], strict=True)]


# Opcodes that put a value on the stack.
_VALUES: dict[bytes, Callable[[Machine], Any]] = {
    b"N": lambda m: None,
    b"\x88": lambda m: True,
    b"\x89": lambda m: False,
    b"K": lambda m: m._number("<B"),
    b"M": lambda m: m._number("<H"),
    b"J": lambda m: m._number("<i"),
    b"G": lambda m: m._number(">d"),
    b"I": lambda m: m._int_line(),
    b"L": lambda m: int(m._line().removesuffix(b"L")),
    b"F": lambda m: float(m._line()),
    b"\x8a": lambda m: int.from_bytes(m._counted("<B"), "little", signed=True),
    b"\x8b": lambda m: int.from_bytes(m._counted("<i"), "little", signed=True),
    b"S": lambda m: m._quoted_line(),
    b"V": lambda m: m._line().decode("raw-unicode-escape"),
    b"U": lambda m: m._counted("<B").decode("latin1"),
    b"T": lambda m: m._counted("<i").decode("latin1"),
    b"C": lambda m: m._counted("<B"),
    b"B": lambda m: m._counted("<I"),
    b"\x8e": lambda m: m._counted("<Q"),
    b"\x96": lambda m: m._counted("<Q"),
    b"\x8c": lambda m: m._counted("<B").decode("utf-8", "surrogatepass"),
    b"X": lambda m: m._counted("<I").decode("utf-8", "surrogatepass"),
    b"\x8d": lambda m: m._counted("<Q").decode("utf-8", "surrogatepass"),
    b")": lambda m: (),
    b"t": lambda m: tuple(m._pop_to_mark()),
    b"\x85": lambda m: m._pop_tuple(1),
    b"\x86": lambda m: m._pop_tuple(2),
    b"\x87": lambda m: m._pop_tuple(3),
    b"]": lambda m: [],
    b"l": lambda m: m._pop_to_mark(),
    b"}": lambda m: {},
    b"d": lambda m: m._dict(),
    b"\x8f": lambda m: set(),
    b"\x91": lambda m: frozenset(map(checked_key, m._pop_to_mark())),
    b"g": lambda m: m._get(int(m._line())),
    b"h": lambda m: m._get(m._number("<B")),
    b"j": lambda m: m._get(m._number("<I")),
    b"2": lambda m: _whole(m._stack[-1]),
    b"c": lambda m: m._global(),
    b"\x93": lambda m: m._stack_global(),
    b"R": lambda m: m._reduce(),
    b"\x81": lambda m: m._reduce(),
    b"o": lambda m: m._object(),
    b"i": lambda m: m._instance(),
}

# Opcodes that change what is there.
_ACTIONS: dict[bytes, Callable[[Machine], Any]] = {
    b"\x80": lambda m: m._number("<B"),  # protocol
    b"\x95": lambda m: m._number("<Q"),  # frame
    b"(": lambda m: m._mark(),
    b"0": lambda m: m._pop(),
    b"1": lambda m: m._pop_to_mark(),
    b"a": lambda m: m._extend([m._pop()]),
    b"e": lambda m: m._extend(m._pop_to_mark()),
    b"s": lambda m: m._update(list(m._pop_tuple(2))),
    b"u": lambda m: m._update(m._pop_to_mark()),
    b"\x90": lambda m: m._add(),
    b"p": lambda m: m._put(int(m._line())),
    b"q": lambda m: m._put(m._number("<B")),
    b"r": lambda m: m._put(m._number("<I")),
    b"\x94": lambda m: m._put(len(m._memo)),
    b"b": lambda m: m._build(),
}
