"""S4, table 5.3: the polynomials that stand in for ReLU and Swish.

    python reproduce/S4/table_5_3.py [--json]

Ours is fitted in this run. The document prints some constants rounded and two truncated (.293262 as 0.2932 and .410567
as 0.41056), so agreement means: at most one unit in the last printed digit.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from printed_tables import arguments, printed, show

from kakuri.model.polynomials import document_activation


def rows() -> list[dict[str, Any]]:
    """One row per printed coefficient that is not zero."""
    found = []
    for line in printed("activations"):
        ours = document_activation(line["name"])
        for power in range(len(ours) - 1, -1, -1):
            text = line[f"c{power}"]
            unit = float(Decimal(1).scaleb(int(Decimal(text).as_tuple().exponent)))
            difference = ours[power] - float(text)
            found.append(
                {
                    "activation": line["name"],
                    "coefficient": f"c{power}",
                    "document": float(text),
                    "ours": ours[power],
                    "difference": round(difference, 9),
                    "in_last_digits": round(difference / unit, 3),
                    "agrees": abs(difference) <= unit,
                }
            )
    return found


def main() -> None:
    options = arguments(__doc__).parse_args()
    show("S4 table 5.3: polynomial activations", rows(), as_json=options.json)


if __name__ == "__main__":
    main()
