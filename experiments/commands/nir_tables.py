"""Tables of what a NIR file holds exactly, from networks that ran."""

from __future__ import annotations

from spikefuse.interop.nir.cases import CASES, Outcome, run_case
from spikefuse.interop.nir.parity import Parity
from spikefuse.pages import markdown_table

_PROFILES = ("portable", "snntorch", "native")


def profile_tables() -> dict[str, str]:
    """Markdown by mark: who runs what alike, and why something is refused."""
    rows: list[list[str]] = []
    reasons: list[list[str]] = []
    for case in CASES:
        for profile in _PROFILES:
            outcome = run_case(case, profile)
            rows.append([case.name, profile, *_cells(outcome)])
            if outcome.refusal:
                kind = "lossy" if outcome.lossy else "refused"
                reasons.append([case.name, profile, kind, outcome.refusal])
            for parity in outcome.parities:
                if parity.refusal:
                    reasons.append([case.name, profile, f"not in {parity.peer}", parity.refusal])
    return {
        "profiles": markdown_table(["network", "profile", "here", "Norse", "snnTorch"], rows),
        "refusals": markdown_table(["network", "profile", "what", "reason"], reasons),
    }


def _cells(outcome: Outcome) -> list[str]:
    """A cell for our own kernels and for every peer."""
    if outcome.refusal:
        return ["not written" + " but with `--allow-lossy`" * outcome.lossy, "", ""]
    return [_cell(parity) for parity in outcome.parities]


def _cell(parity: Parity) -> str:
    if parity.refusal:
        return "does not run it"
    if not parity.equal:
        return "**runs it differently**"
    ties = f", {parity.n_ties} ties" if parity.n_ties else ""
    return f"equal{ties}"
