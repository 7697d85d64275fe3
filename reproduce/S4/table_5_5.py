"""S4, table 5.5: accuracy of the 3layer-CNN on MNIST, in the clear, by activation.

    KAKURI_DATA=... python reproduce/S4/table_5_5.py [--json] [--data FOLDER]

Ours is measured in this run: the shipped ONNX network answers all 10,000 test images through ONNX Runtime.
"""

from __future__ import annotations

from accuracy_rows import accuracy_table

if __name__ == "__main__":
    accuracy_table(__doc__, "S4 table 5.5: 3layer-CNN on MNIST in the clear", ["3layer-CNN"])
