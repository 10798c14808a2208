"""What every block of a recipe has in common."""

from pydantic import BaseModel, ConfigDict


class Block(BaseModel):
    """Unknown keys are errors, values do not change, docstrings are the help."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )
