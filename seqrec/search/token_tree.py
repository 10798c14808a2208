"""Token sequences as a tree, from which sequences can be taken out while it is walked."""

from collections import Counter
from collections.abc import Sequence


class TokenTree:
    """The sequences of tokens that may follow, by their beginnings; each ends at a leaf.

    Of equal sequences the first counts, and no sequence may be the beginning of another one.
    """

    def __init__(self, sequences: Sequence[Sequence[int]]) -> None:
        """Build the tree; sequences are known by their numbers."""
        self._children: list[dict[int, int]] = [{}]
        self._leaves: dict[int, int] = {}
        self._paths: dict[int, list[int]] = {}
        self._num_left: Counter[int] = Counter()
        for number, tokens in enumerate(sequences):
            path = [0]
            for token in tokens:
                path.append(self._add(path[-1], token))
            if path[-1] in self._leaves or not tokens:
                continue
            self._leaves[path[-1]] = number
            self._paths[number] = path
            self._num_left.update(path)

    def _add(self, node: int, token: int) -> int:
        found = self._children[node].get(token)
        if found is None:
            found = self._children[node][token] = len(self._children)
            self._children.append({})
        return found

    def list_next(self, node: int) -> dict[int, int]:
        """Return the tokens that may follow a node, each with the node to which it leads."""
        return {token: to for token, to in self._children[node].items() if self._num_left[to]}

    def get_sequence(self, node: int) -> int | None:
        """Return the number of the sequence that ends at a node; None within one."""
        return self._leaves.get(node)

    def remove(self, number: int) -> None:
        """Take a sequence out; one that is out already, or that is not there, is ignored."""
        self._num_left.subtract(self._paths.pop(number, ()))
