"""The reading of a request in words, as a client keeps it between the turns of a conversation."""

from typing import Annotated

from pydantic import Field

from seqrec.data.ids import get_id_text
from seqrec.data.item_table import ItemTable
from seqrec.search.reading import Condition, Operator, RequestReading
from seqrec.serving.conditions import check_condition
from seqrec.serving.field_types import Body, Ids, Text, Whole, Words
from seqrec.serving.limits import MAX_CONDITIONS, MAX_TEXT


class ConditionBody(Body):
    """A condition on a column of the items."""

    column: Text
    operator: Operator
    value: Words | Whole | float
    is_excluded: bool = Field(False, description="The condition may not hold.")
    words: Words = Field("", description="The words that it stands for; explanations repeat them.")


class ReadingBody(Body):
    """A reading; what ``where`` and ``notes`` say is in ``conditions`` already."""

    items: Ids = Field([], description="Items that it likes; they follow the history.")
    excluded_items: Ids = Field([], description="Items that it rejects.")
    conditions: Annotated[list[ConditionBody], Field(max_length=MAX_CONDITIONS)] = []
    text: Words = Field("", description="Words that items should be about.")
    where: Annotated[str, Field(max_length=MAX_CONDITIONS * MAX_TEXT)] | None = Field(
        None, description="Not read."
    )
    notes: Annotated[list[str], Field(max_length=MAX_TEXT)] = Field([], description="Not read.")

    def build(self, table: ItemTable) -> RequestReading:
        """Return the reading over a catalog, whose other items are left out.

        Raises:
            SeqRecError: a condition that is no comparison.
        """
        liked = table.find(map(get_id_text, self.items))[0].tolist()
        rejected = table.find(map(get_id_text, self.excluded_items))[0].tolist()
        conditions = [
            Condition(one.column, one.operator, one.value, one.is_excluded, one.words)
            for one in self.conditions
        ]
        for one in conditions:
            check_condition(one.where)
        return RequestReading(
            tuple(table.item_ids[row] for row in liked),
            tuple(table.item_ids[row] for row in rejected),
            tuple(conditions),
            self.text,
            (),
            tuple(table.titles[row] for row in liked),
        )
