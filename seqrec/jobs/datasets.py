"""``seqrec datasets``: the datasets that ``prepare`` knows by name."""

from typing import Any

from seqrec.data.log.known_datasets import list_cards


def datasets() -> dict[str, Any]:
    """The known datasets with their counts, licence, citation and locations."""
    return {
        "datasets": [
            {
                "name": card.name,
                "users": card.users,
                "items": card.items,
                "interactions": card.interactions,
                "licence": card.licence,
                "citation": card.citation,
                "places": card.places,
            }
            for card in list_cards()
        ]
    }
