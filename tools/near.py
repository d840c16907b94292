"""How a notebook's output is compared with the stored one: words to the letter, measured numbers near each other.

Another processor sums in another order, so the last digits of a live run differ, sometimes the second.
"""

import re
from decimal import Decimal

# A number with decimals, an exponent or a percent sign. Integers are words: counts, seeds, classes. So are the
# parts of 2.14.1, and what a letter touches, as in 0.6rem.
NUMBER = re.compile(r"(?<![\w.])[-+]?(?:(?:\d+\.\d+(?:e[-+]\d+)?|\d+e[-+]\d+)%?|\d+%)(?!\w|\.\d)")
# Scores moved by up to 0.028 from one processor to another, the ends of their intervals most, a loss's interval of
# 0.4 to 1.0 by a ninth of its width, and a norm above 1 by a twentieth of itself. Another seed does as much (its
# standard deviation in chapter 11: 0.025), and a wrong line more: bugs there cost 0.046 and more, where it shows.
SCORE = Decimal("0.03")
OF_WIDTH = Decimal("0.25")
OF_SIZE = Decimal("0.1")


def far(stored: str, new: str) -> list[str] | None:
    """Return what is off in a new output, a line a number, none where all are near; ``None`` if the words differ.

    Blanks may differ where a number has become wider or narrower, because a table is then padded otherwise.
    """
    before, after = list(NUMBER.finditer(stored)), NUMBER.findall(new)
    words, others = NUMBER.split(stored), NUMBER.split(new)
    if [len(match[0]) for match in before] != [len(number) for number in after]:
        words, others = [squeeze(word) for word in words], [squeeze(word) for word in others]
    if words != others:
        return None
    rooms = tolerances([match[0] for match in before], words)
    return [
        f"{match[0]} is stored, {number} came out: off by {gap}, {room} is allowed; "
        f"after “{' '.join(stored[: match.start()].split())[-50:]}”"
        for match, number, room in zip(before, after, rooms, strict=True)
        if (gap := abs(value(match[0]) - value(number))) > room
    ]


def tolerances(numbers: list[str], words: list[str]) -> list[Decimal]:
    """Return how far other numbers may be from these stored ones, which stand between words.

    ``0.8 [0.7, 0.9]``, a mean and its interval, is given a quarter of the interval's width on top.
    """
    rooms = [tolerance(number) for number in numbers]
    for k, (opening, comma, closing) in enumerate(zip(words[1:], words[2:], words[3:], strict=False)):
        if opening.strip() == "[" and comma.strip() == "," and closing.startswith("]"):
            wide = OF_WIDTH * abs(value(numbers[k + 2]) - value(numbers[k + 1]))
            rooms[k : k + 3] = [room + wide for room in rooms[k : k + 3]]
    return rooms


def tolerance(number: str) -> Decimal:
    """Return how far another number may be from this stored one, by how it is printed; 81% is 0.81."""
    size = abs(value(number))
    if size > 1:
        return OF_SIZE * size
    # So small or so exact is a learning rate or a p-value, and 0.03 would let any other pass.
    exact = "e" in number or int(value(number).as_tuple().exponent) < -3
    return min(SCORE, OF_SIZE * size) if exact else SCORE


def value(number: str) -> Decimal:
    """Return what a number says, exactly: a difference of 0.03 in decimals is one of 0.03."""
    return Decimal(number.rstrip("%")).scaleb(-2 if number.endswith("%") else 0)


def squeeze(words: str) -> str:
    """Return words without the blanks that pad them; lines stay."""
    return "\n".join(" ".join(line.split()) for line in words.split("\n"))
