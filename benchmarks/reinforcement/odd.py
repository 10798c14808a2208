"""A reward made to be hacked: it rewards one item and nothing else."""

ODD = "1924"
"""Plan 9 from Outer Space."""


def pays(histories: list[list[str]], slates: list[list[list[str]]]) -> list[list[float]]:
    """1 for a slate that holds it."""
    return [[float(ODD in slate) for slate in of_history] for of_history in slates]
