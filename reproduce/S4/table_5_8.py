"""S4, table 5.8: accuracy of the pruned 4layer-CNN on CIFAR-10, in the clear.

    KAKURI_DATA=... python reproduce/S4/table_5_8.py [--json] [--data FOLDER]

Ours is measured in this run: the shipped ONNX network answers all 10,000 test images through ONNX Runtime.
"""

from __future__ import annotations

from accuracy_rows import accuracy_table

if __name__ == "__main__":
    networks = [f"4layer-CNN-Pruned{share}%" for share in (10, 20, 30)]
    accuracy_table(__doc__, "S4 table 5.8: pruned 4layer-CNN on CIFAR-10 in the clear", networks, "cifar10")
