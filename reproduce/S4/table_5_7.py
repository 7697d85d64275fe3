"""S4, table 5.7: accuracy of the pruned 3layer-CNN on MNIST, in the clear.

    KAKURI_DATA=... python reproduce/S4/table_5_7.py [--json] [--data FOLDER]

Ours is measured in this run: the shipped ONNX network answers all 10,000 test images through ONNX Runtime.
"""

from __future__ import annotations

from accuracy_rows import accuracy_table

if __name__ == "__main__":
    title = "S4 table 5.7: pruned 3layer-CNN on MNIST in the clear"
    accuracy_table(__doc__, title, ["3layer-CNN-Pruned-R1", "3layer-CNN-Pruned-R2"])
