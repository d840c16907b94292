from ._claims import Claim, claim
from ._contrasts import contrast
from ._figures import figure
from ._note import expect, note
from ._quiz import quiz
from ._results import beside, card, check, results
from ._strategy import (
    BUDGETS,
    DISTANCES,
    MODALITIES,
    SCENARIOS,
    STRATEGIES,
    Rates,
    Reason,
    Recommendation,
    recommend,
)

__all__ = [
    "BUDGETS",
    "DISTANCES",
    "MODALITIES",
    "SCENARIOS",
    "STRATEGIES",
    "Claim",
    "Rates",
    "Reason",
    "Recommendation",
    "beside",
    "card",
    "check",
    "claim",
    "contrast",
    "expect",
    "figure",
    "note",
    "quiz",
    "recommend",
    "results",
]
