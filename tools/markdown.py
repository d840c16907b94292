"""From the book's MyST Markdown to the plain Markdown that Jupyter, Colab and GitHub show.

Only the constructs that the chapters may use are known; anything else raises `ConversionError` with the
chapter and the construct, so that no raw directive can slip into a notebook.
"""

from __future__ import annotations

import html
import re
from ast import literal_eval
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pybtex.richtext import Text

from tools.catalog import TARGET, Context, split_options

CALLOUTS = ("note", "tip", "warning", "important", "admonition")
FENCE = re.compile(r"^(?P<indent>\s*)(?P<fence>`{3,}|:{3,})(?P<info>.*)$")
DIRECTIVE = re.compile(r"\{(?P<name>[\w:+-]+)\}\s*(?P<argument>.*)")
INLINE = re.compile(
    r"(?P<math>\$\$.+?\$\$|(?<![\\$\w])\$(?![\s$])(?:[^$\n]|\n(?!\s*\n))+?(?<!\s)\$)"
    r"|(?P<role>\{[\w:+-]+\})?(?P<ticks>`+)(?P<code>(?:(?!\n\s*\n).)+?)(?<!`)(?P=ticks)(?!`)"
    r"|(?P<image>!\[[^\]]*\]\([^)]*\))"
    r"|\[(?P<text>(?:`[^`]*`|[^\[\]`])*)\]\((?P<link>[^()\s]*)\)",
    re.DOTALL,
)


def to_plain(text: str, context: Context) -> str:
    """Convert one MyST Markdown cell to plain Markdown.

    Raises `ConversionError` on an unknown directive, role, option, page, label, reference or glued value.
    """
    out: list[str] = []
    prose: list[str] = []

    def flush() -> None:
        out.extend(_inline("\n".join(prose), context).split("\n") if prose else [])
        prose.clear()

    lines = text.split("\n")
    number = 0
    while number < len(lines):
        line = lines[number]
        opening = FENCE.match(line)
        if opening:
            flush()
            end = _closing(lines, number, opening["fence"], context)
            body = lines[number + 1 : end]
            directive = DIRECTIVE.fullmatch(opening["info"].strip())
            if directive:
                indent = opening["indent"]
                inner = [row.removeprefix(indent) for row in body]
                shown = _directive(directive["name"], directive["argument"].strip(), inner, context)
                out.extend((indent + row).rstrip() for row in shown.split("\n"))
            elif opening["fence"].startswith(":") or opening["info"].lstrip().startswith("{"):
                raise context.fail(f"this is not a directive: {line.strip()!r}")
            else:
                out.extend(lines[number : end + 1])
            number = end + 1
            continue
        if not line.startswith("%") and not TARGET.match(line):
            prose.append(line)
        number += 1
    flush()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(out)).strip("\n")


def _closing(lines: list[str], start: int, fence: str, context: Context) -> int:
    """Index of the line that closes the fence opened at `start`."""
    for number in range(start + 1, len(lines)):
        row = lines[number].strip()
        if len(row) >= len(fence) and set(row) == {fence[0]}:
            return number
    raise context.fail(f"nothing closes {lines[start].strip()!r}")


def figure_text(caption: str, alt: str, context: Context) -> str:
    """The Markdown below a figure that a code cell drew: its caption, and its description folded away."""
    shown = f"**Figure.** {to_plain(caption, context)}" if caption else ""
    return shown + ("\n\n" + _folded("What the figure shows", alt) if alt else "")


def _folded(title: str, body: str) -> str:
    # Markdown inside a line of HTML stays raw, so the title's emphasis and code become HTML as well.
    shown = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(title, quote=False))
    shown = re.sub(r"\*([^*]+)\*", r"<em>\1</em>", shown)
    return f"<details>\n<summary><b>{shown}</b></summary>\n\n{body}\n\n</details>"


def _quoted(title: str, body: str) -> str:
    rows = [f"**{title}**", "", *body.split("\n")]
    return "\n".join(f"> {row}".rstrip() for row in rows)


def _directive(name: str, argument: str, rows: list[str], context: Context) -> str:
    options, body = split_options(rows)
    text = "\n".join(body).strip("\n")
    if name in CALLOUTS:
        _allow(name, options, ("class", "name"), context)
        if name == "admonition":
            title = _inline(argument, context)
        else:
            title, text = name.capitalize(), f"{argument}\n{text}".strip("\n")
        fold = "dropdown" in options.get("class", "")
        return (_folded if fold else _quoted)(title, to_plain(text, context))
    if name == "exercise":
        _allow(name, options, ("label", "class", "nonumber"), context)
        title = f"Exercise: {_inline(argument, context)}" if argument else "Exercise"
        return _quoted(title, to_plain(text, context))
    if name == "solution":
        _allow(name, options, ("label", "class"), context)
        if argument not in context.book.labels:
            raise context.fail(f"a solution points to the unknown exercise {argument!r}")
        return _folded(f"Solution: {context.book.labels[argument][1]}", to_plain(text, context))
    raise context.fail(f"the directive {{{name}}} is not one that a notebook can show")


def _allow(name: str, options: Mapping[str, str], known: tuple[str, ...], context: Context) -> None:
    for option in options:
        if option not in known:
            raise context.fail(f"the directive {{{name}}} has the unknown option :{option}:")


def _inline(text: str, context: Context) -> str:
    """Convert roles and links; leave code, math and images as they are."""
    bare = INLINE.sub("", text)
    for pattern, what in ((r"\{\{\s*\w+\s*\}\}", "substitution"), (r"\[\^[\w-]+\]", "footnote")):
        if found := re.search(pattern, bare):
            raise context.fail(f"the {what} {found[0]!r} is not one that a notebook can show")
    if found := re.search(r"\{[\w:+-]+\}`", bare):
        raise context.fail(f"the role {found[0]!r} is not closed")

    def replace(match: re.Match[str]) -> str:
        if match["role"]:
            return _role(match["role"][1:-1], " ".join(match["code"].split()), context)
        if match["link"] is not None:
            if not match["text"]:
                raise context.fail(f"the link to {match['link']!r} has no text")
            return f"[{match['text']}]({_address(match['link'], context)})"
        return match[0]

    return INLINE.sub(replace, text)


def _address(link: str, context: Context) -> str:
    """Where a link leads from a notebook: chapters to their notebooks, other pages to the repository."""
    if re.match(r"[a-z]+:", link):
        return link
    path, _, anchor = link.partition("#")
    if not path:
        raise context.fail(f"a link inside the page, {link!r}, needs the role {{ref}}")
    if not path.endswith(".md"):
        return link
    stem = Path(path).stem
    if stem not in context.book.titles:
        raise context.fail(f"the link {link!r} leads to no page of the book")
    if re.match(r"\d\d-", stem):
        return f"{stem}.ipynb" + (f"#{anchor}" if anchor else "")
    return f"{context.book.url}/blob/{context.book.branch}/book/{stem}.md"


def _titled(content: str) -> tuple[str, str]:
    """Split the content of a role, `text <target>` or `target`."""
    match = re.fullmatch(r"(.*?)\s*<([^<>]+)>", content)
    return (match[1], match[2]) if match else ("", content)


def _ref(content: str, context: Context) -> str:
    text, label = _titled(content)
    if label not in context.book.labels:
        raise context.fail(f"the label {label!r} is not defined")
    stem, title = context.book.labels[label]
    if label.startswith("ex-"):  # the page numbers exercises; a notebook names them
        title = f"Exercise “{title}”"
    return text or title if stem == context.chapter else f"[{text or title}]({_address(stem + '.md', context)})"


def _glue(content: str, context: Context) -> str:
    """A glued value as myst-nb formats it (`myst_nb.core.variables.format_plain_text`)."""
    key, _, spec = content.rpartition(":") if ":" in content else (content, "", "s")
    if key not in context.values:
        raise context.fail(f"no cell glues the value {key!r}")
    try:
        value = literal_eval(context.values[key])
    except (SyntaxError, ValueError):
        value = context.values[key]
    cast: Callable[[Any], object] = str if spec[-1:] in ("", "s") else int if spec[-1] in "bcdoxX" else float
    try:
        return format(cast(value), spec)
    except (TypeError, ValueError) as error:
        raise context.fail(f"the glued value {key!r} cannot be shown as {spec!r}: {error}") from error


def _cite(content: str, context: Context, *, brackets: bool) -> str:
    shown = []
    for key in (part.strip() for part in content.split(",")):
        if key not in context.book.references:
            raise context.fail(f"the reference {key!r} is not in references.bib")
        entry = context.book.references[key]
        people = entry.persons.get("author") or entry.persons.get("editor") or []
        names = [str(Text.from_latex(" ".join([*person.prelast_names, *person.last_names]))) for person in people]
        who = f"{names[0]} et al." if len(names) > 2 else " and ".join(names) or key
        year = entry.fields.get("year", "n.d.")
        label = f"{who}, {year}" if brackets else f"{who} ({year})"
        doi = entry.fields.get("doi")
        address = f"https://doi.org/{doi}" if doi else entry.fields.get("url")
        shown.append(f"[{label}]({address})" if address else label)
    return f"({'; '.join(shown)})" if brackets else ", ".join(shown)


def _role(name: str, content: str, context: Context) -> str:
    if name == "glue:text":
        return _glue(content, context)
    if name in ("cite:t", "cite:p", "cite"):
        return _cite(content, context, brackets=name != "cite:t")
    if name == "ref":
        return _ref(content, context)
    if name == "term":
        text, term = _titled(content)
        return f"**{text or term}**"
    raise context.fail(f"the role {{{name}}} in {content!r} is not one that a notebook can show")
