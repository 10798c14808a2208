"""The base class of every block of a recipe."""

from pydantic import BaseModel, ConfigDict


class Block(BaseModel):
    """A frozen block of settings: unknown keys are errors, field docstrings are the help.

    Values have the type of their key: ``"8"`` is no number, and ``yes`` is neither true nor text
    that may be empty.
    """

    model_config = ConfigDict(
        strict=True,
        str_min_length=1,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )
