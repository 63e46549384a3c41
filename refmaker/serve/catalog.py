"""Store keys to what the references hold for them: documents, inlined bytes, byte ranges, or nothing.

Only what the references themselves say is absent gives None; readers show that as fill values. Whatever else goes wrong
is an error elsewhere.
"""

from collections.abc import Iterator

import numpy as np

from refmaker.errors import BrokenReferencesError, OptionError
from refmaker.model.array import VirtualArray
from refmaker.model.chunks import ChunkRef
from refmaker.model.group import VirtualGroup, walk
from refmaker.model.keys import METADATA_NAMES, chunk_position, key_of, parse_chunk_key, split_key
from refmaker.model.reference_set import ReferenceSet
from refmaker.references.zarr_v2 import array_documents, consolidated_document, documents, group_documents

__all__ = ["Catalog"]


class Catalog:
    """The keys of a Zarr v2 store over a ReferenceSet; documents are spelled when they are asked for.

    Attributes:
        references: what the store shows.
        nodes: groups and arrays by path.
    """

    def __init__(self, references: ReferenceSet) -> None:
        self.references = references
        self.nodes: dict[str, VirtualGroup | VirtualArray] = dict(walk(references.root))
        self._documents: dict[str, dict[str, bytes]] = {}

    def find(self, key: str) -> bytes | ChunkRef | None:
        """Return a document's bytes, a chunk, or None if the store has no such key.

        Raises:
            UnsupportedError: the document has no Zarr v2 spelling.
        """
        path, leaf = split_key(key)
        node = self.nodes.get(path)
        if node is None:
            return None
        if leaf in METADATA_NAMES:
            return self._spelled(path, node).get(leaf)
        if isinstance(node, VirtualGroup):
            return None
        grid = node.manifest.grid_shape
        try:
            position = chunk_position(parse_chunk_key(leaf, len(grid)), grid)
        except (BrokenReferencesError, OptionError):
            return None
        return node.manifest.lookup(position)

    def members(self, path: str) -> Iterator[tuple[str, int | None]]:
        """Yield (key, bytes) of everything right below a node; None for nodes."""
        node = self.nodes[path]
        for leaf, document in self._spelled(path, node).items():
            yield key_of(path, leaf), len(document)
        if isinstance(node, VirtualGroup):
            for name in (*node.groups, *node.arrays):
                yield key_of(path, name), None
            return
        for block in node.manifest.blocks():
            index = np.unravel_index(block.position.astype(np.intp), node.manifest.grid_shape or (1,))
            columns = [axis.tolist() for axis in index]
            for *place, length in zip(*columns, block.length.tolist(), strict=True):
                yield key_of(path, ".".join(map(str, place))), length

    def _spelled(self, path: str, node: VirtualGroup | VirtualArray) -> dict[str, bytes]:
        """Return a node's documents by name, spelled once; a group has consolidated metadata, whatever its depth."""
        found = self._documents.get(path)
        if found is None:
            if isinstance(node, VirtualArray):
                texts = array_documents(node.metadata)
            else:
                texts = {**group_documents(node), ".zmetadata": consolidated_document(dict(documents(node)))}
            found = self._documents[path] = {leaf: text.encode() for leaf, text in texts.items()}
        return found
