"""Models as ONNX graphs: written, compared with PyTorch, and run by ONNX Runtime."""
