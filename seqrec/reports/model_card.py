"""The card of a model folder, ``README.md``, as model hubs read it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from huggingface_hub import EvalResult, ModelCard, ModelCardData

RECOMMENDS = "sequential-recommendation"
GENERATES = "text-generation"
"""Tasks of models with a catalog, and of language models."""
CARD_FILE = "README.md"


@dataclass(frozen=True)
class DataFacts:
    """The data of a model, as its card states them."""

    name: str
    """Name of the dataset, without a path."""
    counts: str
    """Users, items and interactions, in words."""
    licence: str | None = None
    """Terms of the publisher; None if they are unknown."""
    citation: str | None = None

    @property
    def text(self) -> str:
        """The section on the data."""
        licence = self.licence or "not stated; state it before you publish this model"
        cited = f"\n\nCite: {self.citation.strip()}" if self.citation else ""
        return f"{self.name}: {self.counts}.\n\nLicence of the data: {licence.strip()}.{cited}"


@dataclass(frozen=True)
class ModelFacts:
    """A trained model, as its card states it."""

    name: str
    version: str
    objective: str
    tags: Sequence[str]
    num_parameters: int
    num_items: int | None
    """Items of the catalog; None for a model without one."""
    results: Mapping[str, float]
    """Validation metrics by name."""
    protocol: str
    settings: str
    """The resolved recipe, in YAML."""
    base_model: str | None = None
    """Name on a model hub of the language model that it started from."""


def format_model_card(model: ModelFacts, data: DataFacts) -> str:
    """Return the text of a card: metadata in YAML, then Markdown.

    The licence in the metadata is that of the data: ``other``, by name, where it is known.
    """
    has_items = model.num_items is not None
    task = RECOMMENDS if has_items else GENERATES
    results = [
        EvalResult(
            task_type=task,
            dataset_type=data.name,
            dataset_name=data.name,
            dataset_split="validation",
            metric_type=key,
            metric_value=round(value, 6),
        )
        for key, value in model.results.items()
    ]
    is_known = data.licence is not None
    card = ModelCardData(
        library_name="seqrec" if has_items else "transformers",
        tags=[task, "seqrec", *model.tags],
        license="other" if is_known else None,
        license_name=f"{data.name}-terms" if is_known else None,
        datasets=[data.name] if is_known else None,
        base_model=model.base_model,
        model_name=model.name if results else None,
        eval_results=results or None,
    )
    template = files("seqrec.reports").joinpath("templates", "model_card.md")
    written = ModelCard.from_template(
        card,
        template_str=template.read_text(encoding="utf-8"),
        name=model.name,
        version=model.version,
        objective=model.objective,
        num_parameters=f"{model.num_parameters:,}",
        num_items=None if model.num_items is None else f"{model.num_items:,}",
        has_items=has_items,
        repository=f"USER/{model.name}",
        data=data.text,
        results=dict(model.results),
        protocol=model.protocol,
        settings=model.settings.strip(),
    )
    return str(written)
