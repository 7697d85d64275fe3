"""Table 5.10 of S4: encrypted CIFAR-10 inference; document value, ours, difference.

    python reproduce/S4/table_5_10.py [--images 20] [--threads 2] [--data FOLDER] [--json]

The document prints counts in thousands; batch-axis rows execute nine million products without arithmetic, which takes
minutes each.
"""

from __future__ import annotations

from encrypted_rows import documents, encrypted_table, first_images, table_arguments

from kakuri.zoo.data import load_cifar10
from kakuri.zoo.preprocessing import PREPROCESSING

CALIBRATION = 256


def main() -> None:
    options = table_arguments(__doc__).parse_args()
    dataset = load_cifar10(options.data)
    calibration = PREPROCESSING.apply(dataset.train_images[:CALIBRATION])
    images = first_images(dataset, options) if options.images else None
    encrypted_table("S4 5.10", documents("cifar10"), calibration, images, {}, as_json=options.json)


if __name__ == "__main__":
    main()
