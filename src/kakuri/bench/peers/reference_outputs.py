"""LiteRT's outputs of a .tflite file by its reference kernels, without delegates.

Runs in ``.venv-bench``; knows nothing of kakuri. argv: the model, ``inputs.npz`` (arrays "0", "1", ...), and the file
for the outputs, of the same form.
"""

import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType


def main(model: str, inputs: str, outputs: str) -> None:
    interpreter = Interpreter(model, num_threads=1, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    with np.load(inputs, allow_pickle=False) as archive:
        for index, detail in enumerate(interpreter.get_input_details()):
            interpreter.set_tensor(detail["index"], archive[str(index)])
    interpreter.invoke()
    details = interpreter.get_output_details()
    np.savez(outputs, **{str(i): interpreter.get_tensor(detail["index"]) for i, detail in enumerate(details)})


if __name__ == "__main__":
    main(*sys.argv[1:])
