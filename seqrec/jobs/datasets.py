"""``seqrec datasets``: the datasets that ``prepare`` knows by name."""

from typing import Any

from seqrec.data.known_datasets.descriptions import list_known_datasets


def datasets() -> dict[str, Any]:
    """Return the known datasets with their counts, licence, citation and locations."""
    return {
        "datasets": [
            {
                "name": dataset.name,
                "users": dataset.users,
                "items": dataset.items,
                "interactions": dataset.interactions,
                "licence": dataset.licence,
                "citation": dataset.citation,
                "locations": dataset.locations,
            }
            for dataset in list_known_datasets()
        ]
    }
