"""Table 5.9 of S4: encrypted MNIST inference; document value, ours, difference.

    python reproduce/S4/table_5_9.py [--images 100] [--threads 2] [--data FOLDER] [--json]

Counts need no data; up to 200 images are those of the shipped sample, unless a folder is given.
"""

from __future__ import annotations

import numpy as np
from encrypted_rows import Images, documents, encrypted_table, first_images, table_arguments

from kakuri.zoo import samples
from kakuri.zoo.data import load_mnist

# Found by arithmetic on the formulas of table 4.1.
MISPRINTS = {
    ("3layer-CNN", "swish-rg7-deg4", "channel", "rescale"): "formula 175; the pruned rows follow it",
    ("3layer-CNN-Pruned-R1", "swish-rg7-deg4", "batch", "rescale"): "formula 4,090, printed 4,088",
}


def main() -> None:
    options = table_arguments(__doc__).parse_args()
    sample = samples.mnist_sample()
    if options.data is None and options.images <= len(sample.labels):
        pixels = np.asarray(sample.images[: options.images], dtype=np.float32)
        images = Images(pixels, sample.labels[: options.images], options.threads)
    else:
        images = first_images(load_mnist(options.data), options)
    measured = images if options.images else None
    rows = documents("mnist")
    encrypted_table("S4 5.9", rows, sample.images, measured, MISPRINTS, as_json=options.json)


if __name__ == "__main__":
    main()
