"""One array: every chunk that is looked at reads and decodes, and holds what the native library reads there."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from refmaker.errors import MissingDependencyError, RefmakerError, UnsupportedError
from refmaker.model.array import VirtualArray
from refmaker.model.chunks import INLINE
from refmaker.model.keys import chunk_key, chunk_position, key_of
from refmaker.serve.array_reader import ArrayReader
from refmaker.serve.selection import outer
from refmaker.verify.arrangement import Arrangement
from refmaker.verify.comparing import differing, same_dtype, value_text
from refmaker.verify.findings import Check, Findings
from refmaker.verify.native import NativeError, NativeFile
from refmaker.verify.origins import Natives
from refmaker.verify.windows import Window, chunks_of, windows

__all__ = ["ArrayCheck"]

LARGEST_CHUNK = 1 << 30
"""Bytes of a chunk beyond which it is not read: it would be in memory twice."""


@dataclass(slots=True)
class ArrayCheck:
    """The check of one array.

    Attributes:
        path: in the references.
        array: what the references say.
        reader: reads it.
        answering: numbers of the sources that are there; chunks in others are not read.
        natives: for arrays of several sources; None: no such comparison.
        arrangement: which part of such an array is which source's.
        native: the library that reads the whole array, or None.
        native_path: the array's path there.
        mismatches: what is wrong.
        unchecked: what could not be checked.
        read: positions read so far.
        compared: positions compared so far.
    """

    path: str
    array: VirtualArray
    reader: ArrayReader
    answering: frozenset[int]
    natives: Natives | None
    arrangement: Arrangement
    native: NativeFile | None
    native_path: str
    mismatches: Findings
    unchecked: Findings
    read: int = 0
    compared: int = 0

    def run(self, sample: int | None) -> None:
        """Check ``sample`` positions; None: all."""
        try:
            decoder = self.reader.decoder
        except UnsupportedError as error:
            missing = isinstance(error, MissingDependencyError)
            (self.unchecked if missing else self.mismatches).add(Check.DECODE, self.path, error.message)
            return
        if (decoder.nbytes or 0) > LARGEST_CHUNK:
            sentence = f"chunks of {decoder.nbytes} bytes are not read: {LARGEST_CHUNK} are the most"
            self.unchecked.add(Check.DECODE, self.path, sentence)
            return
        for window in windows(self.path, self.array, sample):
            if not self._unreachable(window):
                self._check(window)
            elif window.count > 1:
                for one in chunks_of(window):
                    if not self._unreachable(one):
                        self._check(one)

    def _name(self, window: Window) -> str:
        return key_of(self.path, chunk_key(window.first))

    def _unreachable(self, window: Window) -> bool:
        """Whether some chunk of a window lies in a source that is not there, which has been said."""
        grid = self.array.manifest.grid_shape
        first = chunk_position(window.first, grid)
        last = chunk_position([n - 1 for n in window.last], grid)
        ids = self.array.manifest.between(first, last + 1).location_id
        return any(one not in self.answering for one in np.unique(ids).tolist() if one < INLINE)

    def _check(self, window: Window) -> None:
        """Read a window and compare it; where something is wrong, go through its chunks to say which."""
        values = self._values(window, tell=window.count == 1)
        if values is None:
            if window.count > 1:
                for one in chunks_of(window):
                    self._check(one)
            else:
                self.read += 1
            return
        self.read += window.count
        if self.native is not None:
            self._compare(window, values)
        elif self.natives is not None:
            for one in chunks_of(window):
                self._compare_by_range(one)

    def _values(self, window: Window, *, tell: bool) -> npt.NDArray[Any] | None:
        metadata = self.array.metadata
        key = window.slices(self.array)
        try:
            return self.reader.read(outer(key, metadata.shape, metadata.chunk_shape))
        except MissingDependencyError as error:
            self.unchecked.add(Check.DECODE, self._name(window), error.message, of=self.path)
        except RefmakerError as error:
            if tell:
                self.mismatches.add(Check.DECODE, self._name(window), error.message, of=self.path)
        except (MemoryError, OverflowError) as error:
            if tell:
                self.mismatches.add(
                    Check.DECODE, self._name(window), f"does not fit into memory: {error}", of=self.path
                )
        return None

    # -- comparing -----------------------------------------------------------------------------------------------
    def _compare(self, window: Window, values: npt.NDArray[Any]) -> None:
        native = self.native
        if native is None:
            return
        try:
            theirs = native.read(self.native_path, window.slices(self.array))
        except NativeError as error:
            self.unchecked.add(Check.VALUES, self.path, error.message)
            self.native = None
            return
        self.compared += window.count
        odd = self._odd(values, theirs)
        if odd is None:
            sentence = f"{values.shape} of {values.dtype}, and {theirs.shape} of {theirs.dtype} in the file"
            self.mismatches.add(Check.VALUES, self._name(window), sentence, of=self.path)
            return
        if not odd.any():
            return
        origin = [s.start for s in window.slices(self.array)]
        for one in chunks_of(window):
            spans = zip(one.slices(self.array), origin, strict=True)
            inner: Any = (*(slice(s.start - o, s.stop - o) for s, o in spans), ...)  # never a bare element
            wrong = odd[inner]
            if wrong.any():
                self._tell(one, values[inner], theirs[inner], wrong)

    def _compare_by_range(self, window: Window) -> None:
        """Compare a chunk with what its source has where the chunk belongs."""
        natives = self.natives
        chunk = self.array.manifest.lookup(chunk_position(window.first, self.array.manifest.grid_shape))
        if natives is None or chunk is None or chunk.location_id >= INLINE:
            return
        values = self._values(window, tell=False)
        if values is None:
            return
        box = window.slices(self.array)
        part = self.arrangement.part_of(self.path, chunk.location_id, box)
        if part is None:
            sentence = "scanning its source again does not tell its place there, so it is not compared"
            self.unchecked.add(Check.VALUES, self._name(window), sentence, of=self.path)
            return
        native = natives.get(part.source)
        if native is None:
            return
        try:
            theirs = native.read(part.path, part.window(box))
        except NativeError as error:
            self.unchecked.add(Check.VALUES, self._name(window), error.message, of=self.path)
            return
        self.compared += 1
        if values.ndim > theirs.ndim and values.size == theirs.size:
            theirs = theirs.reshape(values.shape)
        if values.ndim == theirs.ndim:
            common = tuple(slice(min(a, b)) for a, b in zip(values.shape, theirs.shape, strict=True))
            values, theirs = values[common], theirs[common]
        odd = self._odd(values, theirs)
        if odd is None or odd.any():
            self._tell(window, values, theirs, odd)

    @staticmethod
    def _odd(values: npt.NDArray[Any], theirs: npt.NDArray[Any]) -> npt.NDArray[np.bool_] | None:
        if values.shape != theirs.shape or not same_dtype(values.dtype, theirs.dtype):
            return None
        return differing(values, theirs)

    def _tell(
        self,
        window: Window,
        values: npt.NDArray[Any],
        theirs: npt.NDArray[Any],
        odd: npt.NDArray[np.bool_] | None,
    ) -> None:
        if odd is None:
            sentence = f"{values.shape} of {values.dtype}, and {theirs.shape} of {theirs.dtype} in the file"
        else:
            index = np.unravel_index(int(np.argmax(odd)), odd.shape) if odd.ndim else ()
            start = [s.start for s in window.slices(self.array)]
            element = tuple(int(i) + s for i, s in zip(index, start, strict=True))
            sentence = (
                f"{int(odd.sum())} of {odd.size} values differ, the first at {element}: "
                f"{value_text(values[index])}, and {value_text(theirs[index])} in the file"
            )
        self.mismatches.add(Check.VALUES, self._name(window), sentence, of=self.path)
