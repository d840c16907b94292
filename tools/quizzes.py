"""Check the quizzes where they are edited: every fault names file, question, field and value, and what to do.

`python -m tools.quizzes` checks all of them. The fields and their types stand in `book/quizzes/schema.json`.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import jsonschema
import yaml

FOLDER = Path(__file__).resolve().parent.parent / "book" / "quizzes"
SCHEMA: dict[str, Any] = json.loads((Path(__file__).parent / "quizzes.schema.json").read_text(encoding="utf-8"))


def check(path: Path) -> list[dict[str, Any]]:
    """The questions of a file `NN.yml`, checked.

    Raises `ValueError`, naming file, question, field and value of the first fault, and what to do about it.
    """
    try:
        questions = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path.name} is not valid YAML: {error}. Write texts that hold a colon after '>-' or in quotes."
        ) from error
    if not isinstance(questions, list) or not questions:
        raise ValueError(
            f"{path.name}, the file: it holds {_short(questions)}; make it a list of questions, each beginning "
            "with '- id:'."
        )
    seen: dict[str, int] = {}
    for position, question in enumerate(questions, start=1):
        where = f"{path.name}, question {position}"
        _check_schema(question, where)
        _check_rules(question, where, path.stem, seen)
        seen[question["id"]] = position
    return questions


def check_all(folder: Path = FOLDER) -> int:
    """Check every quiz below a folder; return how many questions there are. Raises as `check`."""
    return sum(len(check(path)) for path in sorted(folder.rglob("*.yml")))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _check_schema(question: Any, where: str) -> None:
    numeric = isinstance(question, dict) and question.get("kind") == "numeric"
    # One of the two kinds, and not the rule that chooses: its faults would only say that neither fits.
    kind = {"$ref": f"#/$defs/{'numeric' if numeric else 'choice'}", "$defs": SCHEMA["$defs"]}
    validator = jsonschema.Draft202012Validator(kind)
    # Top of the question first: a wrong kind explains the faults below it.
    faults = sorted(validator.iter_errors(question), key=lambda e: (len(e.absolute_path), str(e.absolute_path)))
    if faults:
        fault = faults[0]
        field = ".".join(str(part) for part in fault.absolute_path) or "as a whole"
        message = f"{where}, {field}: {fault.message}"
        if (value := _short(fault.instance)) not in message:
            message += f" (found {value})"
        raise ValueError(f"{message}; {_advice(fault)}")


def _advice(fault: jsonschema.ValidationError) -> str:
    field = fault.absolute_path[-1] if fault.absolute_path else ""
    match fault.validator:
        case "required":
            return "add it."
        case "additionalProperties":
            return f"remove it or correct its spelling; allowed are {', '.join(fault.schema['properties'])}."
        case "enum":
            return f"use one of {', '.join(fault.validator_value)}."
        case "minItems" | "maxItems":
            return "give 2 to 6 options."
        case "minimum":
            return "use 0 for an exact answer, else how far an answer may be off."
        case "pattern" if field == "id":
            return "use the chapter's two digits and a slug in lower case, such as '05-batchnorm'."
        case "pattern":
            return "write at least one sentence." if field == "explanation" else "write some text."
        case "type" if fault.validator_value == "boolean":
            return "write true or false, without quotes."
        case "type" if fault.validator_value == "string":
            return "write text; put it in quotes if YAML takes it for something else."
        case "type" if fault.validator_value == "number":
            return "write a number, without quotes."
    return f"make it a {'list' if fault.validator_value == 'array' else 'mapping with the fields of a question'}."


def _check_rules(question: dict[str, Any], where: str, number: str, seen: dict[str, int]) -> None:
    """Check what a schema cannot say; raise `ValueError` on the first fault."""
    name = question["id"]
    if name in seen:
        raise ValueError(f"{where}, id: {name!r} is taken by question {seen[name]}; give each question its own.")
    if not name.startswith(f"{number}-"):
        raise ValueError(f"{where}, id: {name!r} is of another chapter; begin it with '{number}-'.")
    for field, text in _texts(question):
        # No formulas here: the page typesets its math while it is built, the quiz is drawn later in the browser.
        if any(mark in text for mark in ("$", "\\(", "\\[")):
            raise ValueError(f"{where}, {field}: {_short(text)} holds TeX; write the formula as plain text.")
    if question["kind"] == "numeric":
        for field in ("value", "tolerance"):
            if not math.isfinite(question[field]):
                raise ValueError(f"{where}, {field}: {question[field]} is not finite; write an ordinary number.")
        return
    right = sum(option["correct"] for option in question["options"])
    if question["kind"] == "one" and right != 1:
        raise ValueError(
            f"{where}, options: kind 'one' needs exactly one correct option, it has {right}; "
            f"{'mark the right one' if right == 0 else 'correct the others or use many'}."
        )
    if right == 0:
        raise ValueError(f"{where}, options: kind 'many' needs a correct option, it has 0; mark the right ones.")
    first: dict[str, int] = {}
    for position, option in enumerate(question["options"]):
        text = " ".join(option["text"].casefold().split())
        if text in first:
            raise ValueError(
                f"{where}, options.{position}.text: {_short(option['text'])} repeats options.{first[text]}; "
                "reword or remove one."
            )
        first[text] = position


def _texts(question: dict[str, Any]) -> list[tuple[str, str]]:
    fields = ("objective", "question", "explanation", "otherwise")
    texts = [(field, question[field]) for field in fields if field in question]
    for position, option in enumerate(question.get("options", [])):
        texts += [(f"options.{position}.{field}", option[field]) for field in ("text", "explanation")]
    return texts


if __name__ == "__main__":
    try:
        print(f"{check_all()} questions checked")
    except ValueError as fault:
        sys.exit(str(fault))
