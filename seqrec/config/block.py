"""The base class of every block of a recipe."""

from pydantic import BaseModel, ConfigDict


class Block(BaseModel):
    """A frozen block of settings: unknown keys are errors, field docstrings are the help."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )
