"""Stress each strategy: text stays valid, and the cache changes nothing.

A strategy is how the next token is chosen.
"""

from itertools import chain

from variorum.evaluation.stress.subject import LEAST, WILD, StressedModel
from variorum.evaluation.stress.writing import bad_bytes, equal_tokens, excerpt, write_all
from variorum.evaluation.verdicts import Case, judge

AROUND = 32  # tokens written around a full context; without the cache each costs a whole window
WILD_TEXTS = 16  # behind each of two prompts
BEGUN = "👍"  # its last token is left out, so a prompt ends inside a character


def valid_utf8(subject: StressedModel) -> Case:
    """Count bytes of no character in all that was written with `valid_utf8`.

    Short texts at a wild temperature are added, where the guard has most to do, above all at a
    text's end; half of them begin inside a character.
    """
    texts = [*chain.from_iterable(subject.by_strategy.values()), *subject.continuations.values()]
    begun = subject.tokenizer.encode(BEGUN)[:-1] or [subject.tokenizer.eot]
    prompts = [subject.read(subject.settings.prompts[0]), begun]
    how = subject.plain(LEAST, {"temperature": WILD})
    jobs = [
        (prompt, how.model_copy(update={"seed": seed}))
        for seed in range(WILD_TEXTS)
        for prompt in prompts
    ]
    wild = write_all(subject.model, subject.tokenizer, jobs)
    guarded = [text for text in [*wild, *texts] if text.sampling.valid_utf8]
    bad = sum(bad_bytes(subject.tokenizer, text) for text in guarded)
    problem = next((text.problem for text in guarded if text.problem), "")
    worst = max(guarded, key=lambda text: bad_bytes(subject.tokenizer, text))
    return judge(
        "valid-utf8",
        "Valid UTF-8",
        "How many bytes belong to no character, when valid_utf8 is on?",
        measured=None if problem else float(bad),
        threshold=0.0,
        comparison="<=",
        explanation=(
            f"{len(guarded)} texts were written so, {len(wild)} of them at temperature {WILD:g}; "
            f"{bad} of their bytes are not UTF-8.{problem}"
        ),
        excerpt=excerpt(subject.tokenizer, worst.tokens),
    )


def strategies_cache(subject: StressedModel) -> Case:
    """Write by each strategy, all at once with the cache, and each alone without it.

    The context gets full on the way.
    """
    prompt = subject.held(max(1, subject.context_length - AROUND // 2)).tolist()
    jobs = {name: (prompt, how) for name, how in subject.strategies(AROUND).items()}
    cached = write_all(subject.model, subject.tokenizer, list(jobs.values()))
    equal: dict[str, int] = {}
    problem = ""
    for (name, job), one in zip(jobs.items(), cached, strict=True):
        [plain] = write_all(subject.model, subject.tokenizer, [job], use_cache=False)
        equal[name] = equal_tokens(one, plain)
        problem = problem or one.problem or plain.problem
    return judge(
        "strategies-cache",
        "The cache, by strategy",
        "Does it write the same with the cache beside other texts as without it and alone?",
        measured=min(equal.values()) / AROUND,
        threshold=1.0,
        comparison=">=",
        explanation=(
            f"{AROUND} tokens were written by each way to choose the next one, through a full "
            f"context. The table has how many are the same, from the first on.{problem}"
        ),
        parts={name: f"{same} of {AROUND}" for name, same in equal.items()},
    )
