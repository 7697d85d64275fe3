"""From a file or a torch module to an ``onnx_ir.Model``; one file per source format."""
