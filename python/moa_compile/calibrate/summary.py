"""What a calibration made, as text."""

from .tally import Tallies


def summary(tallies: Tallies, output: str) -> str:
    rows = [("length", "kind", "samples", "right")]
    for length, of_length in tallies.items():
        for kind, tally in of_length.items():
            right = f"{tally.right} of {tally.judged}" if tally.judged else "not known"
            if tally.asked:
                rows.append((str(length), kind, str(tally.kept), right))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        f"{length:>{widths[0]}}  {kind:<{widths[1]}}  {samples:>{widths[2]}}  {right:>{widths[3]}}"
        for length, kind, samples, right in rows
    ]
    every = [tally for of_length in tallies.values() for tally in of_length.values()]
    kept, judged = sum(tally.kept for tally in every), sum(tally.judged for tally in every)
    right_of_all = sum(tally.right for tally in every)
    total = f"; the dense model answered {right_of_all} of {judged} right" if judged else ""
    return "\n".join([*lines, "", f"{output}: {kept} samples{total}"])
