"""S4, table 5.6: accuracy of the 4layer-CNN on CIFAR-10, in the clear, by activation.

    KAKURI_DATA=... python reproduce/S4/table_5_6.py [--json] [--data FOLDER]

Ours is measured in this run: the shipped ONNX network answers all 10,000 test images through ONNX Runtime.
"""

from __future__ import annotations

from accuracy_rows import accuracy_table

if __name__ == "__main__":
    networks = ["4layer-CNN"]
    accuracy_table(__doc__, "S4 table 5.6: 4layer-CNN on CIFAR-10 in the clear", networks, "cifar10")
